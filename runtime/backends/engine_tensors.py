"""The inputs and outputs of an engine: names, types and shapes at every batch of its profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple

import numpy as np

from edgeau.runtime.errors import EngineError

_NUMPY_TYPES = {"FLOAT": np.float32, "HALF": np.float16, "UINT8": np.uint8, "INT32": np.int32, "INT8": np.int8}


@dataclass(frozen=True)
class Tensor:
    """An input or output.

    Attributes:
        name, is_input: of the tensor.
        dtype: numpy's type.
        shape: at the profile's largest batch.
        rows_per_image: how many rows of the first dimension belong to one image: 1, or more for an inner tensor whose
            batch is merged with another dimension; 0 where the shape doesn't depend on the batch.
    """

    name: str
    is_input: bool
    dtype: Any
    shape: Tuple[int, ...]
    rows_per_image: int

    @property
    def nbytes(self) -> int:
        """Bytes at the largest batch."""
        return int(np.prod(self.shape)) * int(np.dtype(self.dtype).itemsize)

    def shape_at(self, batch: int) -> Tuple[int, ...]:
        """Its shape at a batch of the profile."""
        return (batch * self.rows_per_image, *self.shape[1:]) if self.rows_per_image else self.shape


@dataclass(frozen=True)
class EngineTensors:
    """All inputs and outputs of an engine.

    Attributes:
        inputs: uint8 images [N, H, W, 3].
        outputs: ``au`` first.
        smallest_batch, largest_batch: of profile 0.
    """

    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]
    smallest_batch: int
    largest_batch: int

    @property
    def all(self) -> Tuple[Tensor, ...]:
        """Inputs, then outputs."""
        return self.inputs + self.outputs


def read_tensors(engine: Any, context: Any) -> EngineTensors:
    """Ask an engine for its tensors; the context gives their shapes at the largest batch, and is set to it.

    Raises:
        EngineError: a tensor has a type that edgeau doesn't read, or varies in more than the first dimension; an input
            is not [N, H, W, 3].
    """
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name).name == "INPUT"]
    smallest, largest = _batches(engine, inputs[0])
    for name in inputs:
        context.set_input_shape(name, (largest, *tuple(engine.get_tensor_shape(name))[1:]))

    def read(name: str) -> Tensor:
        declared, shape = tuple(engine.get_tensor_shape(name)), tuple(context.get_tensor_shape(name))
        if -1 in declared[1:]:
            raise EngineError(f"the engine's tensor {name} is {list(declared)}: only the batch may vary")
        varies = bool(shape) and (declared[0] == -1 or smallest == largest) and shape[0] % largest == 0
        rows = shape[0] // largest if varies else 0
        return Tensor(name, name in inputs, _dtype(engine, name), shape, rows)

    tensors = [read(name) for name in names]
    for tensor in tensors:
        if tensor.is_input and len(tensor.shape) != 4:
            raise EngineError(f"the engine's input {tensor.name} is {list(tensor.shape)}, not [N, H, W, 3]")
    outputs = sorted((tensor for tensor in tensors if not tensor.is_input), key=lambda tensor: tensor.name != "au")
    return EngineTensors(tuple(t for t in tensors if t.is_input), tuple(outputs), smallest, largest)


def _batches(engine: Any, name: str) -> Tuple[int, int]:
    """Smallest and largest batch of profile 0."""
    batch, *_ = engine.get_tensor_shape(name)
    if batch != -1:
        return batch, batch
    low, _, high = engine.get_tensor_profile_shape(name, 0)
    return low[0], high[0]


def _dtype(engine: Any, name: str) -> Any:
    kind = engine.get_tensor_dtype(name).name
    if kind not in _NUMPY_TYPES:
        raise EngineError(f"the engine's tensor {name} is {kind}, which edgeau doesn't read")
    return _NUMPY_TYPES[kind]
