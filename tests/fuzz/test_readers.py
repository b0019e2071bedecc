"""Every reader accepts valid files and refuses all others with EdgeauError."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from mutate import mutate
from targets import attempt, make_targets

NAMES = ("manifest", "sidecar", "plan", "index", "pixels", "labels", "npz", "picture", "http", "rows", "onnx")


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_targets(tmp_path_factory.mktemp("fuzz"))


def test_every_target_has_a_test(targets: dict[str, Any]) -> None:
    assert set(targets) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_valid_files_are_accepted(targets: dict[str, Any], name: str) -> None:
    assert all(attempt(targets[name], seed) for seed in targets[name].seeds)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_mutated_file_is_accepted_or_raises_edgeau_error(targets: dict[str, Any], name: str, seed: int) -> None:
    rng = random.Random(seed)
    attempt(targets[name], mutate(rng.choice(targets[name].seeds), rng))
