"""The builder with the API of TensorRT 8.5, 8.6, 10.3, 10.16 and 11 (fakes with real names), and with a real one."""

import subprocess
import sys

import pytest

from edgeau.optimize.engine.builder import BuilderSettings, BuildOptions, build_engine
from edgeau.optimize.engine.capabilities import capabilities
from edgeau.optimize.engine.library import load_tensorrt
from edgeau.runtime.backends.tensorrt_log import listen
from edgeau.runtime.errors import EngineError, InputError


@pytest.fixture
def onnx_file(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"read by the fake parser only")
    return path


def test_an_engine_is_built_with_every_api_version(any_fake, onnx_file):
    able = capabilities(any_fake)
    options = BuildOptions(
        precision="int8",
        strongly_typed=not able.precision_flags,
        settings=BuilderSettings(batch=(1, 2, 8), workspace_mib=64),
    )
    built = build_engine(onnx_file, options, trt=any_fake)
    assert built.plan[1:4] == b"trt"
    assert built.inputs == {"face": [32, 32, 3]}
    assert any_fake.record.profiles == [{"face": ((1, 32, 32, 3), (2, 32, 32, 3), (8, 32, 32, 3))}]
    assert any_fake.record.limits["WORKSPACE"] == 64 << 20
    assert built.settings["workspace_mib"] == 64


@pytest.mark.parametrize(
    ("version", "weak", "strong", "prefers_strong"),
    [
        ("8.5", True, False, False),
        ("8.6", True, False, False),
        ("10.3", True, True, False),
        ("10.16", True, True, True),
        ("11.0", False, True, True),
        ("11.1", False, True, True),
    ],
)
def test_capabilities_are_read_from_the_names_in_the_api(fake_tensorrt, version, weak, strong, prefers_strong):
    able = capabilities(fake_tensorrt(version))
    assert (bool(able.precision_flags), able.strong_typing, able.prefers_strong) == (weak, strong, prefers_strong)


@pytest.mark.parametrize("version", ["8.5", "8.6", "10.3", "10.16"])
@pytest.mark.parametrize(
    ("precision", "flags"),
    [("int8", {"INT8", "FP16"}), ("fp16", {"FP16"}), ("fp32", set()), ("mixed", {"INT8", "FP16"})],
)
def test_weak_typing_sets_precision_flags(fake_tensorrt, onnx_file, version, precision, flags):
    trt = fake_tensorrt(version)
    build_engine(onnx_file, BuildOptions(precision=precision), trt=trt)
    assert trt.record.flags & {"INT8", "FP16"} == flags


