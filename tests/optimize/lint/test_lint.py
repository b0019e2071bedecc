"""Each lint rule has a model that breaks it, which fix fixes or says that it can't, and TensorRT's importer agrees."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgeau.optimize.finish import finish
from edgeau.optimize.lint import RULES, fix, lint, render, report
from edgeau.runtime.errors import InputError

SHAPE = [1, 16, 8, 8]
S8, U8 = np.int8(0), np.uint8(0)
NEW, OLD = "tensorrt-10.3", "tensorrt-8.5"


@dataclass(frozen=True)
class Broken:
    """A graph from `x` [1, 16, 8, 8] that breaks a rule: how it is built, for which target, and if it is fixable."""

    code: str
    target: str | None
    fixed: bool
    build: Callable
    options: dict


BROKEN: list[Broken] = []


def breaks(code: str, target: str | None = NEW, *, fixed: bool = True, **options):
    def register(build: Callable) -> Callable:
        BROKEN.append(Broken(code, target, fixed, build, options))
        return build

    return register


def _convolved(g, x: str):
    """A layer after a pair, because a pair without one is simply removed."""
    return g.op("Conv", x, g.int8_weight(g.weight(16, 16, 1, 1))), SHAPE


def built(net, case: Broken) -> onnx.ModelProto:
    g = net()
    y, shape = case.build(g)
    g.nodes.append(helper.make_node("Identity", [y], ["y"], name="end"))
    options = {"inputs": {"x": SHAPE}, "outputs": {"y": shape}} | case.options
    return g.model(**options)


@breaks("E101")
def _(g):
    return g.pair(g.op("Relu", "x"), 0.01, U8), SHAPE


@breaks("E101")
def _(g):
    return g.pair(g.op("Relu", "x"), 0.01), SHAPE


@breaks("E102")
def _(g):
    return g.pair("x", 0.01, np.int8(-7)), SHAPE


@breaks("E103", fixed=False)
def _(g):
    return _convolved(g, g.pair("x", np.nan, S8))


@breaks("E103", "onnxruntime", fixed=False)
def _(g):
    return g.pair("x", -0.01, S8), SHAPE


@breaks("E104", fixed=False)
def _(g):
    weight, scale = g.const(np.ones((16, 16, 1, 1), np.int8)), g.const(np.full(5, 0.01, np.float32))
    return g.op("Conv", "x", g.op("DequantizeLinear", weight, scale, g.const(np.zeros(5, np.int8)), axis=0)), SHAPE


@breaks("E105")
def _(g):
    return g.op("ConvTranspose", "x", g.int8_weight(g.weight(16, 32, 2, 2), axis=0)), [1, 32, 9, 9]


@breaks("E105")
def _(g):
    return g.op("Conv", "x", g.int8_weight(g.weight(32, 16, 1, 1), axis=1)), [1, 32, 8, 8]


@breaks("E106")
def _(g):
    return g.pair("x", np.linspace(0.01, 0.02, 16), np.zeros(16, np.int8), axis=1), SHAPE


@breaks("E107")
def _(g):
    return g.pair("x", 0.01, np.zeros(16, np.int8), axis=1), SHAPE


@breaks("E108", fixed=False)
def _(g):
    scale, zero = g.op("ReduceMax", "x", keepdims=0), g.const(S8)
    return _convolved(g, g.op("DequantizeLinear", g.op("QuantizeLinear", "x", scale, zero), scale, zero))


@breaks("E109")
def _(g):
    parameters = np.arange(16, dtype=np.int32), np.full(16, 1e-4, np.float32), np.zeros(16, np.int32)
    bias = g.op("DequantizeLinear", *map(g.const, parameters), axis=0)
    return g.op("Conv", "x", g.int8_weight(g.weight(16, 16, 1, 1)), bias), SHAPE


def _behind_identity(g):
    scale, zero = g.const(np.float32(0.01)), g.op("Identity", g.const(S8))
    return g.op("DequantizeLinear", g.op("QuantizeLinear", "x", scale, zero), scale, zero), SHAPE


breaks("E110", OLD)(_behind_identity)
breaks("W207", NEW)(_behind_identity)


@breaks("E111", OLD)
def _(g):
    return g.pair(g.op("Relu", "x"), 0.01), SHAPE


@breaks("E112", fixed=False, opset=21, ir_version=10)
def _(g):
    return _convolved(g, g.pair("x", 0.01, np.int16(0)))


@breaks("E113", opset=23, ir_version=11)
def _(g):
    return g.op("Relu", "x"), SHAPE


@breaks("E113", OLD, opset=18)
def _(g):
    return g.op("ReduceMean", "x", g.const(np.array([2, 3], np.int64)), keepdims=1), [1, 16, 1, 1]


@breaks("E113", None, opset=99, fixed=False)
def _(g):
    return g.op("Relu", "x"), SHAPE


@breaks("E114", OLD)
def _(g):
    return g.op("LayerNormalization", "x", g.const(np.ones(8, np.float32))), SHAPE


@breaks("E114", "tensorrt", fixed=False)
def _(g):
    return g.op("Det", "x"), [1, 16]


@breaks("E115", fixed=False, extra_domains=("org.openvinotoolkit",))
def _(g):
    limits = [g.const(np.float32(value)) for value in (-1, 1, -1, 1)]
    return g.op("FakeQuantize", "x", *limits, domain="org.openvinotoolkit", levels=256), SHAPE


@breaks("E116", fixed=False)
def _(g):
    return g.op("Cast", g.op("Cast", "x", to=TensorProto.INT16), to=TensorProto.FLOAT), SHAPE


@breaks("E117", inputs={"x": [1, 8, 8, 3]}, input_type=TensorProto.UINT8)
def _(g):
    return g.op("Cast", g.op("Transpose", "x", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT), [1, 3, 8, 8]


@breaks("E118", fixed=False)
def _(g):
    return g.op("Cast", g.op("DynamicQuantizeLinear", "x", outputs=3), to=TensorProto.FLOAT), SHAPE


@breaks("E119", None, fixed=False)
def _(g):
    return g.op("Mul", "x", g.const(np.float32(np.nan))), SHAPE


@breaks("E120")
def _(g):
    parameters = np.full((16, 16, 1, 1), 3, np.uint8), np.float32(0.1), U8
    return g.op("Conv", "x", g.op("DequantizeLinear", *map(g.const, parameters))), SHAPE


@breaks("E121", fixed=False)
def _(g):
    return g.op("Cast", g.op("Cast", "x", to=TensorProto.UINT8), to=TensorProto.FLOAT), SHAPE


@breaks("E122", OLD, opset=18)
def _(g):
    return g.op("ReduceMean", "x", g.const(np.array([2, 3])), keepdims=1), [1, 16, 1, 1]


@breaks("W201")
def _(g):
    skip = g.op("Relu", "x")
    return g.op("Add", g.pair(g.conv(skip, 16, 16), 0.02, S8), g.pair(skip, 0.02, S8)), SHAPE


@breaks("W202")
def _(g):
    return g.op("Relu", g.pair(g.conv("x", 16, 16), 0.02, S8)), SHAPE


@breaks("W202", "onnxruntime")
def _(g):
    return g.op("Relu", g.pair(g.conv("x", 16, 16), 0.02, S8)), SHAPE


@breaks("W203")
def _(g):
    return g.op("Conv", g.pair("x", 0.02, S8), g.int8_weight(g.weight(4, 16, 3, 1))), [1, 4, 6, 8]


@breaks("W203", inputs={"x": ["batch", 32]})
def _(g):
    return g.op("Gemm", g.pair("x", 0.02, S8), g.int8_weight(g.weight(64, 32)), transB=1), ["batch", 64]


@breaks("W204")
def _(g):
    x = g.op("Conv", g.pair("x", 0.02, S8), g.int8_weight(g.weight(16, 16, 1, 1)))
    x = g.op("Mul", g.pair(x, 0.05, S8), g.const(np.float32(2)))
    return g.op("Conv", g.pair(x, 0.05, S8), g.int8_weight(g.weight(16, 16, 1, 1))), SHAPE


@breaks("W205")
def _(g):
    return g.op("Sigmoid", g.pair(g.conv("x", 16, 16), 0.02, S8)), SHAPE


@breaks("W206")
def _(g):
    left, right = (g.conv("x", 16, 16) for _ in range(2))
    joined = g.op("Concat", g.pair(left, 0.02, S8), g.pair(right, 0.03, S8), axis=1)
    return g.op("Conv", joined, g.int8_weight(g.weight(16, 32, 1, 1))), SHAPE


@breaks("W217")
def _(g):
    none, scales = g.const(np.zeros(0, np.float32)), g.const(np.array([1, 1, 2, 2], np.float32))
    return g.op("Resize", "x", none, scales, mode="nearest"), [1, 16, 16, 16]


@breaks("W208", "onnxruntime")
def _(g):
    return g.pair(g.op("Relu", "x"), 0.01, S8), SHAPE


@breaks("W209", "onnxruntime")
def _(g):
    return g.op("Add", g.pair("x", 0.01, S8), g.pair(g.op("Relu", "x"), 0.01, U8)), SHAPE


@breaks("W210", OLD)
def _(g):
    return g.op("Conv", "x", g.int8_weight(g.weight(16, 16, 1, 1))), SHAPE


@breaks("W211", None, fixed=False, input_type=TensorProto.FLOAT16, output_type=TensorProto.FLOAT16)
def _(g):
    return g.op("Relu", "x"), SHAPE


@breaks("W212", "tensorrt-11.1", fixed=False)
def _(g):
    return g.conv("x", 16, 16), SHAPE


@breaks("W216", fixed=False, extra_domains=("com.microsoft",))
def _(g):
    return g.op("FastGelu", "x", domain="com.microsoft"), SHAPE


def name_of(case: Broken) -> str:
    return f"{case.code}-{case.target}"


@pytest.mark.parametrize("case", BROKEN, ids=name_of)
def test_lint_reports_a_broken_rule_and_fix_fixes_it_or_says_so(net, case):
    model = built(net, case)
    findings = [finding for finding in lint(model, case.target) if finding.code == case.code]
    assert findings
    for finding in findings:
        assert finding.node
        assert finding.severity == ("error" if case.code.startswith("E") else "warning")
    left = {finding.code for finding in fix(model, case.target or "openvino").left}
    assert (case.code not in left) is case.fixed


def test_every_rule_has_a_model_that_breaks_it():
    assert {case.code for case in BROKEN} == set(RULES)


def test_every_rule_has_a_reason_and_a_hint():
    for rule in RULES.values():
        assert len(rule.why) > 25
        assert rule.hint


@pytest.fixture(scope="session")
def importer():
    """Parse a model with TensorRT and return (accepted, warnings and errors). A process has only one logger."""
    trt = pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX: pip install tensorrt-rtx")

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity, text) -> None:
            # Ignore TensorRT's message that another logger of this process came first.
            if severity <= trt.ILogger.Severity.WARNING and "differs from one already registered" not in text:
                self.lines.append(text)

    log = Log()
    builder = trt.Builder(log)

    def parse(model: onnx.ModelProto) -> tuple[bool, list[str]]:
        log.lines.clear()
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, log)
        taken = parser.parse(model.SerializeToString())
        return taken, [*log.lines, *(parser.get_error(i).desc() for i in range(parser.num_errors))]

    return parse


# W216 is an operator that the importer doesn't know.
FIXED_FOR_TENSORRT = [
    case
    for case in BROKEN
    if (case.target or "").startswith("tensorrt") and (case.fixed or case.code.startswith("W")) and case.code != "W216"
]


@pytest.mark.parametrize("case", FIXED_FOR_TENSORRT, ids=name_of)
def test_the_importer_accepts_what_fix_fixed(net, importer, case):
    fixed = fix(built(net, case), case.target)
    assert not [finding for finding in fixed.left if finding.severity == "error"]
    assert importer(fixed.model) == (True, [])


# Errors that the importer refuses or warns about. Others it accepts silently: the build fails or the result is wrong.
REFUSED = {"E102", "E103", "E104", "E107", "E109", "E112", "E115", "E116", "E117", "E118", "E120", "E121"}


@pytest.mark.parametrize("case", [case for case in BROKEN if case.code in REFUSED and case.target == NEW], ids=name_of)
def test_the_importer_refuses_what_lint_calls_an_error(net, importer, case):
    taken, lines = importer(built(net, case))
    assert not taken
    assert lines


def test_the_importer_warns_about_nncfs_file_but_not_about_the_finished_one(nncf_cnn, importer):
    assert {finding.code for finding in lint(nncf_cnn, NEW)} == {"E101", "E106", "W201", "W203", "W204"}
    taken, lines = importer(nncf_cnn)
    assert taken
    assert any("UINT8 zero_point" in line for line in lines)
    for target in ("tensorrt", NEW, OLD):
        finished = finish(nncf_cnn, target).model
        assert lint(finished, target) == ()
        assert importer(finished) == (True, [])


def test_findings_depend_on_the_target(nncf_cnn):
    assert lint(nncf_cnn, "openvino") == ()
    assert {finding.severity for finding in lint(nncf_cnn, "onnxruntime")} == {"warning"}
    assert "error" in {finding.severity for finding in lint(nncf_cnn, NEW)}


def test_a_report_is_json_and_can_be_rendered(nncf_cnn, tmp_path):
    file, fixed = tmp_path / "model.onnx", tmp_path / "fixed.onnx"
    onnx.save(nncf_cnn, file)
    described = report(file, NEW, fixed)
    assert json.loads(json.dumps(described)) == described
    assert described["ok"]
    assert described["quantization"]["activations"]["uint8"] == 13
    lines = render(described)
    assert any(line.startswith("E101 ") for line in lines)
    assert any(line.startswith("wrote") for line in lines)
    assert report(fixed, NEW)["findings"] == []
    assert not report(file, NEW)["ok"]


@pytest.mark.parametrize("content", [b"", b"not an ONNX file", b"\x08\x08\x12"])
def test_a_file_that_is_not_onnx_is_a_one_line_error(tmp_path, content):
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    with pytest.raises(InputError) as raised:
        report(file, NEW)
    assert "\n" not in str(raised.value)
    assert "model.onnx" in str(raised.value)


def test_a_truncated_file_is_refused(nncf_cnn, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(nncf_cnn.SerializeToString()[:-1000])
    with pytest.raises(InputError, match="damaged, truncated or not ONNX"):
        report(file, NEW)


def test_fix_without_a_known_target_is_refused_and_writes_nothing(nncf_cnn, tmp_path):
    file, fixed = tmp_path / "model.onnx", tmp_path / "fixed.onnx"
    onnx.save(nncf_cnn, file)
    with pytest.raises(InputError, match="--fix needs a target"):
        report(file, None, fixed)
    with pytest.raises(InputError, match="expected onnxruntime, openvino"):
        report(file, "coreml", fixed)
    assert not Path(fixed).exists()
