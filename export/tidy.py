"""Make an exported graph small, readable and private.

Passes, in this order: fold scale factors in front of convolutions into their weights; remove unused nodes; name nodes,
values and weights after the modules that they come from; remove metadata, which holds source paths and stack traces.
"""

from __future__ import annotations

import ast

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    IdentityEliminationPass,
    RemoveUnusedNodesPass,
    TopologicalSortPass,
)

_SCOPES = "pkg.torch.onnx.name_scopes"
_PREFIX = "model."


def tidy(model: ir.Model) -> onnx.ModelProto:
    """Apply all passes, in place, and return the graph as a protobuf."""
    fold_scales(model.graph)
    for transformation in (IdentityEliminationPass(), RemoveUnusedNodesPass(), TopologicalSortPass()):
        transformation(model)
    give_names(model.graph)
    strip_metadata(model)
    model.producer_name, model.producer_version = "edgeau", None
    return ir.to_proto(model)


def fold_scales(graph: ir.Graph) -> None:
    """Fold ``x * s`` or ``x / s``, for a scalar ``s``, into the weights of the convolutions that are its only readers.

    This is exact even where the convolution pads, because zero times ``s`` is zero.
    """
    for node in list(graph):
        factor = _factor(node)
        if factor is None:
            continue
        uses = list(node.outputs[0].uses())
        if not uses or any(not _reads_as_data(use.node, use.idx) for use in uses):
            continue
        source = next(value for value in node.inputs if value is not None and value.const_value is None)
        for use in uses:
            _scale_weight(use.node, factor)
            use.node.replace_input_with(0, source)


def _factor(node: ir.Node) -> float | None:
    if node.op_type not in ("Mul", "Div") or node.outputs[0].is_graph_output():
        return None
    for position, value in enumerate(node.inputs):
        constant = value.const_value if value is not None else None
        if constant is not None and constant.size == 1 and (node.op_type == "Mul" or position == 1):
            number = float(constant.numpy().reshape(()))
            return number if node.op_type == "Mul" else 1 / number
    return None


def _reads_as_data(node: ir.Node, position: int) -> bool:
    weight = node.inputs[1] if node.op_type == "Conv" and position == 0 else None
    return weight is not None and weight.const_value is not None and len(list(weight.uses())) == 1


def _scale_weight(conv: ir.Node, factor: float) -> None:
    weight = conv.inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    scaled = (weight.const_value.numpy().astype(np.float64) * factor).astype(np.float32)
    weight.const_value = ir.Tensor(scaled, name=weight.name)


def give_names(graph: ir.Graph) -> None:
    """Name each node ``module/Operator``, its output likewise, and weights as in the state dict."""
    taken: set[str] = set()
    for node in graph:
        node.name = _unused(f"{_scope(node)}{node.op_type}", taken)
        for index, value in enumerate(node.outputs):
            if not value.is_graph_output():
                value.name = node.name if index == 0 else f"{node.name}.{index}"
    for name, value in list(graph.initializers.items()):
        reader = next(iter(value.uses())).node
        wish = name[len(_PREFIX) :] if name.startswith(_PREFIX) else f"{reader.name}.constant"
        value.name = _unused(wish, taken)


def _scope(node: ir.Node) -> str:
    """The module that made a node, from torch's list of scopes (outermost first, the operation itself last)."""
    scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "['', '']"))
    module = scopes[-2] if len(scopes) > 1 else ""
    module = "" if module == "model" else module.removeprefix(_PREFIX)
    return f"{module}/" if module else ""


def _unused(name: str, taken: set[str]) -> str:
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate


def strip_metadata(model: ir.Model) -> None:
    """Remove documentation strings and properties of the model, the graph, its nodes and its values."""
    ClearMetadataAndDocStringPass()(model)
    model.metadata_props.clear()
    graph = model.graph
    values = [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    for value in values:
        value.metadata_props.clear()
        value.doc_string = None
        tensor = value.const_value
        if isinstance(tensor, ir.Tensor):
            tensor.metadata_props.clear()