@pytest.mark.parametrize("version", ["10.3", "10.16", "11.0"])
def test_strong_typing_is_a_network_flag_and_sets_no_precision_flags(fake_tensorrt, onnx_file, version):
    trt = fake_tensorrt(version)
    build_engine(onnx_file, BuildOptions(precision="int8", strongly_typed=True), trt=trt)
    assert not trt.record.flags & {"INT8", "FP16"}
    assert trt.record.network_flags & (1 << trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def test_explicit_batch_is_requested_where_it_exists(any_fake, onnx_file):
    strongly = not capabilities(any_fake).precision_flags
    build_engine(onnx_file, BuildOptions(strongly_typed=strongly), trt=any_fake)
    kinds = any_fake.NetworkDefinitionCreationFlag
    expected = (1 << kinds.EXPLICIT_BATCH) if hasattr(kinds, "EXPLICIT_BATCH") else 1 << kinds.STRONGLY_TYPED
    assert any_fake.record.network_flags == expected


def test_weak_typing_without_precision_flags_is_refused_with_a_hint(fake_tensorrt, onnx_file):
    with pytest.raises(EngineError, match="precision must be in the graph"):
        build_engine(onnx_file, BuildOptions(precision="int8"), trt=fake_tensorrt("11.1"))


def test_the_optimization_level_is_refused_by_versions_without_it(fake_tensorrt, onnx_file):
    with pytest.raises(InputError, match=r"8\.5 has no such level"):
        build_engine(onnx_file, BuildOptions(settings=BuilderSettings(optimization_level=4)), trt=fake_tensorrt("8.5"))
    trt = fake_tensorrt("8.6")
    assert (
        build_engine(onnx_file, BuildOptions(settings=BuilderSettings(optimization_level=4)), trt=trt).settings[
            "optimization_level"
        ]
        == 4
    )


def test_tactic_sources_are_checked_against_the_version(fake_tensorrt, onnx_file):
    options = BuildOptions(settings=BuilderSettings(tactic_sources=("CUDNN", "JIT_CONVOLUTIONS")))
    trt = fake_tensorrt("8.6")
    build_engine(onnx_file, options, trt=trt)
    assert trt.record.limits["tactics"] == (1 << trt.TacticSource.CUDNN) | (1 << trt.TacticSource.JIT_CONVOLUTIONS)
    with pytest.raises(InputError, match="EDGE_MASK_CONVOLUTIONS, JIT_CONVOLUTIONS"):
        build_engine(onnx_file, options, trt=fake_tensorrt("11.1"))


def test_the_timing_cache_is_saved_and_reused(any_fake, onnx_file, tmp_path):
    cache = tmp_path / "cache" / "x.timing"
    strongly = not capabilities(any_fake).precision_flags
    options = BuildOptions(timing_cache=cache, strongly_typed=strongly)
    build_engine(onnx_file, options, trt=any_fake)
    assert cache.read_bytes() == b"timings"
    build_engine(onnx_file, options, trt=any_fake)
    assert list(cache.parent.iterdir()) == [cache]


def test_without_a_gpu_the_error_says_how_to_build_elsewhere(any_fake, fake_tensorrt, onnx_file):
    trt = fake_tensorrt("8.6", has_gpu=False)
    with pytest.raises(EngineError, match=r"error: 35.*edgeau build PACKAGE --host") as caught:
        build_engine(onnx_file, trt=trt)
    assert "\n" not in str(caught.value)


def test_without_tensorrt_the_error_says_how_to_build_elsewhere(monkeypatch):
    monkeypatch.setenv("EDGEAU_TENSORRT", "no_such_tensorrt")
    with pytest.raises(EngineError, match=r"no_such_tensorrt is not installed.*--target BOARD"):
        load_tensorrt()


def test_parser_errors_name_the_node(any_fake, fake_tensorrt, onnx_file):
    version = any_fake.__version__.rsplit(".", 2)[0]
    trt = fake_tensorrt(version, parser_errors=[(7, "Assertion failed:\n  shiftIsAllZeros(zeroPoint)")])
    with pytest.raises(EngineError, match=r"node 7.*: Assertion failed: shiftIsAllZeros"):
        build_engine(onnx_file, trt=trt)


def test_a_failed_build_includes_tensorrts_message(any_fake, fake_tensorrt, onnx_file):
    version = any_fake.__version__.rsplit(".", 2)[0]
    trt = fake_tensorrt(version, fail=lambda flags, layers: "Error Code 10:\nno implementation for node conv")
    with pytest.raises(EngineError, match="Error Code 10: no implementation for node conv"):
        build_engine(onnx_file, trt=trt)


@pytest.mark.parametrize("batch", [(0, 1, 1), (2, 1, 4), (1, 4, 2)])
def test_a_batch_out_of_order_is_refused(batch):
    with pytest.raises(InputError, match="batch"):
        BuilderSettings(batch=batch)


def test_dla_needs_a_board_that_has_it(fake_tensorrt, onnx_file):
    with pytest.raises(EngineError, match="no DLA"):
        build_engine(
            onnx_file, BuildOptions(precision="fp16", settings=BuilderSettings(dla_core=0)), trt=fake_tensorrt("10.3")
        )


def test_dla_counts_the_layers_that_fell_back(fake_tensorrt, onnx_file):
    trt = fake_tensorrt("8.6", dla_cores=2, off_dla=("cast",))
    built = build_engine(onnx_file, BuildOptions(precision="fp16", settings=BuilderSettings(dla_core=1)), trt=trt)
    assert built.fell_back == ("cast",)
    assert built.settings["dla_gpu_share"] == pytest.approx(1 / 6, abs=1e-4)
    assert "GPU_FALLBACK" in trt.record.flags
    assert trt.record.config.DLA_core == 1


def test_too_many_layers_off_dla_are_an_error(fake_tensorrt, onnx_file):
    trt = fake_tensorrt("8.6", dla_cores=2, off_dla=("cast", "q", "w_q", "conv"))
    with pytest.raises(EngineError, match="4 of 6 layers can't run on DLA"):
        build_engine(onnx_file, BuildOptions(precision="fp16", settings=BuilderSettings(dla_core=0)), trt=trt)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (BuildOptions(precision="fp32", settings=BuilderSettings(dla_core=0)), "precision for DLA"),
        (BuildOptions(precision="int8", settings=BuilderSettings(dla_core=0)), "DLA takes no Q/DQ nodes"),
        (BuildOptions(precision="fp16", settings=BuilderSettings(dla_core=5)), "0 to 1"),
        (
            BuildOptions(precision="fp16", settings=BuilderSettings(dla_core=0, batch=(1, 1, 4))),
            "one fixed batch for DLA",
        ),
    ],
)
def test_options_that_dla_does_not_support_are_refused(fake_tensorrt, onnx_file, options, match):
    with pytest.raises(InputError, match=match):
        build_engine(onnx_file, options, trt=fake_tensorrt("8.6", dla_cores=2))


