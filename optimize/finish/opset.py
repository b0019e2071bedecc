"""The operator sets (opsets) that readers support, and converting a model to one of them.

Sources for TensorRT: onnx-tensorrt's docs/operators.md on the branches 8.5-GA, 8.6-GA, 10.1-GA, 10.15-GA; NVIDIA's
"ONNX Opset Guide" for 11.x. A version between two branches is treated as the older.
"""

from __future__ import annotations

import onnx
from onnx import defs, version_converter

from edgeau.optimize.onnx_graph.graph import Graph, opset_of
from edgeau.optimize.onnx_graph.operators import AXES_MOVED_TO_INPUT, DEFAULT_DOMAINS, FIRST_OPSET_OF_AXES_INPUT

from .base import Note, PassReport
from .reader import TENSORRT, Reader

NAME = "supported-opset"
# (first version of TensorRT, newest opset), oldest first.
NEWEST_OPSETS = (((0,), 17), ((10, 0), 20), ((10, 15), 24), ((11, 0), 25))
OLDEST_OPSET, OLDEST_OPSET_ELSEWHERE = 9, 7
# From this opset on, a newer definition of an operator mostly adds types, attributes with a default, or inputs, so a
# node that fits the older definition means the same there. These are the exceptions (onnx, docs/Changelog.md).
_FIRST_COMPATIBLE = 13
_MEANING_CHANGED = frozenset({"GroupNormalization", "GridSample", "DFT", "Split"})


def opset_range(reader: Reader | None) -> tuple[int, int]:
    """Oldest and newest opset that a reader supports; without one, those that onnx supports."""
    if reader is None or reader.name != TENSORRT:
        return OLDEST_OPSET_ELSEWHERE, defs.onnx_opset_version()
    return OLDEST_OPSET, max(opset for since, opset in NEWEST_OPSETS if reader.version >= since)


def to_supported_opset(model: onnx.ModelProto, reader: Reader) -> tuple[onnx.ModelProto, PassReport]:
    """Convert a model to the nearest opset that the reader supports.

    Returns:
        The converted model, or the model itself where its opset is supported or the conversion is not possible; and a
        report that says which.
    """
    lowest, highest = opset_range(reader)
    was = opset_of(model)
    opset = min(max(was, lowest), highest)
    if opset == was or not was:
        return model, PassReport(NAME, (), ())
    converted = _converted(model, opset)
    if converted is None:
        return model, PassReport(NAME, (), (Note("opset", f"{was} can't be converted to {opset}"),))
    return converted, PassReport(NAME, (Note("opset", f"{was} to {opset}"),), ())


def _converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto | None:
    """The model in another opset, None where neither `relabel` nor ONNX's converter can do it."""
    relabelled = relabel(model, opset)
    if relabelled is not None:
        return relabelled
    try:
        converted = version_converter.convert_version(model, opset)
        onnx.checker.check_model(converted)
    except (RuntimeError, ValueError, onnx.checker.ValidationError, version_converter.ConvertError):
        return None
    return converted


def relabel(model: onnx.ModelProto, opset: int) -> onnx.ModelProto | None:
    """The model with another opset, None where an operator means something else there.

    ONNX's version converter can't downgrade some operators, although most graphs use nothing that changed. When
    downgrading from opset 18, axes of reductions are moved from the input to the attribute.
    """
    graph = Graph(model)
    if not 1 <= graph.opset <= defs.onnx_opset_version():
        return None
    for node in graph.nodes:
        if node.domain in DEFAULT_DOMAINS and not _relabel_node(graph, node, opset):
            return None
    result = graph.write()
    for entry in result.opset_import:
        if entry.domain in DEFAULT_DOMAINS:
            entry.version = opset
    try:
        onnx.checker.check_model(result)
    except onnx.checker.ValidationError:
        return None
    return result


def _relabel_node(graph: Graph, node: onnx.NodeProto, opset: int) -> bool:
    """Make a node fit its definition in another opset. False if it can't, or means something else there."""
    try:
        now, then = (defs.get_schema(node.op_type, version, "") for version in (graph.opset, opset))
    except defs.SchemaError:
        return False
    if now.since_version == then.since_version:
        return True
    if not graph.opset > opset >= _FIRST_COMPATIBLE or node.op_type in _MEANING_CHANGED:
        return False
    if graph.opset >= FIRST_OPSET_OF_AXES_INPUT > opset and node.op_type in AXES_MOVED_TO_INPUT:
        return _axes_to_attribute(graph, node)
    for entry in [each for each in node.attribute if each.name not in then.attributes]:
        if entry.name not in now.attributes or not _is_default(entry, now.attributes[entry.name].default_value):
            return False
        node.attribute.remove(entry)
    return then.min_input <= len(node.input) <= then.max_input


def _is_default(entry: onnx.AttributeProto, default: onnx.AttributeProto) -> bool:
    kinds = (onnx.AttributeProto.INT, onnx.AttributeProto.FLOAT, onnx.AttributeProto.STRING)
    return (
        entry.type == default.type
        and entry.type in kinds
        and ((entry.i, entry.f, entry.s) == (default.i, default.f, default.s))
    )


def _axes_to_attribute(graph: Graph, node: onnx.NodeProto) -> bool:
    if len(node.input) < 2 or not node.input[1]:
        return not any(entry.name == "noop_with_empty_axes" and entry.i for entry in node.attribute)
    axes = graph.constant(node.input[1])
    if axes is None or axes.size == 0:
        return False
    del node.input[1:]
    kept = [entry for entry in node.attribute if entry.name != "noop_with_empty_axes"]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute("axes", [int(axis) for axis in axes])])
    return True
