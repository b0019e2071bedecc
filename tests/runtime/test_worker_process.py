"""Work distributed over new processes, which may die."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from edgeau.runtime.crop_set import read_index
from edgeau.runtime.errors import EdgeauError, InputError, MissingExtraError
from edgeau.runtime.worker_process import begin_worker, map_in_processes


def test_results_are_in_the_order_of_items_and_processes_have_one_thread() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    names = ["OMP_NUM_THREADS", "HOME", "MKL_NUM_THREADS"]
    assert list(map_in_processes(os.getenv, names, 2, begin_worker)) == ["1", os.getenv("HOME"), "1"]
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_an_error_in_a_process_is_raised_unchanged(tmp_path: Path) -> None:
    with pytest.raises(InputError) as here:
        read_index(tmp_path)
    with pytest.raises(InputError) as there:
        list(map_in_processes(read_index, [tmp_path], 1, begin_worker))
    assert str(there.value) == str(here.value)


def test_a_process_that_dies_raises() -> None:
    with pytest.raises(EdgeauError, match="was killed"):
        list(map_in_processes(os._exit, [1], 1, begin_worker))


def test_a_missing_extra_error_can_be_pickled() -> None:
    error = MissingExtraError("onnxruntime", "cpu", "inference on the CPU", "apt install it")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.module, again.extra) == (str(error), "onnxruntime", "cpu")
