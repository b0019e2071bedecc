"""Lint: what is wrong with an ONNX file for a given reader, why it matters, and how to fix it.

Codes are stable. E is an error: the reader refuses the model or computes something else. W is a warning: slower or
less accurate than necessary. `RULES` holds all rules, which are defined in `quantization` and `model`.
"""

from __future__ import annotations

from . import model, quantization  # noqa: F401  (importing them fills RULES)
from .describe import describe, read_onnx, render, report
from .fixing import FixResult, fix, lint
from .rules import RULES, Finding, Rule

__all__ = [
    "RULES",
    "Finding",
    "FixResult",
    "Rule",
    "describe",
    "fix",
    "lint",
    "read_onnx",
    "render",
    "report",
]
