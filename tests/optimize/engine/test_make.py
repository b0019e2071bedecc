"""Making an engine of a package: the ladder, parity on the device, and what remains after a failure."""

import dataclasses
import importlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from fakes.cuda import FakeGpu, install_binding
from fakes.tensorrt import make_tensorrt

from edgeau.optimize.engine import store, suspect, verify
from edgeau.optimize.engine.builder import BuilderSettings
from edgeau.optimize.engine.capabilities import capabilities
from edgeau.optimize.engine.job import MakeOptions
from edgeau.optimize.engine.ladder import Missing, find_rung
from edgeau.optimize.engine.make import make_engine
from edgeau.runtime.backends import FakeBackend, open_backend
from edgeau.runtime.engine_check import preflight
from edgeau.runtime.engine_file import read_sidecar
from edgeau.runtime.errors import EngineError, InputError, MissingExtraError, PackageError
from edgeau.runtime.machine import Machine
from edgeau.runtime.package import Package

ORIN = Machine(
    model="NVIDIA Jetson Orin Nano Developer Kit",
    soc="tegra234",
    l4t="36.4.3",
    jetpack="6.2",
    cuda="12.6",
    compute_capability="8.7",
    tensorrt="10.3.0.1",
    driver="540.4.0",
)


class RunsTheOnnx(FakeBackend):
    """Replaces the TensorRT backend: runs the package's FP32 ONNX and adds ``error`` to the probabilities."""

    def __init__(self, file, error=0.0):
        super().__init__({"face": (32, 32, 3)}, 4)
        self._session, self._error = open_backend("onnxruntime", file), error

    def infer(self, inputs):
        assert len(inputs["face"]) in (1, 2, 4, 8)
        return {name: value + np.float32(self._error) for name, value in self._session.infer(inputs).items()}


class InnerTensors(FakeBackend):
    """Replaces an engine whose inner tensor ``conv_out`` is an output, and adds ``error`` to it."""

    def __init__(self, error):
        super().__init__({"face": (32, 32, 3)}, 4)
        self._error = error

    def infer(self, inputs):
        return {"conv_out": inputs["face"].astype(np.float32) / 255 + np.float32(self._error)}


@pytest.fixture
def engine_error(monkeypatch, package):
    """A function that replaces the TensorRT backend by one whose outputs have a given error."""

    def replace(error):
        def opened(name, file):
            if file.name.startswith("exposed"):
                return InnerTensors(error if "int8" in file.name else 0.0)
            return RunsTheOnnx(package.path / "fp32.onnx", error)

        monkeypatch.setattr(verify, "open_backend", opened)
        monkeypatch.setattr(suspect, "open_backend", opened)
        monkeypatch.setattr(verify, "installed_binding", lambda: "cuda-python")

    return replace


def files_of(package):
    return sorted(str(p.relative_to(package.path)) for p in package.path.rglob("*") if p.is_file())


@pytest.mark.parametrize(("version", "typing"), [("8.5", False), ("10.3", False), ("10.16", True), ("11.1", True)])
def test_an_int8_engine_is_made_with_sidecar_and_parity(
    fake_tensorrt, package, crops_file, engine_error, version, typing
):
    engine_error(1e-3)
    trt = fake_tensorrt(version)
    options = MakeOptions(builder=BuilderSettings(batch=(1, 4, 8)), crops=str(crops_file))
    engine = make_engine(package.path, options, trt=trt, machine=ORIN)
    name = f"orin-nano.trt{version}.0.int8"
    assert engine.variant.name == name
    sidecar = read_sidecar(package.path / engine.variant.file)
    assert sidecar == engine.sidecar
    assert sidecar.settings["strongly_typed"] is typing
    assert (sidecar.parity.samples, sidecar.parity.decisions) == (12, 48)
    assert sidecar.parity.mean_abs_error == pytest.approx(1e-3, rel=1e-3)
    assert 0.99 < sidecar.notes["cosine"] <= 1
    assert Package.open(package.path).manifest.variant(name).backends == ("tensorrt",)
    machine = Machine(**{**ORIN.to_json(), "tensorrt": trt.__version__, "power_modes": ()})
    assert preflight(package.path / engine.variant.file, machine).sidecar == sidecar
    engines = [f for f in files_of(package) if f.startswith("engines/")]
    cache = f"engines/orin-nano.trt{version}.0.1.timing"
    assert engines == sorted([f"engines/{name}.engine", f"engines/{name}.engine.json", cache])


