import numpy as np
import pytest

from edgeau.benchmarks.accuracy import f1

NAN = float("nan")


@pytest.mark.parametrize(
    ("decided", "truth", "expected"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1.0),
        ([1, 0, 1, 0], [1, 1, 0, 0], 0.5),
        ([0, 0, 0, 0], [1, 1, 0, 0], 0.0),
        ([1, 1, 1, 1], [1, NAN, NAN, 0], 2 / 3),
        ([1, 1, 1, 1], [0, 0, NAN, 0], None),
    ],
)
def test_f1_of_known_decisions(decided, truth, expected):
    assert f1(np.array(decided, bool), np.array(truth, np.float32)) == pytest.approx(expected)
