"""How much an engine may differ, and locating where it goes wrong."""

import numpy as np
import pytest

from edgeau.optimize.engine.bounds import Bound, bound_for
from edgeau.optimize.engine.builder import BuildOptions, build_engine, parsed
from edgeau.optimize.engine.inner import quantizer_ranges, weighted_outputs
from edgeau.optimize.engine.suspect import suspect_range, widest_quantizers
from edgeau.runtime.errors import EngineError
from edgeau.runtime.manifest import Parity, Variant


def parity(mean_error=0.0, flipped=0):
    return Parity("fp32", "crops", 10, 0.1, mean_error, 30.0, 100, flipped)


def test_a_bound_is_broken_by_the_error_or_by_flipped_decisions():
    bound = Bound(mean_abs_error=0.01, flipped_share=0.05)
    assert bound.broken_by(parity(0.01, 5)) is None
    assert "mean error 0.02 exceeds 0.01" in bound.broken_by(parity(0.02))
    assert "6 of 100 AU decisions flipped" in bound.broken_by(parity(0.0, 6))


def test_the_bound_widens_with_the_variants_own_error():
    def variant(known):
        return Variant("int8-tensorrt", "f.onnx", "", 0, "int8", ("tensorrt",), parity=known)

    assert bound_for("int8", variant(None)) == Bound(0.03, 0.05)
    assert bound_for("int8", variant(parity(0.001, 1))) == Bound(0.03, 0.05)
    assert bound_for("int8", variant(parity(0.02, 8))) == Bound(0.04, 0.16)


@pytest.mark.parametrize("broken", [0, 1, 2, 3])
def test_the_suspect_range_ends_at_the_first_broken_tensor(broken):
    draw = np.random.default_rng(0)
    names = ["a", "b", "c", "d"]
    reference = {name: draw.normal(size=(2, 8)) for name in names}
    noise = [0.5 if i >= broken else 1e-4 for i in range(4)]
    outputs = {n: reference[n] + s * draw.normal(size=(2, 8)) for n, s in zip(names, noise)}
    start = names[broken - 1] if broken else "the input"
    assert suspect_range(names, reference, outputs).startswith(f"between {start} (")
    assert f"and {names[broken]} (" in suspect_range(names, reference, outputs)


def test_graphs_without_a_common_tensor_cannot_be_compared():
    with pytest.raises(EngineError, match="share no inner tensor"):
        suspect_range(["a"], {"b": np.ones(1)}, {"a": np.ones(1)})


def test_inner_tensors_and_ranges_are_read_from_a_real_network(rtx, toy_onnx):
    network = parsed(toy_onnx("int8"), rtx, strongly_typed=True)
    assert weighted_outputs(rtx, network.network)[:2] == ["conv1", "conv2"]
    ranges = dict(quantizer_ranges(rtx, network.network))
    assert ranges["relu1_q"] == pytest.approx(127 * 0.02)
    assert widest_quantizers(list(ranges.items()), 1) == "relu1_q (range 2.54)"


def test_a_real_builder_builds_with_inner_tensors_as_outputs(rtx, toy_onnx):
    options = BuildOptions(precision="int8", strongly_typed=True, expose=("conv1", "conv2"))
    assert build_engine(toy_onnx("int8"), options, trt=rtx).plan.startswith(b"vtrt")
