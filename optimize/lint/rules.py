"""What a lint rule is, what it looks at, and the list that the rule files fill."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import onnx

from edgeau.optimize.finish.base import FinishingPass, Note, Notes
from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.runtime.errors import InputError

Severity = Literal["error", "warning"]
TENSORRT, ONNXRUNTIME, OPENVINO = "tensorrt", "onnxruntime", "openvino"
EVERYWHERE = (TENSORRT, ONNXRUNTIME, OPENVINO)
NEWEST = (999,)


@dataclass(frozen=True)
class Target:
    """Who will read the model.

    Attributes:
        reader: ``tensorrt``, ``onnxruntime`` or ``openvino``.
        version: of TensorRT, as far as it was given; the newest where it was not.
    """

    reader: str
    version: tuple[int, ...] = NEWEST


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a model.

    Attributes:
        code: stable; E is an error (refused, or read as something else), W a warning (slower, less exact).
        severity: ``error`` or ``warning``.
        node: name of the node, tensor or operator set that it is about.
        message: what is wrong there.
        why: why it matters to this target.
        hint: what to do; begins with ``--fix`` where lint's fix does it.
    """

    code: str
    severity: Severity
    node: str
    message: str
    why: str
    hint: str


@dataclass(frozen=True)
class Case:
    """The model that is looked at, and for whom; without a target only what is wrong everywhere."""

    model: onnx.ModelProto
    graph: Graph
    target: Target | None

    def before(self, *version: int) -> bool:
        """Whether the target is a TensorRT older than a version."""
        return self.target is not None and self.target.reader == TENSORRT and self.target.version < version


@dataclass(frozen=True)
class Rule:
    """One thing to look for.

    Attributes:
        code: see Finding.
        title: in a few words.
        readers: whom it concerns; with EVERYWHERE it is also looked for without a target.
        why, hint: see Finding.
        find: yields each place and what is wrong there.
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

    def concerns(self, target: Target | None) -> bool:
        """Whether the rule applies to a target; without one, whether it applies everywhere."""
        return self.readers == EVERYWHERE if target is None else target.reader in self.readers

    def __call__(self, case: Case) -> Iterator[Finding]:
        for note in self.find(case):
            yield Finding(self.code, self.severity, note.node, note.text, self.why, self.hint)


RULES: dict[str, Rule] = {}


def rule(code: str, title: str, readers: tuple[str, ...], *, why: str, hint: str) -> Callable:
    """Register a function as the finder of a rule. Codes are never used twice."""

    def register(find: Callable[[Case], Iterator[Note]]) -> Callable[[Case], Iterator[Note]]:
        if code in RULES:
            raise ValueError(f"rule {code} exists")
        RULES[code] = Rule(code, title, readers, why, hint, find)
        return find

    return register


def rule_of_pass(
    code: str, title: str, step: FinishingPass, readers: tuple[str, ...], *, why: str, hint: str = "--fix"
) -> None:
    """Register a rule that finds whatever a finishing pass would change or would have to leave."""

    def find(case: Case) -> Iterator[Note]:
        notes = changes_of(step, case)
        yield from (Note(note.node, f"{title}; fixed: {note.text}") for note in notes.changed)
        yield from (Note(note.node, f"{title}, and can't be fixed: {note.text}") for note in notes.left)

    rule(code, title, readers, why=why, hint=hint)(find)


def changes_of(step: FinishingPass, case: Case) -> Notes:
    """What a finishing pass would change and what it would have to leave."""
    notes = Notes()
    step.call(Graph(case.model), notes)
    return notes


def parse_target(text: str) -> Target:
    """``onnxruntime``, ``openvino``, ``tensorrt`` or ``tensorrt-10.3``. Raises InputError for anything else."""
    match = re.fullmatch(r"tensorrt(?:-(\d+(?:\.\d+)*))?", text)
    if match:
        version = tuple(int(part) for part in match[1].split(".")) if match[1] else NEWEST
        return Target(TENSORRT, version)
    if text in (ONNXRUNTIME, OPENVINO):
        return Target(text)
    raise InputError("target", got=text, expected="onnxruntime, openvino, tensorrt or a version such as tensorrt-10.3")
