"""Engines read without TensorRT and without a GPU: sidecar, plan header, and whether a machine can run them."""

import dataclasses
import hashlib
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeau.runtime.engine_check import describe_engine, preflight
from edgeau.runtime.engine_file import (
    EngineSidecar,
    read_header,
    read_sidecar,
    sidecar_path,
    write_sidecar,
)
from edgeau.runtime.engine_text import engine_lines
from edgeau.runtime.errors import EdgeauWarning, EngineError, InputError
from edgeau.runtime.machine import Machine
from edgeau.runtime.manifest import Parity

ORIN = Machine(
    model="NVIDIA Jetson Orin Nano Developer Kit",
    soc="tegra234",
    compute_capability="8.7",
    tensorrt="10.3.0",
    driver="540.4.0",
    cuda="12.6",
    l4t="36.4.3",
    jetpack="6.2",
)


def plan_bytes(tag=b"ftrt", version=(10, 3, 0, 30), size=4096):
    """A plan's header as TensorRT 10 writes it, with padding."""
    return tag + bytes(20) + bytes(version) + bytes(range(256)) * (size // 256)


@pytest.fixture
def engine(tmp_path):
    """An intact engine with its sidecar, built on an Orin Nano with JetPack 6.2."""
    path = tmp_path / "toy.edgeau" / "engines" / "orin-nano.trt10.3.0.int8.engine"
    path.parent.mkdir(parents=True)
    (path.parent.parent / "manifest.json").write_text("{}")
    path.write_bytes(plan_bytes())
    write_sidecar(path, sidecar_of(path))
    return path


def sidecar_of(path, **changes):
    data = path.read_bytes()
    sidecar = EngineSidecar(
        engine_sha256=hashlib.sha256(data).hexdigest(),
        engine_size_bytes=len(data),
        onnx_file="int8-tensorrt.onnx",
        onnx_sha256="0" * 64,
        made_from="int8-tensorrt",
        package="toy",
        flavour="tensorrt",
        tensorrt="10.3.0.30",
        precision="int8",
        asked_precision="int8",
        batch=(1, 1, 8),
        inputs={"face": [112, 112, 3]},
        device=ORIN.model,
        compute_capability="8.7",
        cuda="12.6",
        driver="540.4.0",
        l4t="36.4.3",
        jetpack="6.2",
        fell_back=("head",),
        parity=Parity("fp32", "crops", 64, 0.02, 0.004, 41.0, 768, 3),
        settings={"workspace_mib": 256},
    )
    return dataclasses.replace(sidecar, **changes)


def test_a_sidecar_survives_a_round_trip(engine):
    assert read_sidecar(engine) == sidecar_of(engine)
    assert sidecar_path(engine).name == "orin-nano.trt10.3.0.int8.engine.json"


def test_an_engine_built_for_this_machine_passes(engine):
    assert preflight(engine, ORIN).sidecar.tensorrt == "10.3.0.30"


def test_facts_unknown_about_the_machine_are_not_checked(engine):
    assert preflight(engine, Machine()).sidecar.precision == "int8"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"tensorrt": "10.16.2.10"}, "was built with TensorRT 10.3.0.30, this machine has 10.16.2.10"),
        ({"tensorrt": "8.6.2"}, "was built with TensorRT 10.3.0.30, this machine has 8.6.2"),
        ({"compute_capability": "11.0"}, "was built for compute capability 8.7, this machine has 11.0"),
        (
            {"model": "NVIDIA GeForce RTX 3060", "soc": None, "l4t": None},
            "was built on NVIDIA Jetson Orin Nano Developer Kit, this machine is NVIDIA GeForce RTX 3060",
        ),
        ({"driver": "535.1"}, "was built under driver 540.4.0, this machine has the older 535.1"),
    ],
)
def test_a_mismatch_is_one_sentence_with_the_command_that_fixes_it(engine, changed, sentence):
    with pytest.raises(EngineError) as caught:
        preflight(engine, dataclasses.replace(ORIN, **changed))
    text = str(caught.value)
    assert sentence in text
    assert text.endswith(f"edgeau build {engine.parent.parent} --precision int8 --batch 1,1,8")
    assert "\n" not in text


@pytest.mark.parametrize(
    "model",
    [
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",  # the same module, after a JetPack update
        "Seeed reComputer J3011",  # the same module on another carrier
        "NVIDIA Jetson AGX Orin Developer Kit",  # the same chip, with more of everything
    ],
)
def test_a_jetson_of_another_model_with_the_same_chip_gets_a_warning(engine, model):
    """Engines load across devices of one compute capability; TensorRT itself warns (dusty-nv/jetson-inference 883)."""
    machine = dataclasses.replace(ORIN, model=model)
    with pytest.warns(EdgeauWarning, match="with the same chip: it loads, but may be tuned"):
        preflight(engine, machine)
    assert describe_engine(engine, machine).here is None


def test_an_unknown_board_model_in_a_container_is_accepted_silently(engine):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        preflight(engine, dataclasses.replace(ORIN, model=None))
    assert describe_engine(engine, dataclasses.replace(ORIN, model=None)).here is None


def test_a_newer_driver_gets_a_warning(engine):
    with pytest.warns(EdgeauWarning, match=r"built under driver 540\.4\.0, this machine has 550\.1"):
        preflight(engine, dataclasses.replace(ORIN, driver="550.1"))


