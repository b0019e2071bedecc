"""Lint: what is wrong with anybody's ONNX for a given reader, why it matters, and the hint.

Codes are stable. E is an error: the reader refuses the model or computes something else. W is a warning: slower, or
less exact, than it could be. `RULES` holds them all; the files `quantization` and `model` say what each looks for.
"""

from __future__ import annotations

from . import model, quantization  # noqa: F401  (importing them fills RULES)
from .describe import describe, read_onnx, render, report
from .fixing import FixResult, fix, lint
from .rules import RULES, Finding, Rule, Target, parse_target

__all__ = [
    "RULES",
    "Finding",
    "FixResult",
    "Rule",
    "Target",
    "describe",
    "fix",
    "lint",
    "parse_target",
    "read_onnx",
    "render",
    "report",
]
