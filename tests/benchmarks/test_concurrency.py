import threading

import numpy as np
import pytest

from edgeau.benchmarks.concurrency import by_callers, faces_per_s
from edgeau.runtime.backends import FakeBackend
from edgeau.runtime.errors import InputError

INPUTS = {"face": np.zeros((3, 8, 8, 3), np.uint8)}


class Counting(FakeBackend):
    def __init__(self):
        super().__init__({"face": (8, 8, 3)}, 1)
        self.callers = set()

    def infer(self, inputs):
        self.callers.add(threading.current_thread())
        return super().infer(inputs)


def test_every_caller_runs_and_faces_are_counted():
    backend = Counting()
    assert faces_per_s(backend, INPUTS, 4, 0.05) > 0
    assert len(backend.callers) == 4
    assert set(by_callers(backend, INPUTS, (1, 2), 0.01)) == {"1", "2"}


def test_an_error_in_a_caller_is_raised():
    with pytest.raises(InputError):
        faces_per_s(FakeBackend({"other": (8, 8, 3)}, 1), INPUTS, 2, 0.01)
