"""Refining the ranges of activations."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgeau.optimize.quantization.ranges import refine_ranges

SHAPE = [1, 16, 8, 8]


@pytest.fixture
def quantized(net):
    """A function that makes a model from scale and zero point: `x`, a Q/DQ pair and a 1x1 convolution."""

    def make(scale: float, zero_point: np.generic) -> onnx.ModelProto:
        g = net()
        g.op("Conv", g.pair("x", scale, np.asarray(zero_point), name="pair"), g.int8_weight(g.weight(16, 16, 1, 1)))
        return g.model({"x": SHAPE}, {g.nodes[-1].output[0]: SHAPE})

    return make


def crops(low: float, high: float, odd: float = 1.0) -> list[dict[str, np.ndarray]]:
    """Fifty crops with uniformly distributed values; those of the last are multiplied by ``odd``."""
    random = np.random.default_rng(1)
    values = [random.uniform(low, high, SHAPE).astype(np.float32) for _ in range(50)]
    return [{"x": value} for value in (*values[:-1], values[-1] * odd)]


def read_pair(model: onnx.ModelProto) -> list[tuple[float, int]]:
    """Scale and zero point of the activation's Q and DQ."""
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    pair = [node for node in model.graph.node if node.name.startswith("pair")]
    return [(float(tensors[node.input[1]]), int(tensors[node.input[2]])) for node in pair]


def test_an_outlier_crop_does_not_determine_the_range(quantized):
    (scale, _), of_dequantize = read_pair(refine_ranges(quantized(40 / 255, np.uint8(0)), crops(0, 1, odd=40)))
    assert 1 / 255 <= scale < 1.3 / 255
    assert of_dequantize[0] == scale


def test_a_range_used_by_all_crops_is_kept(quantized):
    assert read_pair(refine_ranges(quantized(1 / 255, np.uint8(0)), crops(0, 1)))[0][0] == pytest.approx(1 / 255)


def test_neutral_faces_at_the_beginning_do_not_determine_the_range(quantized):
    """Crop sets are ordered by subject, and only a sample of many crops is used."""
    many = [*crops(0, 1), *(crop for _ in range(4) for crop in crops(0, 32))]
    assert read_pair(refine_ranges(quantized(32 / 255, np.uint8(0)), many))[0][0] > 16 / 255


def test_an_asymmetric_range_shrinks_until_one_end_would_clip(quantized):
    """The range -8..24 is eight times too large at both ends for values of -1..3."""
    (scale, zero_point), _ = read_pair(refine_ranges(quantized(32 / 255, np.int8(-64)), crops(-1, 3)))
    assert zero_point == -64
    assert 0.99 * 3 / 191 <= scale < 3 / 191 * 2**0.25


def test_refining_again_changes_nothing(quantized):
    once = refine_ranges(quantized(40 / 255, np.uint8(0)), crops(0, 1, odd=40))
    assert read_pair(refine_ranges(once, crops(0, 1, odd=40))) == read_pair(once)


def test_black_crops_leave_the_range_unchanged(quantized):
    assert read_pair(refine_ranges(quantized(1.0, np.uint8(0)), crops(0, 0)))[0][0] == 1.0