def test_the_ladder_records_why_each_precision_failed(fake_tensorrt, package, crops_file, engine_error):
    engine_error(0)

    def fail(flags, layers):
        return "no INT8 implementation for conv" if "INT8" in flags else None

    trt = fake_tensorrt("8.6", fail=fail)
    engine = make_engine(package.path, MakeOptions(crops=str(crops_file)), trt=trt, machine=ORIN)
    assert (engine.sidecar.precision, engine.sidecar.asked_precision) == ("fp16", "int8")
    assert [line.split(":")[0] for line in engine.sidecar.ladder] == ["int8", "mixed"]
    assert all("no INT8 implementation for conv" in line for line in engine.sidecar.ladder)
    with pytest.raises(EngineError, match=r"int8: .*no INT8 implementation"):
        make_engine(
            package.path,
            MakeOptions(crops=str(crops_file), fall_back=False),
            trt=fake_tensorrt("8.6", fail=fail),
            machine=ORIN,
        )


def test_mixed_is_built_if_only_the_grouped_convolution_fails(fake_tensorrt, package, crops_file, engine_error):
    engine_error(0)

    def fail(flags, layers):
        quantized = layers[-1].get_input(0).name == "dq_out"
        return "no INT8 kernel for groups" if "INT8" in flags and quantized else None

    engine = make_engine(
        package.path, MakeOptions(crops=str(crops_file)), trt=fake_tensorrt("10.3", fail=fail), machine=ORIN
    )
    assert engine.sidecar.precision == "mixed"
    assert engine.sidecar.settings["left_in_float"] == ["conv"]


def test_an_engine_that_breaks_parity_is_not_kept(fake_tensorrt, package, crops_file, engine_error):
    engine_error(0.2)
    before = files_of(package)
    with pytest.raises(
        EngineError,
        match=r"mean error 0\.2 exceeds 0\.03; suspect between the input .* and conv_out .*--precision mixed",
    ) as caught:
        make_engine(package.path, MakeOptions(crops=str(crops_file)), trt=fake_tensorrt("10.3"), machine=ORIN)
    assert "\n" not in str(caught.value)
    left = [f for f in files_of(package) if not f.endswith(".timing")]
    assert left == before


def test_an_interrupted_write_leaves_the_package_unchanged(fake_tensorrt, package, monkeypatch):
    before = files_of(package), (package.path / "manifest.json").read_bytes()

    def interrupted(path, sidecar):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_sidecar", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_engine(package.path, MakeOptions(parity=False), trt=fake_tensorrt("10.3"), machine=ORIN)
    left = [f for f in files_of(package) if not f.endswith(".timing")]
    assert (left, (package.path / "manifest.json").read_bytes()) == before


def test_without_a_gpu_only_one_precision_is_tried(fake_tensorrt, package):
    messages = []
    with pytest.raises(EngineError, match="no usable CUDA device"):
        make_engine(
            package.path,
            MakeOptions(parity=False),
            trt=fake_tensorrt("8.6", has_gpu=False),
            machine=ORIN,
            report=messages.append,
        )
    assert len(messages) == 1
    assert not (package.path / "engines").exists()


def test_without_a_cuda_binding_it_fails_before_the_long_build(fake_tensorrt, package, monkeypatch):
    monkeypatch.setattr(verify, "installed_binding", lambda: None)
    messages = []
    with pytest.raises(MissingExtraError, match="needs libcudart, cuda-python or pycuda"):
        make_engine(package.path, MakeOptions(), trt=fake_tensorrt("10.3"), machine=ORIN, report=messages.append)
    assert messages == []


