"""The exported graph: its inputs and outputs, operators and names, and TensorRT's parser on it."""

import json
import subprocess
import sys

import onnx
import onnxruntime
import pytest
import torch

from edgeau.export.graph import OPSETS, Probabilities, to_onnx
from edgeau.runtime.action_units import UNION
from edgeau.runtime.errors import InputError
from edgeau.train.models import build_model, resolve_model

FAMILIES = ("cednn", "fan-trans", "sma-net", "eau")


def dims(value):
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_inputs_and_outputs_follow_the_contract(graph_of, family):
    graph = graph_of(family).graph
    names = ["face", "neutral"] if family == "cednn" else ["face"]
    assert [value.name for value in graph.input] == names
    assert all(value.type.tensor_type.elem_type == onnx.TensorProto.UINT8 for value in graph.input)
    assert all(dims(value) == ["N", 64, 64, 3] for value in graph.input)
    assert [(value.name, dims(value)) for value in graph.output] == [("au", ["N", 3]), ("expression", ["N", 2])]
    assert all(value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for value in graph.output)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_gives_the_same_as_single_crops(graph_of, family):
    session = onnxruntime.InferenceSession(graph_of(family).SerializeToString())
    generator = torch.Generator().manual_seed(1)
    feed = {
        item.name: torch.randint(0, 256, (5, 64, 64, 3), dtype=torch.uint8, generator=generator).numpy()
        for item in session.get_inputs()
    }
    whole = session.run(None, feed)
    for row in range(5):
        single = session.run(None, {name: array[row : row + 1] for name, array in feed.items()})
        for output, part in zip(whole, single, strict=True):
            assert part[0] == pytest.approx(output[row], abs=1e-5)


@pytest.mark.slow
def test_openvino_computes_sma_net_in_a_batch_larger_than_its_regions():
    openvino = pytest.importorskip("openvino")
    torch.manual_seed(0)
    net = build_model(*resolve_model("sma-net-s", {"aus": UNION})).eval()
    torch.nn.init.normal_(net.au_weight)
    torch.nn.init.normal_(net.au_bias, std=3.0)
    core = openvino.Core()
    model = core.compile_model(core.read_model(to_onnx(net).SerializeToString()), "CPU")
    faces = torch.randint(0, 256, (17, 112, 112, 3), dtype=torch.uint8).numpy()
    together = model.create_infer_request().infer({"face": faces})["au"]
    single = model.create_infer_request().infer({"face": faces[16:]})["au"]
    assert abs(together[16] - single[0]).max() < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_agree_with_the_torch_model(graph_of, model_of, family):
    session = onnxruntime.InferenceSession(graph_of(family).SerializeToString())
    generator = torch.Generator().manual_seed(2)
    inputs = [torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=generator) for _ in range(2)]
    inputs = inputs[: len(session.get_inputs())]
    with torch.no_grad():
        expected = Probabilities(model_of(family)).eval()(*inputs)
    got = session.run(None, {i.name: t.numpy() for i, t in zip(session.get_inputs(), inputs, strict=True)})
    for reference, output in zip(expected, got, strict=True):
        torch.testing.assert_close(torch.from_numpy(output), reference, atol=1e-5, rtol=0)
    assert got[1].sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("family", ["cednn", "sma-net", "eau"])
def test_batch_norm_and_scale_are_folded_into_convolutions(model_of, family):
    graph = to_onnx(model_of(family, pixels="scaled")).graph
    operators = {node.op_type for node in graph.node}
    assert "BatchNormalization" not in operators
    first = next(node for node in graph.node if node.op_type == "Conv" and not node.name.startswith("difference"))
    producer = next(node for node in graph.node if first.input[0] in node.output)
    assert producer.op_type == "Transpose"  # nothing scales the image on its way to the first convolution


