"""Which of a run's checkpoints others take."""

from dataclasses import replace

import pytest

from edgeau.runtime.manifest import CropSpec, NeutralSpec
from edgeau.train.checkpoint import Checkpoint, save_checkpoint
from edgeau.train.run_files import best_member

PLAIN = Checkpoint("cednn", {}, {}, CropSpec(), NeutralSpec(), ())


def test_of_several_members_the_one_with_the_best_validation_is_taken(tmp_path):
    for name, score in (("a", 0.4), ("b", 0.6), ("c", None)):
        metrics = {} if score is None else {"metrics": {"val": {"mean_f1": score}}}
        save_checkpoint(tmp_path / f"best-{name}.pt", replace(PLAIN, provenance=metrics))
    assert best_member(tmp_path).name == "best-b.pt"


@pytest.mark.parametrize("files", [(), ("best.pt",)])
def test_a_run_of_one_member_has_one_best(tmp_path, files):
    for name in files:
        save_checkpoint(tmp_path / name, PLAIN)
    assert best_member(tmp_path) == tmp_path / "best.pt"