def test_a_missing_onnx_file_is_named_with_the_command_to_make_it(fake_tensorrt, package):
    manifest = package.manifest
    bare = dataclasses.replace(manifest, variants=(manifest.variant("fp32"),))
    package.with_manifest(bare)
    with pytest.raises(InputError, match=r"TensorRT; type: edgeau quantize .*, or build with --precision fp16"):
        make_engine(package.path, MakeOptions(), trt=fake_tensorrt("10.3"), machine=ORIN)
    with pytest.raises(InputError, match=r"TensorRT 11\.1.* takes FP16 from the graph"):
        make_engine(package.path, MakeOptions(precision="fp16"), trt=fake_tensorrt("11.1"), machine=ORIN)


@pytest.mark.parametrize(
    ("version", "precision", "file", "strong"),
    [
        ("8.5", "fp16", "fp32.onnx", False),
        ("10.3", "fp16", "fp32.onnx", False),
        ("10.16", "fp16", "fp16.onnx", True),
        ("11.1", "fp16", "fp16.onnx", True),
        ("8.6", "int8", "int8-tensorrt.onnx", False),
        ("11.1", "int8", "int8-tensorrt.onnx", True),
        ("8.6", "fp32", "fp32.onnx", False),
        ("11.1", "fp32", "fp32.onnx", True),
    ],
)
def test_each_precision_is_built_from_its_own_file(fake_tensorrt, package, version, precision, file, strong):
    rung = find_rung(package, precision, capabilities(fake_tensorrt(version)))
    assert (rung.variant.file, rung.strongly_typed, rung.precision) == (file, strong, precision)


@pytest.mark.parametrize(
    ("version", "file"),
    [
        ("8.6", "int8-tensorrt-8.onnx"),
        ("10.3", "int8-tensorrt.onnx"),
        ("10.16", "int8-tensorrt-fp16.onnx"),
        ("11.1", "int8-tensorrt-fp16.onnx"),
    ],
)
def test_each_tensorrt_version_gets_its_own_int8_file(fake_tensorrt, package, version, file):
    int8 = package.variant("int8-tensorrt")
    for target in ("tensorrt-fp16", "tensorrt", "tensorrt-8"):
        variant = dataclasses.replace(int8, name=f"int8-{target}", file=f"int8-{target}.onnx", notes={"target": target})
        data = package.file(int8).read_bytes()
        package = package.add_variant(variant, lambda path, data=data: path.write_bytes(data))
    assert find_rung(package, "int8", capabilities(fake_tensorrt(version))).variant.file == file


def test_a_weakly_typed_network_is_never_built_from_int8_with_fp16(fake_tensorrt, package):
    int8 = package.variant("int8-tensorrt")
    only = dataclasses.replace(int8, notes={"target": "tensorrt-fp16"})
    package = package.with_manifest(dataclasses.replace(package.manifest, variants=(only,)))
    assert isinstance(find_rung(package, "int8", capabilities(fake_tensorrt("10.3"))), Missing)


def test_a_stored_reference_is_used_and_its_shape_checked(fake_tensorrt, package, crops_file, engine_error, tmp_path):
    engine_error(0)
    with np.load(crops_file) as arrays:
        faces = arrays["faces"]
    np.savez(tmp_path / "parity.npz", faces=faces, reference=np.full((len(faces), 4), 0.5, np.float32))
    options = MakeOptions(crops=str(tmp_path / "parity.npz"))
    with pytest.raises(EngineError, match="does not say the same as FP32"):
        make_engine(package.path, options, trt=fake_tensorrt("10.3"), machine=ORIN)
    np.savez(tmp_path / "parity.npz", faces=faces, reference=np.zeros((3, 4), np.float32))
    with pytest.raises(InputError, match=r"reference in .*shape \[3, 4\], expected \[12, 4\]"):
        make_engine(package.path, options, trt=fake_tensorrt("10.3"), machine=ORIN)


