"""Lint rules, their findings, and the registry that the rule modules fill."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import onnx

from edgeau.optimize.finish.base import FinishingPass, Note, Notes
from edgeau.optimize.finish.dynamic import FloatDynamic
from edgeau.optimize.finish.integer_operators import FloatOperators
from edgeau.optimize.finish.reader import ONNXRUNTIME, OPENVINO, TENSORRT, Reader
from edgeau.optimize.onnx_graph.graph import Graph, with_shapes

Severity = Literal["error", "warning"]
BY_HAND = "change it where the model is exported, or quantize the float model again"
EVERYWHERE = (TENSORRT, ONNXRUNTIME, OPENVINO)


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a model.

    Attributes:
        code: stable; E is an error (refused or misread), W a warning (slower or less accurate).
        severity: ``error`` or ``warning``.
        node: name of the node, tensor or operator set that it is about.
        message: what is wrong there.
        why: why it matters to this reader.
        hint: what to do; begins with ``--fix`` if that does it.
    """

    code: str
    severity: Severity
    node: str
    message: str
    why: str
    hint: str


@dataclass(frozen=True)
class Case:
    """The model to check, and its reader; without a reader, only what is wrong for all of them."""

    model: onnx.ModelProto
    graph: Graph
    reader: Reader | None

    @functools.cached_property
    def as_qdq(self) -> onnx.ModelProto:
        """The model as the passes behind the first ones see it: for TensorRT, operators on integers written as Q/DQ."""
        model = self.model
        for step in (
            (FloatDynamic(), FloatOperators()) if self.reader is not None and self.reader.name == TENSORRT else ()
        ):
            model, _ = step(model)
        return model if model is self.model else with_shapes(model)

    def before(self, *version: int) -> bool:
        """Whether the reader is a TensorRT older than this version."""
        return self.reader is not None and self.reader.older_than(*version)


@dataclass(frozen=True)
class Rule:
    """One thing to check.

    Attributes:
        code: see Finding.
        title: a few words.
        readers: names of those that it concerns; rules for EVERYWHERE also run without a reader.
        why, hint: see Finding.
        find: yields the places and what is wrong there.
    """

    code: str
    title: str
    readers: tuple[str, ...]
    why: str
    hint: str
    find: Callable[[Case], Iterator[Note]]

    @property
    def severity(self) -> Severity:
        """``error`` or ``warning``, by the code's letter."""
        return "error" if self.code.startswith("E") else "warning"

    def concerns(self, reader: Reader | None) -> bool:
        """Whether the rule applies to a reader; without one, whether it applies to all."""
        return self.readers == EVERYWHERE if reader is None else reader.name in self.readers

    def __call__(self, case: Case) -> Iterator[Finding]:
        for note in self.find(case):
            yield Finding(self.code, self.severity, note.node, note.text, self.why, note.hint or self.hint)


RULES: dict[str, Rule] = {}


def rule(code: str, title: str, readers: tuple[str, ...], *, why: str, hint: str) -> Callable:
    """Decorator that registers a function as a rule. Codes are unique."""

    def register(find: Callable[[Case], Iterator[Note]]) -> Callable[[Case], Iterator[Note]]:
        if code in RULES:
            raise ValueError(f"rule {code} exists")
        RULES[code] = Rule(code, title, readers, why, hint, find)
        return find

    return register


def rule_of_pass(
    code: str, title: str, step: FinishingPass, readers: tuple[str, ...], *, why: str, hint: str = "--fix"
) -> None:
    """Register a rule that reports what a finishing pass would change or would have to leave."""

    def find(case: Case) -> Iterator[Note]:
        notes = changes_of(step, case)
        yield from (Note(note.node, f"{title}; fixed: {note.text}") for note in notes.changed)
        yield from (Note(note.node, f"{title}, and --fix can't change it: {note.text}", BY_HAND) for note in notes.left)

    rule(code, title, readers, why=why, hint=hint)(find)


def changes_of(step: FinishingPass, case: Case) -> Notes:
    """What a finishing pass would change and would have to leave."""
    notes = Notes()
    step.call(Graph(case.as_qdq), notes)
    return notes
