"""Linting a model, and fixing what can be fixed in the file."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from edgeau.optimize.finish import finish
from edgeau.optimize.finish.reader import parse_reader
from edgeau.optimize.onnx_graph.graph import Graph, with_shapes

from .rules import RULES, Case, Finding


@dataclass(frozen=True)
class FixResult:
    """A fixed model.

    Attributes:
        model: the fixed copy.
        done: what was changed, one line per change.
        left: findings that remain.
    """

    model: onnx.ModelProto
    done: tuple[str, ...]
    left: tuple[Finding, ...]


def lint(model: onnx.ModelProto, reader: str | None = None) -> tuple[Finding, ...]:
    """All findings on a model for a reader: errors first, and in graph order for each rule.

    Args:
        model: any ONNX, quantized or not.
        reader: ``onnxruntime``, ``openvino``, ``tensorrt``, ``tensorrt-10.3`` and so on; None applies only the rules
            for all readers.

    Raises:
        InputError: unknown reader.
    """
    case = _case(model, reader)
    findings = [finding for rule in RULES.values() if rule.concerns(case.reader) for finding in rule(case)]
    return tuple(sorted(findings, key=lambda finding: finding.code))


def fix(model: onnx.ModelProto, reader: str) -> FixResult:
    """Fix what can be fixed: finish the model for the reader.

    Raises:
        InputError: unknown reader.
        FinishError: a pass failed its postcondition.
    """
    finished = finish(model, reader)
    done = [f"{report.name}: {note}" for report in finished.passes for note in report.changed]
    return FixResult(finished.model, tuple(done), lint(finished.model, reader))


def _case(model: onnx.ModelProto, reader: str | None) -> Case:
    model = with_shapes(model)
    return Case(model, Graph(model), None if reader is None else parse_reader(reader))
