"""Rules about everything but Q and DQ: operator sets, operators, types, weights, inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from edgeau.optimize.finish.base import Note
from edgeau.optimize.finish.casts import CastBeforeMoving
from edgeau.optimize.finish.constants import OmittedInputs
from edgeau.optimize.finish.integer_operators import CONCAT, INTEGER_OPERATORS, MICROSOFT
from edgeau.optimize.finish.opset import opset_range
from edgeau.optimize.finish.reader import ONNXRUNTIME, OPENVINO, TENSORRT
from edgeau.optimize.onnx_graph.graph import label
from edgeau.optimize.onnx_graph.operators import (
    AXES_MOVED_TO_INPUT,
    DEFAULT_DOMAINS,
    DEQUANTIZE,
    INTEGER_OPS,
    QUANTIZE,
    WEIGHTED_OPS,
)

from .rules import EVERYWHERE, Case, rule, rule_of_pass
from .support import FIRST_TO_READ_AXES, OPERATORS_NEVER, OPERATORS_SINCE, UNSUPPORTED_TYPES

FAKE_QUANTIZE_DOMAIN = "org.openvinotoolkit"
# The file doesn't tell which operators of other domains TensorRT imports natively or as plugins.
QUIET_DOMAINS = (*DEFAULT_DOMAINS, FAKE_QUANTIZE_DOMAIN)


@rule(
    "E113",
    "operator set that the target doesn't support",
    EVERYWHERE,
    hint="--fix converts it if ONNX's version converter can; otherwise export again with an opset in this range",
    why="operators may be defined differently in another set, and the reader may refuse it",
)
def _opset(case: Case) -> Iterator[Note]:
    lowest, highest = opset_range(case.reader)
    opset = case.graph.opset
    if not lowest <= opset <= highest:
        yield Note(
            "opset", f"{opset}, the target supports {lowest} to {highest}" if opset else "the model imports none"
        )


@rule(
    "E114",
    "operator that this TensorRT lacks",
    (TENSORRT,),
    hint="--fix replaces LayerNormalization; for others export with an older opset, or build with a newer TensorRT",
    why="the importer refuses it, and the build never starts",
)
def _operators(case: Case) -> Iterator[Note]:
    for node in case.graph.nodes:
        if node.domain not in DEFAULT_DOMAINS:
            continue
        since = OPERATORS_SINCE.get(node.op_type)
        if node.op_type in OPERATORS_NEVER:
            yield Note(label(node), f"{node.op_type} is not supported")
        elif since is not None and case.before(*since):
            yield Note(label(node), f"{node.op_type} needs TensorRT {'.'.join(map(str, since))}")


@rule(
    "E122",
    "reduction whose axes TensorRT does not read",
    (TENSORRT,),
    hint="--fix moves constant axes to the attribute, in opset 17",
    why="before version 10 the importer ignores axes given as an input and reduces all axes, without a warning; "
    "later versions refuse computed ones",
)
def _unread_axes(case: Case) -> Iterator[Note]:
    for node in case.graph.of_type(*AXES_MOVED_TO_INPUT, "ReduceSum"):
        if len(node.input) < 2 or not node.input[1]:
            continue
        if case.graph.constant(node.input[1]) is None:
            yield Note(label(node), f"{node.op_type}: axes {node.input[1]} are computed")
        elif case.before(*FIRST_TO_READ_AXES) and node.op_type in AXES_MOVED_TO_INPUT:
            yield Note(label(node), f"{node.op_type} takes axes as an input")


@rule(
    "E115",
    "FakeQuantize",
    (TENSORRT, ONNXRUNTIME),
    hint="call nncf.strip(model, example_input=...) before torch.onnx.export(dynamo=False), which writes Q and DQ",
    why="FakeQuantize is an OpenVINO operator; other readers report a missing plugin",
)
def _fake_quantize(case: Case) -> Iterator[Note]:
    for node in case.graph.nodes:
        if node.op_type == "FakeQuantize" or node.domain == FAKE_QUANTIZE_DOMAIN:
            yield Note(label(node), f"{node.op_type} of {node.domain or 'no domain'}")


@rule(
    "W216",
    "operator of another domain",
    (TENSORRT, OPENVINO),
    hint="export it as standard operators, or provide the plugin that implements it",
    why="each reader supports only a few operators outside the ONNX standard and refuses the rest",
)
def _domains(case: Case) -> Iterator[Note]:
    for node in case.graph.nodes:
        if node.domain not in QUIET_DOMAINS and not _on_integers(node):
            yield Note(label(node), f"{node.op_type} of {node.domain}")


@rule(
    "E116",
    "type that TensorRT lacks",
    (TENSORRT,),
    hint="cast to a 32-bit type, or export again without it",
    why="the importer refuses tensors of this type",
)
def _types(case: Case) -> Iterator[Note]:
    declared = [*case.model.graph.input, *case.model.graph.value_info, *case.model.graph.output]
    kinds = {value.name: value.type.tensor_type.elem_type for value in declared}
    kinds.update((tensor.name, tensor.data_type) for tensor in case.graph.tensors.values())
    for name, kind in kinds.items():
        if kind in UNSUPPORTED_TYPES:
            yield Note(name, TensorProto.DataType.Name(kind).lower())


rule_of_pass(
    "E117",
    "bytes moved before they are cast",
    CastBeforeMoving(),
    (TENSORRT,),
    why="TensorRT supports UINT8 only for inputs and outputs of the network, and can't transpose it",
)


@rule(
    "E118",
    "operator that computes on integers",
    (TENSORRT,),
    hint="--fix writes QLinearConv and the like as Q/DQ, and layers with ranges computed at run time as float layers",
    why="TensorRT reads quantization only from QuantizeLinear and DequantizeLinear",
)
def _integer_operators(case: Case) -> Iterator[Note]:
    for node in case.graph.nodes:
        if _on_integers(node):
            yield Note(label(node), node.op_type)


def _on_integers(node: onnx.NodeProto) -> bool:
    """Whether a node is a standard operator on integers, or one of ONNX Runtime's that `FloatOperators` knows."""
    standard = node.op_type in INTEGER_OPS and node.domain in DEFAULT_DOMAINS
    return standard or (node.op_type in (*INTEGER_OPERATORS, CONCAT) and node.domain == MICROSOFT)


