"""What every inference backend does: arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Dict, Mapping, Optional, Tuple, Type

import numpy as np

from edgeau.runtime.errors import InputError


@dataclass(frozen=True)
class BackendOptions:
    """Settings that affect a backend's speed.

    Attributes:
        threads: CPU threads of ONNX Runtime and OpenVINO; None lets the library choose.
        provider: ONNX Runtime's execution provider, such as ``CPUExecutionProvider``.
        inference_precision: OpenVINO's INFERENCE_PRECISION_HINT. ``f32`` by default, because OpenVINO otherwise runs
            FP32 files in bfloat16 on CPUs that can.
        cuda_graph: TensorRT: capture the enqueue in a CUDA graph where shapes are fixed.
        mapped_memory: TensorRT on a GPU that shares the CPU's memory: map it (True) or copy (False); None
            measures both.
    """

    threads: Optional[int] = None
    provider: str = "CPUExecutionProvider"
    inference_precision: str = "f32"
    cuda_graph: bool = True
    mapped_memory: Optional[bool] = None


class Backend:
    """One loaded variant on one backend.

    Attributes:
        name: ``onnxruntime``, ``openvino`` or ``tensorrt``.
        input_shapes: [H, W, 3] by input name; inputs are uint8 [N, H, W, 3].
        output_names: outputs of the graph, ``au`` first.
        settings: threads, precision hint, provider and whatever else affects speed; recorded with every measurement.
    """

    name: str = ""
    input_shapes: Mapping[str, Tuple[int, int, int]]
    output_names: Tuple[str, ...]
    settings: Mapping[str, Any]

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Run one batch.

        Args:
            inputs: uint8 [N, H, W, 3] for every name in ``input_shapes``, the same N.

        Returns:
            float32 [N, ...] by output name.

        Raises:
            InputError: an input is missing or has another shape or type.
            BackendError: the library failed.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Free what the backend holds. Calling it twice does nothing."""

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        value: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def check(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Raise InputError if the inputs don't fit the graph."""
        batch = None
        for name, shape in self.input_shapes.items():
            array = inputs.get(name)
            if array is None:
                raise InputError(
                    f"input {name!r}", got=f"only {sorted(inputs)}", expected=str(sorted(self.input_shapes))
                )
            if array.dtype != np.uint8 or array.ndim != 4 or array.shape[1:] != tuple(shape) or len(array) == 0:
                got = f"{array.dtype} {list(array.shape)}"
                raise InputError(f"input {name!r}", got=got, expected=f"uint8 [N, {shape[0]}, {shape[1]}, 3]")
            if batch is not None and len(array) != batch:
                raise InputError(f"input {name!r}", got=f"batch {len(array)}", expected=f"batch {batch}")
            batch = len(array)


class FakeBackend(Backend):
    """A backend without a model, for tests of code that uses one: every probability is the mean of the face's pixels.

    Args:
        input_shapes: as in Backend.
        au_count: width of the output ``au``.
    """

    name = "fake"

    def __init__(self, input_shapes: Mapping[str, Tuple[int, int, int]], au_count: int) -> None:
        self.input_shapes = dict(input_shapes)
        self.output_names = ("au",)
        self.settings: Mapping[str, Any] = {}
        self._au_count = au_count

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        self.check(inputs)
        mean = inputs["face"].astype(np.float32).mean(axis=(1, 2, 3)) / 255
        return {"au": np.repeat(mean[:, None], self._au_count, axis=1)}