def test_truncated_and_altered_engines_are_distinguished(engine):
    whole = engine.read_bytes()
    engine.write_bytes(whole[:1000])
    with pytest.raises(EngineError, match=rf"is truncated: 1000 of {len(whole)} bytes"):
        preflight(engine, ORIN)
    engine.write_bytes(whole[:10])
    with pytest.raises(EngineError, match="is truncated: 10 bytes"):
        preflight(engine, ORIN)
    engine.write_bytes(whole[:2000] + b"\xff" + whole[2001:])
    with pytest.raises(EngineError, match="was altered after it was built"):
        preflight(engine, ORIN)


@given(position=st.integers(0, 4123), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_refused(tmp_path_factory, position, bit):
    path = tmp_path_factory.mktemp("flip") / "x.engine"
    data = bytearray(plan_bytes())
    path.write_bytes(bytes(data))
    write_sidecar(path, sidecar_of(path))
    data[position] ^= 1 << bit
    path.write_bytes(bytes(data))
    with pytest.raises(EngineError):
        preflight(path, ORIN)


def test_the_header_gives_the_version(tmp_path):
    path = tmp_path / "x.engine"
    path.write_bytes(plan_bytes(version=(10, 16, 2, 10)))
    assert read_header(path).version == "10.16.2.10"
    path.write_bytes(plan_bytes(tag=b"vtrt", version=(1, 7, 1, 116)))
    assert (read_header(path).flavour, read_header(path).version) == ("tensorrt_rtx", "1.7.1.116")


def test_a_tensorrt_8_5_plan_is_recognised_without_a_version_in_its_header(engine):
    """Plans before 8.6 begin with ``ptrt``, then a serialization number (232 in 8.5.3: NVIDIA/TensorRT issue 3073)."""
    engine.write_bytes(b"ptrt" + bytes(4) + (232).to_bytes(4, "little") + bytes(4096))
    write_sidecar(engine, sidecar_of(engine, tensorrt="8.5.2.2"))
    assert (read_header(engine).flavour, read_header(engine).version) == ("tensorrt", None)
    assert preflight(engine, dataclasses.replace(ORIN, tensorrt="8.5.2.2")).sidecar.tensorrt == "8.5.2.2"


@pytest.mark.parametrize("header", [bytes((8, 6, 2, 0)), bytes((0, 0, 0, 0))])
def test_a_header_of_unknown_layout_gives_no_version(tmp_path, header):
    path = tmp_path / "x.engine"
    path.write_bytes(plan_bytes(version=tuple(header)))
    assert read_header(path).version is None
    path.write_bytes(b"ftrt\x01\x00\x00\x00" + bytes(16) + bytes((10, 3, 0, 30)))
    assert read_header(path).version is None


def test_a_plan_with_metadata_in_front_is_refused(tmp_path):
    path = tmp_path / "x.engine"
    path.write_bytes(b"\x40\x00\x00\x00{}" + plan_bytes())
    with pytest.raises(EngineError, match=r"not a plain TensorRT plan.*b'ftrt'"):
        read_header(path)
    with pytest.raises(InputError, match="No such file"):
        read_header(tmp_path / "none.engine")


def test_an_engine_without_a_sidecar_is_not_loaded(engine):
    sidecar_path(engine).unlink()
    with pytest.raises(EngineError, match=r"has no sidecar .*edgeau build"):
        preflight(engine, ORIN)


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"schema_version": 2}', b'{"schema_version": 1}', b"\xff"])
def test_a_damaged_sidecar_gives_the_command_to_rebuild(engine, damage):
    sidecar_path(engine).write_bytes(damage)
    with pytest.raises(EngineError, match="edgeau build"):
        preflight(engine, ORIN)


@pytest.mark.parametrize("field", ["tensorrt", "precision", "compute_capability", "device"])
def test_a_sidecar_with_a_line_break_in_its_text_is_refused(engine, field):
    """The text ends up in a Triton configuration and in commands to type."""
    write_sidecar(engine, dataclasses.replace(read_sidecar(engine), **{field: "10.3\nplatform: evil"}))
    with pytest.raises(EngineError, match=f"{field} has control characters"):
        read_sidecar(engine)


def test_a_tensorrt_rtx_plan_is_refused_on_a_jetson(engine):
    engine.write_bytes(plan_bytes(tag=b"vtrt", version=(1, 7, 1, 116)))
    write_sidecar(engine, sidecar_of(engine, flavour="tensorrt_rtx", tensorrt="1.7.1.116"))
    with pytest.raises(EngineError, match=r"TensorRT for RTX 1\.7\.1\.116"):
        preflight(engine, ORIN)


def test_an_engine_is_described_on_any_machine(engine):
    facts = describe_engine(engine, ORIN)
    assert (facts.tensorrt, facts.intact, facts.wrong, facts.here) == ("10.3.0.30", True, None, None)
    assert facts.sidecar.device == ORIN.model
    assert "needs an NVIDIA GPU" in describe_engine(engine, Machine()).here
    assert "this machine has 8.6.2" in describe_engine(engine, dataclasses.replace(ORIN, tensorrt="8.6.2")).here
    text = "\n".join(engine_lines(facts))
    assert "builder   tensorrt 10.3.0.30" in text
    assert "parity    mean error 0.004, SQNR 41.0 dB, 3 of 768 decisions flipped" in text
    assert "here      nothing is known against running it here" in text
    engine.write_bytes(engine.read_bytes()[:-1])
    facts = describe_engine(engine, ORIN)
    assert facts.intact is facts.to_json()["ok"] is False
    assert "truncated" in facts.wrong
    sidecar_path(engine).unlink()
    facts = describe_engine(engine, ORIN)
    assert (facts.intact, facts.tensorrt, facts.sidecar) == (None, "10.3.0.30", None)


def test_matching_versions_give_no_warning(engine):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        preflight(engine, ORIN)
