"""What a TensorRT can do, read off its names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, FrozenSet, Tuple

from .library import member, version

PRECISION_FLAGS = ("FP16", "INT8")
FIRST_WITH_INT8_WEIGHTS = 10  # and the first that reads a reduction's axes from an input


@dataclass(frozen=True)
class Capabilities:
    """What decides how a network is built.

    Attributes:
        version: of the library, for messages.
        precision_flags: those of FP16 and INT8 that the builder still takes. TensorRT 11 takes none.
        strong_typing: whether precision can be read from the graph.
        prefers_strong: whether it should be read from there if there are flags as well.
        monitor: whether the builder reports progress and can be stopped.
    """

    version: str
    precision_flags: FrozenSet[str]
    strong_typing: bool
    prefers_strong: bool
    monitor: bool

    @property
    def is_old(self) -> bool:
        """Whether this is TensorRT 8 or 9, which need files of their own: weights in FP32, axes as attributes."""
        return not self.prefers_strong and int(self.version.split(".")[0]) < FIRST_WITH_INT8_WEIGHTS


def capabilities_of(version: Tuple[int, ...]) -> Capabilities:
    """What the TensorRT of a version can do, where it isn't installed.

    From the names that its Python bindings have: 8.6 has no strong typing, 10.3 has; flags are in 10.16, not in 11.0.
    """
    return Capabilities(
        version=".".join(map(str, version)),
        precision_flags=frozenset(PRECISION_FLAGS if version < (11,) else ()),
        strong_typing=version >= (10,),
        prefers_strong=version >= (10, 12),
        monitor=version >= (10,),
    )


def capabilities(trt: Any) -> Capabilities:
    """Read a TensorRT module's capabilities."""
    flags = frozenset(name for name in PRECISION_FLAGS if member(trt.BuilderFlag, name) is not None)
    strong = member(getattr(trt, "NetworkDefinitionCreationFlag", None), "STRONGLY_TYPED") is not None
    # Weak typing is deprecated from 10.12 on. Nothing in the names says so; the parser that reads a model from memory
    # piece by piece is absent in 10.7 and present in 10.13, and marks that generation.
    late = hasattr(trt.OnnxParser, "load_model_proto")
    return Capabilities(
        version=version(trt),
        precision_flags=flags,
        strong_typing=strong or not flags,
        prefers_strong=not flags or (strong and late),
        monitor=hasattr(trt, "IProgressMonitor"),
    )