@rule(
    "E119",
    "weights with NaN or infinity",
    EVERYWHERE,
    hint="the training diverged; export an earlier checkpoint",
    why="everything computed from them is NaN",
)
def _not_finite(case: Case) -> Iterator[Note]:
    for tensor in case.graph.tensors.values():
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16):
            values = numpy_helper.to_array(tensor)
            wrong = int(np.count_nonzero(~np.isfinite(values)))
            # Attention masks are -inf on purpose.
            if wrong and not (np.isnan(values).sum() == 0 and _only_added(case, tensor.name)):
                yield Note(tensor.name, f"{wrong} of {values.size} values")


def _only_added(case: Case, name: str) -> bool:
    return all(node.op_type in ("Add", "Where", "Clip", "Max", "Min") for node, _ in case.graph.consumers(name))


@rule(
    "E121",
    "bytes computed in the middle of the graph",
    (TENSORRT,),
    hint="cast to int32 or float instead",
    why="TensorRT supports UINT8 only for network inputs and outputs (legalUINT8)",
)
def _inner_bytes(case: Case) -> Iterator[Note]:
    for node in case.graph.of_type("Cast"):
        to = next((entry.i for entry in node.attribute if entry.name == "to"), 0)
        if to == TensorProto.UINT8 and node.output[0] not in case.graph.outputs:
            yield Note(label(node), "Cast to uint8")


rule_of_pass(
    "W217",
    "initializer without elements",
    OmittedInputs(),
    (TENSORRT,),
    why="the importer warns about each; optional inputs are better omitted",
)


@rule(
    "W211",
    "FP16 inputs or outputs",
    EVERYWHERE,
    hint="keep inputs and outputs in float32 and cast inside, as edgeau's FP16 conversion does",
    why="callers must convert to and from half precision; edgeau's runtime passes uint8 and expects float32",
)
def _half_interface(case: Case) -> Iterator[Note]:
    for value in (*case.model.graph.input, *case.model.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            yield Note(value.name, "float16")


@rule(
    "W212",
    "FP32 only, for TensorRT 11",
    (TENSORRT,),
    hint="make an FP16 or INT8 variant of it",
    why="TensorRT 11 has no precision flags: it computes in the types of the file",
)
def _float_only(case: Case) -> Iterator[Note]:
    kinds = {tensor.data_type for tensor in case.graph.tensors.values()}
    quantized = case.graph.of_type(QUANTIZE, DEQUANTIZE)
    half = {TensorProto.FLOAT16, TensorProto.BFLOAT16} & kinds
    if not case.before(11, 0) and not quantized and not half and case.graph.of_type(*WEIGHTED_OPS):
        yield Note("model", "every weight is float32")
