"""Wrapping a foreign model's graph so that it takes batches of uint8 RGB crops and returns AU probabilities."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeau.optimize.onnx_graph.graph import Graph
from edgeau.optimize.onnx_graph.session import open_session
from edgeau.runtime.errors import InputError

LAYOUTS, COLOURS, ACTIVATIONS = ("nchw", "nhwc"), ("rgb", "bgr", "gray"), ("sigmoid", "softmax", "none")
# ITU-R BT.601 luma, with which OpenCV and Pillow convert colour to grey.
LUMA = (0.299, 0.587, 0.114)
_BATCH = "N"


@dataclass(frozen=True)
class Wrapping:
    """What a model expects and returns. Its input is ``(pixel / scale - mean) / std``.

    Attributes:
        layout: ``nchw`` or ``nhwc``.
        colour: ``rgb``, ``bgr`` or ``gray``.
        mean, std: one number, or one per channel in the model's order.
        scale: what pixels 0..255 are divided by.
        output: name of the output with the AUs; None for the first.
        activation: what turns that output into probabilities: ``sigmoid``, ``softmax`` (over two classes on the last
            axis of [N, A, 2], of which the second is presence; else over the AUs) or ``none``.
        intensity_max: the largest value of outputs that are intensities, by which they are divided; None for presence.
    """

    layout: str = "nchw"
    colour: str = "rgb"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = 255.0
    output: str | None = None
    activation: str = "none"
    intensity_max: float | None = None


def channels(wrapping: Wrapping) -> int:
    """Number of colour channels of the model's input."""
    return 1 if wrapping.colour == "gray" else 3


def prepare(images: np.ndarray, wrapping: Wrapping) -> np.ndarray:
    """The model's float32 input for uint8 [N, S, S, 3] RGB images, in numpy."""
    pixels = images.astype(np.float32)
    if wrapping.colour == "bgr":
        pixels = pixels[..., ::-1]
    elif wrapping.colour == "gray":
        pixels = (pixels * np.asarray(LUMA, np.float32)).sum(axis=-1, keepdims=True)
    pixels = (pixels / wrapping.scale - np.asarray(wrapping.mean)) / np.asarray(wrapping.std)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2) if wrapping.layout == "nchw" else pixels, np.float32)


def image_input(model: onnx.ModelProto, name: str) -> onnx.ValueInfoProto:
    """The model's only input. Raises InputError where there are more or none."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise InputError(f"{name}: inputs", got=names, expected="one image")
    return inputs[0]


def wrap(model: onnx.ModelProto, wrapping: Wrapping, au_count: int, side: int, name: str) -> onnx.ModelProto:
    """A copy with the input ``face`` uint8 [N, S, S, 3] and the output ``au`` float32 [N, A].

    Raises:
        InputError: no such output, or one without a value per AU.
    """
    model = _without_clashes(model, {"face", "au"})
    graph = model.graph
    source = image_input(model, name)
    output = _output(model, wrapping, name)
    front, image = _Chain(model, "face"), source.name
    front.add("Cast", to=TensorProto.FLOAT)
    _add_colour(front, wrapping)
    _add_normalisation(front, wrapping)
    if wrapping.layout == "nchw":
        front.add("Transpose", perm=[0, 3, 1, 2])
    if source.type.tensor_type.elem_type != TensorProto.FLOAT:
        front.add("Cast", to=source.type.tensor_type.elem_type)
    back = _Chain(model, output.name)
    _add_probabilities(back, output, wrapping, au_count)
    nodes = [*front.ending_in(image), *graph.node, *back.ending_in("au")]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("face", TensorProto.UINT8, [_BATCH, side, side, 3]))
    graph.output.append(helper.make_tensor_value_info("au", TensorProto.FLOAT, [_BATCH, au_count]))
    return Graph(model).write()


def make_batch_dynamic(model: onnx.ModelProto, images: np.ndarray) -> tuple[onnx.ModelProto, bool]:
    """The model with a dynamic batch if its outputs are the same for batches as for single images, else with batch 1.

    The usual obstacle is constant reshapes that begin with a batch of 1; these are rewritten.

    Args:
        model: with the input ``face`` and the output ``au``.
        images: uint8 [N, S, S, 3], for comparison.
    """
    for candidate in (model, _unfix_reshapes(model)):
        try:
            runner = open_session(candidate)
            together = runner.run(["au"], {"face": images})[0]
            single = np.concatenate([runner.run(["au"], {"face": images[i : i + 1]})[0] for i in range(len(images))])
        except Exception:  # noqa: BLE001 - ONNX Runtime has its own exceptions, and failure only rules this candidate out
            continue
        if together.shape == single.shape and np.allclose(together, single, atol=1e-5):
            return candidate, True
    fixed = copy.deepcopy(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return fixed, False


class _Chain:
    """A chain of nodes, each of which reads the one before."""

    def __init__(self, model: onnx.ModelProto, start: str) -> None:
        self._graph, self._last, self._prefix = model.graph, start, f"edgeau/{start}"
        self._nodes: list[onnx.NodeProto] = []

    def add(self, kind: str, *constants: np.ndarray, **attributes: Any) -> None:
        names = []
        for value in constants:
            names.append(f"{self._prefix}/constant{len(self._graph.initializer)}")
            self._graph.initializer.append(numpy_helper.from_array(value, names[-1]))
        label = f"{self._prefix}/{kind}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, [self._last, *names], [label], name=label, **attributes))
        self._last = label

    def ending_in(self, name: str) -> list[onnx.NodeProto]:
        """The nodes; the last one's output is ``name``."""
        if not self._nodes:
            self.add("Identity")
        self._nodes[-1].output[0] = name
        return self._nodes