@pytest.mark.slow
def test_build_works_with_the_real_builder(rtx, package):
    """Uses separate processes: TensorRT keeps a process's first logger, and tests create several."""
    environment = {**os.environ, "EDGEAU_TENSORRT": "tensorrt_rtx"}

    def run(*arguments):
        command = [sys.executable, "-m", "edgeau.runtime", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    for precision in ("int8", "fp16", "fp32", "mixed"):
        options = ["--precision", precision, "--skip-parity", "--json", "--batch", "1,2,8"]
        done = run("build", str(package.path), *options)
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["sidecar"]["flavour"] == "tensorrt_rtx"
        assert report["sidecar"]["precision"] == precision
        assert report["sidecar"]["notes"]["warnings"] == []
    described = run("inspect", report["engine"])
    assert described.returncode in (0, 1)
    assert rtx.__version__ in described.stdout
    refused = run("build", str(package.path))
    assert refused.returncode == 2
    assert "add --skip-parity" in refused.stderr


def test_build_without_tensorrt_says_how_to_build_on_the_device(package, monkeypatch, capsys):
    from edgeau.runtime.cli import main

    monkeypatch.setenv("EDGEAU_TENSORRT", "no_such_tensorrt")
    assert main(["build", str(package.path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "edgeau build PACKAGE --host user@jetson" in error


@pytest.mark.parametrize("batch", ["0", "a,b,c", "1,2", "4,2,1"])
def test_build_refuses_an_invalid_batch(package, capsys, batch):
    from edgeau.runtime.cli import main

    assert main(["build", str(package.path), "--batch", batch]) == 2
    assert "batch" in capsys.readouterr().err


def test_by_default_parity_uses_the_shipped_crops_and_needs_no_renderer(
    fake_tensorrt, package, engine_error, monkeypatch
):
    engine_error(1e-3)
    for name in list(sys.modules):
        parts = name.split(".")
        above = parts[:2] in (["edgeau", "train"], ["edgeau", "export"], ["edgeau", "benchmarks"])
        beside = parts[:2] == ["edgeau", "optimize"] and len(parts) > 2 and parts[2] != "engine"
        if above or beside or parts[0] in ("torch", "onnx", "nncf"):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "edgeau.train", None)
    engine = make_engine(package.path, MakeOptions(), trt=fake_tensorrt("8.5"), machine=ORIN)
    assert (engine.sidecar.parity.data, engine.sidecar.parity.samples) == ("shipped:parity", 32)


@pytest.mark.parametrize("precision", ["int8", "mixed", "fp16"])
def test_an_engine_for_dla_is_fp16(fake_tensorrt, package, precision):
    """DLA doesn't accept Q/DQ nodes (NVIDIA/TensorRT issue 2222, NVIDIA/Model-Optimizer pull request 1661)."""
    options = MakeOptions(precision, BuilderSettings(dla_core=1), parity=False)
    engine = make_engine(package.path, options, trt=fake_tensorrt("8.6", dla_cores=2), machine=ORIN)
    assert (engine.sidecar.precision, engine.sidecar.settings["dla_core"]) == ("fp16", 1)
    higher = {"int8": ["int8", "mixed"], "mixed": ["mixed"], "fp16": []}[precision]
    assert list(engine.skipped) == [f"{name} was not tried: DLA takes no Q/DQ nodes, and no FP32" for name in higher]


def test_an_unsupported_dla_precision_is_refused_if_there_is_no_fallback(fake_tensorrt, package):
    trt = fake_tensorrt("8.6", dla_cores=2)
    for precision, fall_back in (("int8", False), ("fp32", True)):
        options = MakeOptions(precision, BuilderSettings(dla_core=0), parity=False, fall_back=fall_back)
        with pytest.raises(InputError, match=f"precision for DLA: got {precision}, expected fp16; DLA takes no Q/DQ"):
            make_engine(package.path, options, trt=trt, machine=ORIN)


def test_too_many_layers_off_dla_are_given_as_the_reason(fake_tensorrt, package):
    trt = fake_tensorrt("8.6", dla_cores=2, off_dla=("cast", "q", "w_q", "conv"))
    options = MakeOptions("int8", BuilderSettings(dla_core=0), parity=False)
    with pytest.raises(EngineError, match=r"no precision could be built: fp16: 4 of 6 layers can't run on DLA"):
        make_engine(package.path, options, trt=trt, machine=ORIN)


@pytest.fixture
def gpu_machine(monkeypatch):
    """A function that makes a fake TensorRT on a fake GPU for the runtime's real backend."""

    def make(version, **behaviour):
        gpu = FakeGpu()
        trt = make_tensorrt(version, gpu, **behaviour)
        monkeypatch.setitem(sys.modules, "tensorrt", trt)
        install_binding(monkeypatch, "cuda-python", gpu)
        monkeypatch.delitem(sys.modules, "edgeau.runtime.backends.tensorrt", raising=False)
        backend = importlib.import_module("edgeau.runtime.backends.tensorrt")
        monkeypatch.setattr(backend, "read_machine", lambda: ORIN)
        return trt, gpu

    yield make
    sys.modules.pop("edgeau.runtime.backends.tensorrt", None)


@pytest.fixture
def means_file(crops_file, tmp_path):
    """A function that writes crops with the fake engine's outputs, plus an error, as reference."""
    with np.load(crops_file) as arrays:
        faces = arrays["faces"]

    def make(error=0.0):
        reference = np.repeat(faces.mean((1, 2, 3))[:, None] / 255 + error, 4, 1).astype(np.float32)
        np.savez(tmp_path / "means.npz", faces=faces, reference=reference)
        return str(tmp_path / "means.npz")

    return make


@pytest.mark.parametrize("version", ["8.5", "10.3", "11.1"])
@pytest.mark.parametrize("dla_core", [None, 1])
def test_an_engine_is_built_verified_stored_and_loaded(gpu_machine, package, means_file, version, dla_core):
    """The engine is verified by the runtime's own backend."""
    trt, gpu = gpu_machine(version, dla_cores=2)
    batch = (4, 4, 4) if dla_core is not None else (1, 4, 8)
    options = MakeOptions(builder=BuilderSettings(batch=batch, dla_core=dla_core), crops=means_file())
    machine = dataclasses.replace(ORIN, tensorrt=trt.__version__)
    engine = make_engine(package.path, options, trt=trt, machine=machine)
    assert engine.sidecar.parity.mean_abs_error < 1e-6
    package = Package.open(package.path)
    with open_backend("tensorrt", package.read(package.variant(engine.variant.name))) as backend:
        outputs = backend.infer({"face": np.full((3, 32, 32, 3), 51, np.uint8)})
        np.testing.assert_allclose(outputs["au"], np.full((3, 4), 0.2), atol=1e-6)
    assert gpu.left() == {"memory": 0, "streams": 0, "graphs": 0, "events": 0, "contexts": 0}


def test_suspects_are_located_in_tensors_with_a_merged_batch_dimension(gpu_machine, package, means_file):
    trt, gpu = gpu_machine("10.3", rows={"conv_out": 49})
    options = MakeOptions(builder=BuilderSettings(batch=(1, 4, 8)), crops=means_file(error=0.2))
    with pytest.raises(EngineError, match=r"mean error 0\.2 exceeds 0\.03; suspect between the input .* and conv_out"):
        make_engine(package.path, options, trt=trt, machine=ORIN)
    assert gpu.left() == {"memory": 0, "streams": 0, "graphs": 0, "events": 0, "contexts": 0}


def test_the_verified_bytes_are_the_ones_that_are_built(fake_tensorrt, package):
    """The file is read once, so one swapped in after the check is not parsed."""
    file = package.path / package.variant("int8-tensorrt").file
    good, parsed = file.read_bytes(), []

    def parse(data):
        parsed.append(data)
        file.write_bytes(b"something else")

    trt = fake_tensorrt("10.3", on_parse=parse)
    engine = make_engine(package.path, MakeOptions(parity=False), trt=trt, machine=ORIN)
    assert parsed == [good]
    assert engine.sidecar.onnx_sha256 == package.variant("int8-tensorrt").sha256
    with pytest.raises(PackageError, match="differs from the SHA-256"):
        make_engine(package.path, MakeOptions(parity=False), trt=fake_tensorrt("10.3"), machine=ORIN)
