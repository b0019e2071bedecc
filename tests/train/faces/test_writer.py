import multiprocessing
import os
import signal
import subprocess
import time

import numpy as np
import pytest

from edgeau.runtime.crop_set import read_index, read_shard
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.train.faces.source import SyntheticOptions
from edgeau.train.faces.writer import Job, is_complete, shard_name, write_set

CROP = CropSpec(size_px=48)
OPTIONS = SyntheticOptions(subjects=3, frames=6, seed=4)


def job(folder, **changes):
    return Job(folder, SyntheticOptions(**{**vars(OPTIONS), **changes}), CROP)


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def complete_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "faces"
    write_set(job(folder), workers=1)
    return folder


def test_two_workers_write_the_same_bytes_as_one(complete_set, tmp_path):
    write_set(job(tmp_path / "faces"), workers=2)
    assert files(tmp_path / "faces") == files(complete_set)


def test_a_killed_worker_is_an_error_and_the_next_run_continues(complete_set, tmp_path):
    def kill_a_worker(done, total):
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    with pytest.raises(EdgeauError, match="memory"):
        write_set(job(tmp_path / "faces"), 2, kill_a_worker)
    write_set(job(tmp_path / "faces"), 1)
    assert files(tmp_path / "faces") == files(complete_set)


def test_a_removed_or_truncated_shard_is_rendered_again_identically(complete_set, tmp_path):
    folder = tmp_path / "faces"
    drawn = []
    write_set(job(folder), 1)
    before = files(folder)
    (folder / "shards" / "s00001.npz").unlink()
    (folder / "shards" / "s00002.npy").write_bytes(b"cut")
    (folder / "shards" / ".edgeau-tmp-0123.npy").write_bytes(b"left by a killed process")
    write_set(job(folder), 1, lambda done, total: drawn.append((done, total)))
    assert drawn == [(1, 2), (2, 2)]
    assert files(folder) == before == files(complete_set)


def test_a_set_can_grow_and_keeps_existing_shards(complete_set, tmp_path):
    folder = tmp_path / "faces"
    drawn = []
    write_set(job(folder, subjects=2), 1)
    index = write_set(job(folder, subjects=3), 1, lambda done, total: drawn.append(total))
    assert drawn == [1]
    assert len(index.shards) == 3
    shards = {name: data for name, data in files(complete_set).items() if name.startswith("shards")}
    assert {name: data for name, data in files(folder).items() if name.startswith("shards")} == shards


def test_a_folder_with_another_set_is_refused_and_left_unchanged(complete_set):
    before = files(complete_set)
    with pytest.raises(InputError, match=r"seed=4.*seed=5.*--out"):
        write_set(job(complete_set, seed=5), 1)
    assert files(complete_set) == before


def test_crops_of_another_origin_are_refused(tmp_path):
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(InputError, match="another origin"):
        write_set(job(tmp_path), 1)


def test_the_set_follows_the_crop_set_format(complete_set):
    index = read_index(complete_set)
    assert [shard.name for shard in index.shards] == [shard_name(k) for k in range(3)]
    pixels, labels = read_shard(complete_set, "s00000")
    assert pixels.shape == (6, 48, 48, 3)
    assert pixels.dtype == np.uint8
    kinds = {"au": "f2", "neutral": "i4", "expression": "i1", "sequence": "i4", "frame": "i4", "landmarks": "f2"}
    assert {name: labels[name].dtype.str[1:] for name in kinds} == kinds
    assert labels["visible"].shape == (6, 68)
    assert labels["is_neutral"][labels["neutral"]].all()
    crops = read_crops(str(complete_set), CROP)
    assert len(crops) == 18
    np.testing.assert_array_equal(crops.neutrals[5], pixels[labels["neutral"][5]])


def test_faces_on_disk_are_the_same_as_in_memory(complete_set):
    on_disk = read_crops(str(complete_set), CROP)
    in_memory = read_crops("synthetic:subjects=3,frames=6,seed=4,face=builtin", CROP)
    assert on_disk.sha256 == in_memory.sha256


def test_a_missing_face_model_leaves_the_folder_empty(tmp_path):
    folder = tmp_path / "faces"
    with pytest.raises(InputError, match="no-such-face"):
        write_set(job(folder, face="no-such-face.npz"), 1)
    assert not any(folder.iterdir())


def test_a_full_disk_is_an_error_that_leaves_no_partial_shard(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    folder = tmp_path / "faces"
    write_set(job(folder, subjects=1), 1)
    before = files(folder)
    monkeypatch.setattr(np, "save", full)
    with pytest.raises(InputError, match=r"s00001.*No space left on device.*free some space"):
        write_set(job(folder), 1)
    assert files(folder) == before


@pytest.mark.slow
def test_an_interrupted_run_leaves_only_complete_shards(tmp_path, interruptible_edgeau):
    folder = tmp_path / "faces"
    many = 4000  # minutes of work, so that the signal never arrives too late
    command = [*interruptible_edgeau, "synth", "--out", str(folder), "--subjects", str(many), "--frames", "6"]
    command += ["--size", "48", "--workers", "2"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 240  # a busy machine has taken 58 s for the first
    while not list(folder.glob("shards/s*.npz")) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the parent and its workers
    errors = running.communicate(timeout=60)[1]
    assert running.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not (folder / "index.json").exists()
    names = sorted(p.name for p in (folder / "shards").iterdir())
    assert not [name for name in names if name.startswith(".")]
    left = Job(folder, SyntheticOptions(subjects=many, frames=6), CROP)
    for name in (n for n in names if n.endswith(".npz")):
        assert is_complete(left, int(name[1:6]))
