"""Work shared among processes, which are started afresh and may die."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from edgeau.runtime.crop_set import read_index
from edgeau.runtime.errors import EdgeauError, InputError, MissingExtraError
from edgeau.runtime.worker_process import begin_worker, map_in_processes


def test_results_come_in_the_order_of_the_items_from_processes_of_one_thread() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    names = ["OMP_NUM_THREADS", "HOME", "MKL_NUM_THREADS"]
    assert list(map_in_processes(os.getenv, names, 2, begin_worker)) == ["1", os.getenv("HOME"), "1"]
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_an_error_of_a_process_is_raised_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputError) as here:
        read_index(tmp_path)
    with pytest.raises(InputError) as there:
        list(map_in_processes(read_index, [tmp_path], 1, begin_worker))
    assert str(there.value) == str(here.value)


def test_a_process_that_dies_is_one_line() -> None:
    with pytest.raises(EdgeauError, match="was killed"):
        list(map_in_processes(os._exit, [1], 1, begin_worker))


def test_a_missing_extra_is_told_across_processes() -> None:
    error = MissingExtraError("onnxruntime", "cpu", "inference on the CPU", "apt install it")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.module, again.extra) == (str(error), "onnxruntime", "cpu")
