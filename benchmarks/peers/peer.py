"""What a peer is: another program that runs the same FP32 ONNX file, behind the interface of edgeau's backends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgeau.runtime.backends import Backend

Run = Callable[[Mapping[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Peer:
    """Another way to run a model.

    Attributes:
        name, title: in options, and for a person.
        open: loads an ONNX file with so many CPU threads (None: the library chooses) and returns a backend. Raises
            ImportError where the library is missing, EdgeauError or the library's own exception where it can't run it.
        install: what to type for the library.
        own_threads: the library's defaults decide, whatever number of threads was requested.
    """

    name: str
    title: str
    open: Callable[[Path, int | None], Backend]
    install: str
    own_threads: bool = False


class PeerBackend(Backend):
    """A function from uint8 [N, H, W, 3] arrays by name to ``au`` [N, A], as a backend."""

    def __init__(self, name: str, file: Path, settings: Mapping[str, Any], run: Run) -> None:
        self.name, self.settings, self._run = name, dict(settings), run
        self.input_shapes = input_shapes(onnx.load(str(file), load_external_data=False))
        self.output_names = ("au",)

    def infer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.check(inputs)
        return {"au": np.asarray(self._run(inputs), np.float32)}


def input_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, int, int]]:
    """[H, W, 3] by name, of a graph with a package's contract."""
    constants = {tensor.name for tensor in model.graph.initializer}
    sizes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in model.graph.input
        if value.name not in constants
    }
    return {name: (size[1], size[2], size[3]) for name, size in sizes.items()}