@pytest.mark.parametrize("family", FAMILIES)
def test_crops_are_standardised_by_poolings_that_stay_in_float(graph_of, family):
    from edgeau.optimize.lint import lint
    from edgeau.optimize.quantization.scope import float_nodes

    model = graph_of(family)
    prepared = {node.name: node.op_type for node in model.graph.node if node.name.startswith("pixels/")}
    expected = ["Div", "AveragePool", "Sub", "Mul", "AveragePool", "Add", "Sqrt", "Div"]
    assert list(prepared.values()) == expected
    assert set(prepared) <= set(float_nodes(model))
    for target in ("tensorrt", "onnxruntime", "openvino"):
        assert not [finding for finding in lint(model, target) if finding.node != "model"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_cast_comes_before_the_transpose(graph_of, family):
    graph = graph_of(family).graph
    for value in graph.input:
        assert [node.op_type for node in graph.node if value.name in node.input] == ["Cast"]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_shape_is_computed_at_run_time(graph_of, family):
    assert not {node.op_type for node in graph_of(family).graph.node} & {"Shape", "Size", "NonZero", "Loop", "If"}


def test_difference_maps_are_exported_as_comparisons(graph_of):
    nodes = [node for node in graph_of("cednn").graph.node if node.name.startswith("difference/")]
    assert [node.op_type for node in nodes] == ["Sub", "Conv", "Abs", "Greater", "Cast"]


@pytest.mark.parametrize("family", FAMILIES)
def test_node_names_are_unique_and_come_from_module_names(graph_of, family):
    graph = graph_of(family).graph
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    assert any(name.startswith("planes/Cast") for name in names)
    assert all(
        name.rsplit("/", 1)[-1].split("_")[0] == node.op_type for name, node in zip(names, graph.node, strict=True)
    )
    assert not [item.name for item in graph.initializer if item.name.startswith(("val_", "model."))]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_file_contains_nothing_about_the_exporting_machine(graph_of, family):
    data = graph_of(family).SerializeToString()
    assert not any(
        word in data for word in (b"/train/models/", b"stack_trace", b"pkg.torch", b"site-packages", b"Traceback")
    )
    assert not any(initializer.external_data for initializer in graph_of(family).graph.initializer)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("opset", "family", "overrides", "outputs"),
    [
        (min(OPSETS), "cednn", {"difference": "max", "expressions": ()}, ["au"]),
        (max(OPSETS), "eau", {}, ["au", "expression"]),
    ],
)
def test_the_requested_operator_set_is_used(model_of, opset, family, overrides, outputs):
    graph = to_onnx(model_of(family, **overrides), opset)
    assert [(item.domain, item.version) for item in graph.opset_import] == [("", opset)]
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    assert [output.name for output in session.get_outputs()] == outputs


def test_an_unsupported_operator_set_is_refused(model_of):
    with pytest.raises(InputError, match="opset: got 16, expected one of 17, 18, 19, 20"):
        to_onnx(model_of("cednn"), 16)


PARSE = """
import json, sys
import tensorrt_rtx as tensorrt

messages = []

class Logger(tensorrt.ILogger):
    def log(self, severity, message):
        if severity <= tensorrt.ILogger.WARNING:
            messages.append(message)

logger = Logger()
builder = tensorrt.Builder(logger)
network = builder.create_network(0)
parser = tensorrt.OnnxParser(network, logger)
batch = None
if parser.parse(sys.stdin.buffer.read()):
    batch = network.get_input(0).shape[0]
else:
    messages += [parser.get_error(number).desc() for number in range(parser.num_errors)]
print(json.dumps([messages, batch]))
"""


def parse_by_tensorrt(graph):
    """Return warnings and errors of TensorRT-RTX's parser, which needs no GPU, and the batch of the first input.

    It runs in a separate process, because TensorRT keeps the first logger of a process.
    """
    pytest.importorskip("tensorrt_rtx")
    done = subprocess.run(
        [sys.executable, "-c", PARSE], input=graph.SerializeToString(), capture_output=True, check=True
    )
    messages, batch = json.loads(done.stdout)
    return messages, batch


@pytest.mark.parametrize("family", FAMILIES)
def test_tensorrt_parses_the_graph_without_a_warning(graph_of, family):
    assert parse_by_tensorrt(graph_of(family)) == ([], -1)


def test_tensorrts_warnings_are_captured():
    quantized = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        unsigned (float[N, 4] x) => (float[N, 4] y) <float scale = {0.1}, uint8 zero = {0}> {
            q = QuantizeLinear(x, scale, zero)
            y = DequantizeLinear(q, scale, zero)
        }
    """)
    messages, _ = parse_by_tensorrt(quantized)
    assert any("UINT8" in message for message in messages)
