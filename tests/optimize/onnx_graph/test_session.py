from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgeau.optimize.onnx_graph.session import open_session, run, run_each
from edgeau.runtime.errors import EdgeauError


def test_a_model_that_cannot_be_loaded_is_a_one_line_error(toy_cnn):
    broken = onnx.ModelProto()
    broken.CopyFrom(toy_cnn)
    broken.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(EdgeauError, match="ONNX Runtime can't load this model") as caught:
        open_session(broken)
    assert len(str(caught.value).splitlines()) == 1


def test_run_each_gives_the_same_as_single_runs(toy_cnn, pictures):
    samples = pictures(3, 0)
    together = [outputs[0] for outputs in run_each(toy_cnn, samples)]
    for sample, output in zip(samples, together, strict=True):
        np.testing.assert_array_equal(run(toy_cnn, sample)[0], output)


def test_optimizations_change_float_results_by_rounding_only(toy_cnn, pictures):
    (sample,) = pictures(1, 0)
    np.testing.assert_allclose(run(toy_cnn, sample, optimized=True)[0], run(toy_cnn, sample)[0], atol=1e-5)