def _add_colour(chain: _Chain, wrapping: Wrapping) -> None:
    if wrapping.colour == "bgr":
        chain.add("Gather", np.array([2, 1, 0]), axis=3)
    elif wrapping.colour == "gray":
        chain.add("Mul", np.array(LUMA, np.float32))
        chain.add("ReduceSum", np.array([3]), keepdims=1)


def _add_normalisation(chain: _Chain, wrapping: Wrapping) -> None:
    """One multiplication and one addition: x / (scale std) - mean / std, on channels last."""
    std, mean = np.asarray(wrapping.std), np.asarray(wrapping.mean)
    factor = (1 / (wrapping.scale * std)).astype(np.float32)
    offset = np.broadcast_to(-mean / std, np.broadcast_shapes(mean.shape, std.shape)).astype(np.float32)
    if (factor != 1).any():
        chain.add("Mul", factor)
    if offset.any():
        chain.add("Add", offset)


def _add_probabilities(chain: _Chain, output: onnx.ValueInfoProto, wrapping: Wrapping, au_count: int) -> None:
    rank = len(output.type.tensor_type.shape.dim)
    if output.type.tensor_type.elem_type != TensorProto.FLOAT:
        chain.add("Cast", to=TensorProto.FLOAT)
    if wrapping.activation == "sigmoid":
        chain.add("Sigmoid")
    elif wrapping.activation == "softmax":
        chain.add("Softmax", axis=-1 if rank == 3 else 1)
        if rank == 3:
            chain.add("Gather", np.array(1), axis=2)
    if wrapping.intensity_max is not None:
        chain.add("Mul", np.array(1 / wrapping.intensity_max, np.float32))
        chain.add("Clip", np.array(0, np.float32), np.array(1, np.float32))
    if rank != 2:
        chain.add("Reshape", np.array([-1, au_count]))


def _output(model: onnx.ModelProto, wrapping: Wrapping, name: str) -> onnx.ValueInfoProto:
    outputs = {value.name.removeprefix("model/"): value for value in model.graph.output}
    if wrapping.output is None and len(outputs) > 1:
        raise InputError(f"{name}: outputs", got=", ".join(outputs), expected="one", hint="give --output NAME")
    chosen = wrapping.output or next(iter(outputs))
    if chosen not in outputs:
        raise InputError(f"{name}: --output", got=chosen, expected=f"one of {', '.join(outputs)}")
    return outputs[chosen]


def _without_clashes(model: onnx.ModelProto, reserved: set[str]) -> onnx.ModelProto:
    """A copy in which no tensor has a reserved name; if one has, all names get a prefix."""
    names = {name for node in model.graph.node for name in (*node.input, *node.output)}
    names |= {value.name for value in (*model.graph.input, *model.graph.output)}
    if names & reserved:
        return onnx.compose.add_prefix(model, "model/")
    return copy.deepcopy(model)


def _unfix_reshapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which constant reshapes to a batch of 1 keep the batch size instead."""
    model = copy.deepcopy(model)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        tensor = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        shape = None if tensor is None else numpy_helper.to_array(tensor).copy()
        if shape is None or not len(shape) or shape[0] != 1:
            continue
        shape[0] = 0 if (shape[1:] == -1).any() else -1
        unfixed = f"{node.input[1]}/dynamic/{node.name or node.output[0]}"
        model.graph.initializer.append(numpy_helper.from_array(shape, unfixed))
        node.input[1] = unfixed
    return model
