"""Base class of finishing passes: the work, postconditions checked at run time, and a report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import onnx

from edgeau.optimize.onnx_graph.graph import Graph, label
from edgeau.optimize.onnx_graph.operators import DEFAULT_DOMAINS
from edgeau.runtime.errors import EdgeauError


class FinishError(EdgeauError):
    """A finishing pass failed its postcondition. The model that it was called with is unchanged."""


MAX_ROUNDS = 8


@dataclass(frozen=True)
class Note:
    """One change, or one thing that could not be changed: the node, and a text that says what or why.

    ``hint`` says what to do, where that is not what the rule says.
    """

    node: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.node}: {self.text}"


@dataclass
class Notes:
    """What a pass changed, and what it should have changed but couldn't; collected while it works."""

    changed: list[Note] = field(default_factory=list)
    left: list[Note] = field(default_factory=list)

    def change(self, node: onnx.NodeProto, text: str) -> None:
        self.changed.append(Note(label(node), text))

    def leave(self, node: onnx.NodeProto, text: str) -> None:
        self.left.append(Note(label(node), text))


@dataclass(frozen=True)
class PassReport:
    """What a pass did to a model.

    Attributes:
        name: of the pass.
        changed: what it changed.
        left: what it could not fix, and why.
    """

    name: str
    changed: tuple[Note, ...]
    left: tuple[Note, ...]

    @property
    def modified(self) -> bool:
        """Whether the pass changed anything."""
        return bool(self.changed)


class FinishingPass(ABC):
    """A rewrite of a Q/DQ graph. Idempotent.

    The docstring of each pass is its specification: what it requires, what it does, what holds afterwards.
    """

    name: str

    def __call__(self, model: onnx.ModelProto) -> tuple[onnx.ModelProto, PassReport]:
        """Run the pass on a copy until it changes nothing, since one change may make another possible.

        Raises FinishError if it still changes something after MAX_ROUNDS, or changed the graph's inputs or outputs.
        """
        changed: list[Note] = []
        result = model
        for _ in range(MAX_ROUNDS):
            graph, notes = Graph(result), Notes()
            self.call(graph, notes)
            if not notes.changed:
                self._require_same_interface(model, result)
                return result, PassReport(self.name, tuple(changed), tuple(notes.left))
            changed += notes.changed
            result = graph.write()
        raise FinishError(f"{self.name} still changes the model after {MAX_ROUNDS} rounds: {changed[-1]}")

    @abstractmethod
    def call(self, graph: Graph, notes: Notes) -> None:
        """Rewrite the graph in place and note what was changed and what had to be left."""

    def _require_same_interface(self, before: onnx.ModelProto, after: onnx.ModelProto) -> None:
        for kind in ("input", "output"):
            if [v.name for v in getattr(before.graph, kind)] != [v.name for v in getattr(after.graph, kind)]:
                raise FinishError(f"{self.name} changed the graph's {kind}s")
        unknown = [node.op_type for node in after.graph.node if node.domain not in DEFAULT_DOMAINS]
        if len(unknown) > sum(node.domain not in DEFAULT_DOMAINS for node in before.graph.node):
            raise FinishError(f"{self.name} added operators of another domain: {unknown[0]}")
