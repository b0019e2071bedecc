"""Mending what lint finds, as far as a file alone allows, and saying what is left."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from edgeau.optimize.finish import finish
from edgeau.optimize.onnx_graph.graph import Graph, with_shapes

from .model import opset_range
from .relabel import relabel
from .rules import RULES, Case, Finding, parse_target


@dataclass(frozen=True)
class FixResult:
    """A fixed model.

    Attributes:
        model: the fixed copy.
        done: what was changed, one line each.
        left: findings that remain.
    """

    model: onnx.ModelProto
    done: tuple[str, ...]
    left: tuple[Finding, ...]


def lint(model: onnx.ModelProto, target: str | None = None) -> tuple[Finding, ...]:
    """Everything wrong with a model for a target, errors first, each rule's findings in graph order.

    Args:
        model: any ONNX, quantized or not.
        target: ``onnxruntime``, ``openvino``, ``tensorrt``, ``tensorrt-10.3`` and so on; None looks only for what is
            wrong everywhere.

    Raises:
        InputError: unknown target.
    """
    case = _case(model, target)
    found = [finding for rule in RULES.values() if rule.concerns(case.target) for finding in rule(case)]
    return tuple(sorted(found, key=lambda finding: finding.code))


def fix(model: onnx.ModelProto, target: str) -> FixResult:
    """Fix what can be fixed: convert the opset, then run the target's finishing passes.

    Raises:
        InputError: unknown target.
        FinishError: a pass did not keep its promise.
    """
    done: list[str] = []
    case = _case(model, target)
    lowest, highest = opset_range(case)
    wanted = min(max(case.graph.opset, lowest), highest)
    if wanted != case.graph.opset:
        converted = _converted(model, wanted)
        if converted is not None:
            model = converted
            done.append(f"opset {case.graph.opset} to {wanted}")
    finished = finish(model, target)
    done += [f"{report.name}: {note}" for report in finished.passes for note in report.changed]
    return FixResult(finished.model, tuple(done), lint(finished.model, target))


def _case(model: onnx.ModelProto, target: str | None) -> Case:
    model = with_shapes(model)
    return Case(model, Graph(model), None if target is None else parse_target(target))


def _converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto | None:
    """The model in another opset, None where neither relabelling nor ONNX's converter can do it."""
    from onnx import version_converter

    relabelled = relabel(model, opset)
    if relabelled is not None:
        return relabelled
    try:
        converted = version_converter.convert_version(model, opset)
        onnx.checker.check_model(converted)
    except (RuntimeError, ValueError, onnx.checker.ValidationError, version_converter.ConvertError):
        return None
    return converted