def test_mixed_bypasses_the_quantizer_of_grouped_convolutions(any_fake, onnx_file):
    strongly = not capabilities(any_fake).precision_flags
    options = BuildOptions(precision="mixed", float_grouped=True, strongly_typed=strongly)
    built = build_engine(onnx_file, options, trt=any_fake)
    assert built.settings["left_in_float"] == ["conv"]
    conv = any_fake.record.network.get_layer(6)
    # TensorRT 8 can't fuse quantized weights with a float activation, so both are float.
    assert [conv.get_input(port).name for port in (0, 1)] == ["cast_out", "w_out"]


def warnings_about_the_network(built):
    """TensorRT's warnings, except the one about the logger of another test file that came first in this process."""
    return [warning for warning in built.warnings if "logger passed into" not in warning]


@pytest.mark.parametrize("kind", ["fp32", "fp16", "int8"])
def test_the_real_builder_builds_every_precision_without_a_warning(rtx, toy_onnx, kind):
    messages = []
    options = BuildOptions(precision=kind, strongly_typed=True, settings=BuilderSettings(batch=(1, 2, 8)))
    built = build_engine(toy_onnx(kind), options, trt=rtx, report=messages.append)
    assert built.plan.startswith(b"vtrt")
    assert warnings_about_the_network(built) == []
    assert built.inputs == {"face": [32, 32, 3]}
    assert any("%" in line for line in messages)


def test_the_real_builder_accepts_grouped_convolutions_left_in_float(rtx, toy_onnx):
    options = BuildOptions(precision="mixed", strongly_typed=True, float_grouped=True)
    assert build_engine(toy_onnx("int8"), options, trt=rtx).settings["left_in_float"] == ["conv2"]


def test_the_real_parser_names_the_node_that_it_cannot_read(rtx, toy_onnx, tmp_path):
    import onnx

    model = onnx.load(toy_onnx("fp32"))
    model.graph.node[5].op_type = "NoSuchOperator"
    onnx.save(model, tmp_path / "bad.onnx")
    with pytest.raises(EngineError, match=r"can't parse .*bad\.onnx: node 5"):
        build_engine(tmp_path / "bad.onnx", BuildOptions(strongly_typed=True), trt=rtx)


def test_a_truncated_onnx_file_is_refused(rtx, toy_onnx, tmp_path):
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(toy_onnx("fp32").read_bytes()[:200])
    with pytest.raises(EngineError, match="can't parse"):
        build_engine(cut, BuildOptions(strongly_typed=True), trt=rtx)


def test_a_second_build_in_a_process_gets_its_own_errors(rtx, toy_onnx, tmp_path):
    build_engine(toy_onnx("fp32"), BuildOptions(strongly_typed=True), trt=rtx)
    first, second = listen(rtx), listen(rtx)
    assert first.logger is second.logger  # TensorRT would ignore another
    first.logger.log(rtx.ILogger.ERROR, "out of\n memory")
    assert first.errors == second.errors == ["out of memory"]
    assert warnings_about_the_network(build_engine(toy_onnx("fp16"), BuildOptions(strongly_typed=True), trt=rtx)) == []


# Ctrl-C during a build, in a separate process: a late signal would end pytest's.
INTERRUPTED = """
import signal, sys, threading, time
from pathlib import Path
import tensorrt_rtx
from edgeau.optimize.engine.builder import BuildOptions, BuilderSettings, build_engine

interrupted = threading.Event()

def interrupt_once(_):
    if not interrupted.is_set():
        interrupted.set()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(10)  # keep the build from ending before the main thread has seen the signal on a busy machine

signal.signal(signal.SIGINT, signal.default_int_handler)
options = BuildOptions(strongly_typed=True, timing_cache=Path(sys.argv[2]))
try:
    build_engine(Path(sys.argv[1]), options, trt=tensorrt_rtx, report=interrupt_once)
except KeyboardInterrupt:
    sys.exit(7)
"""


def test_ctrl_c_stops_a_real_build_and_leaves_no_files(rtx, toy_onnx, tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, str(toy_onnx("fp32")), str(tmp_path / "x.timing")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert list(tmp_path.iterdir()) == []
