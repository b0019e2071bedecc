from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeau.runtime.crop_set import (
    CropSet,
    Index,
    Shard,
    read_index,
    read_shard,
    spread,
    write_crop_file,
    write_index,
    write_shard,
)
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec

SPEC = CropSpec(size_px=16)
RNG = np.random.default_rng(0)


@pytest.fixture
def crop_set(tmp_path: Path) -> Path:
    """Two subjects with three crops each; crop t of subject s is filled with 10 s + t, crop 0 is the neutral."""
    folder = tmp_path / "set"
    (folder / "shards").mkdir(parents=True)
    shards = []
    for s in range(2):
        faces = np.stack([np.full((16, 16, 3), 10 * s + t, np.uint8) for t in range(3)])
        np.save(folder / "shards" / f"s{s}.npy", faces)
        np.savez(
            folder / "shards" / f"s{s}.npz",
            au=np.array([[0, np.nan], [1.9, 0], [2, 5]], np.float16),
            neutral=np.array([-1, 0, 0], np.int32),
        )
        shards.append({"name": f"s{s}", "subject": f"person{s}", "samples": 3})
    index = {"format": "edgeau-crops", "version": 1, "aus": ["AU06", "AU12"], "shards": shards}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def test_a_crop_set_gives_faces_their_neutrals_and_subjects(crop_set: Path) -> None:
    crops = read_crops(str(crop_set), SPEC)
    assert [int(face[0, 0, 0]) for face in crops.faces] == [0, 1, 2, 10, 11, 12]
    assert [int(face[0, 0, 0]) for face in crops.neutrals] == [0, 0, 0, 10, 10, 10]
    assert crops.subjects == ("person0",) * 3 + ("person1",) * 3


def test_presence_starts_at_the_threshold_intensity_and_keeps_missing_labels(crop_set: Path) -> None:
    labels = read_crops(str(crop_set), SPEC).presence(["AU12", "AU06", "AU99"])[:3]
    expected = [[np.nan, 0, np.nan], [0, 0, np.nan], [1, 1, np.nan]]
    np.testing.assert_array_equal(labels, np.array(expected, np.float32))


def test_a_limit_is_spread_over_all_subjects(crop_set: Path) -> None:
    assert read_crops(str(crop_set), SPEC, limit=2).subjects == ("person0", "person1")


def test_crops_of_another_size_are_resized(crop_set: Path) -> None:
    assert read_crops(str(crop_set), CropSpec(size_px=24)).faces.shape == (6, 24, 24, 3)


def test_an_npz_file_is_read(tmp_path: Path) -> None:
    faces = RNG.integers(0, 256, (4, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "d.npz", faces=faces, au=np.ones((4, 1)), aus=["AU12"])
    crops = read_crops(str(tmp_path / "d.npz"), SPEC)
    assert np.array_equal(crops.faces, faces)
    assert crops.aus == ("AU12",)


def test_the_hash_depends_on_the_pixels(tmp_path: Path) -> None:
    faces = RNG.integers(0, 256, (4, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "a.npz", faces=faces)
    faces[0, 0, 0, 0] ^= 1
    np.savez(tmp_path / "b.npz", faces=faces)
    a, again, b = (read_crops(str(tmp_path / name), SPEC).sha256 for name in ("a.npz", "a.npz", "b.npz"))
    assert a == again != b


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"face": np.zeros((1, 16, 16, 3), np.uint8)}, "expected an array named faces"),
        ({"faces": np.zeros((1, 16, 16, 3))}, "got float64"),
        ({"faces": np.zeros((16, 16, 3), np.uint8)}, r"expected uint8 \[N, H, W, 3\]"),
        ({"faces": np.zeros((0, 16, 16, 3), np.uint8)}, "N > 0"),
        ({"faces": np.zeros((2, 16, 16, 3), np.uint8), "au": np.zeros((2, 3))}, r"au: got shape \(2, 3\)"),
        (
            {"faces": np.zeros((2, 16, 16, 3), np.uint8), "neutrals": np.zeros((1, 16, 16, 3), np.uint8)},
            "neutrals",
        ),
        ({"faces": np.zeros((2, 16, 16, 3), np.uint8), "neutral": np.array([0, 2])}, "expected 2 rows of faces"),
    ],
)
def test_arrays_of_the_wrong_shape_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_crops(str(tmp_path / "d.npz"), SPEC)


def test_a_missing_or_empty_folder_and_a_damaged_shard_are_refused(crop_set: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for spec, message in [(tmp_path / "absent", "no such folder"), (tmp_path / "empty", "no images")]:
        with pytest.raises(InputError, match=message):
            read_crops(str(spec), SPEC)
    shard = crop_set / "shards" / "s1.npy"
    shard.write_bytes(shard.read_bytes()[:200])
    with pytest.raises(InputError, match="shard s1"):
        read_crops(str(crop_set), SPEC)


@given(count=st.integers(1, 500), limit=st.integers(1, 600))
def test_spread_is_strictly_increasing_and_reaches_both_ends(count: int, limit: int) -> None:
    rows = spread(count, limit)
    assert len(rows) == min(count, limit)
    assert (np.diff(rows) > 0).all()
    assert rows[0] == 0
    assert limit == 1 or rows[-1] == count - 1


def labels(count: int) -> dict[str, np.ndarray]:
    return {"au": np.full((count, 1), 2.5), "neutral": np.zeros(count), "frame": np.arange(count)}


def test_a_crop_set_survives_a_round_trip(tmp_path: Path) -> None:
    faces = RNG.integers(0, 256, (3, 16, 16, 3), np.uint8)
    write_shard(tmp_path, "s0", faces, labels(3))
    index = Index(("AU12",), (Shard("s0", "anna", 3),), ("neutral",), 16, SPEC, {"seed": 1})
    write_index(tmp_path, index)
    assert read_index(tmp_path) == index
    pixels, stored = read_shard(tmp_path, "s0")
    np.testing.assert_array_equal(pixels, faces)
    assert {key: value.dtype.name for key, value in stored.items()} == {
        "au": "float16", "neutral": "int32", "frame": "int32",
    }  # fmt: skip
    crops = read_crops(str(tmp_path), SPEC)
    assert (crops.subjects, crops.aus, crops.intensity.tolist()) == (("anna",) * 3, ("AU12",), [[2.5]] * 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neutral": None}, "expected au and neutral"),
        ({"nuetral": np.zeros(3)}, "got au, neutral, frame, nuetral"),
        ({"frame": np.arange(2)}, "got 2 rows of frame, expected 3"),
    ],
)
def test_an_invalid_shard_is_not_written(tmp_path: Path, change: dict[str, np.ndarray | None], message: str) -> None:
    changed = {key: value for key, value in {**labels(3), **change}.items() if value is not None}
    with pytest.raises(InputError, match=message):
        write_shard(tmp_path, "s0", np.zeros((3, 16, 16, 3), np.uint8), changed)
    assert not list(tmp_path.rglob("*.np*"))


def test_a_single_file_stores_each_neutral_once_and_survives_a_round_trip(tmp_path: Path) -> None:
    faces = RNG.integers(0, 256, (3, 16, 16, 3), np.uint8)
    crops = CropSet(faces, faces[[1, 1, 2]], ("AU12",), np.ones((3, 1), np.float32), ("a", "a", "b"), "here")
    write_crop_file(tmp_path / "d.npz", crops, {"note": np.array(1)})
    with np.load(tmp_path / "d.npz") as arrays:
        assert arrays["neutral"].tolist() == [1, 1, 2]
        assert "neutrals" not in arrays.files
    again = read_crops(str(tmp_path / "d.npz"), SPEC)
    assert (again.sha256, again.subjects, again.aus) == (crops.sha256, crops.subjects, crops.aus)


def test_neutrals_that_are_not_among_the_faces_are_stored_as_images(tmp_path: Path) -> None:
    faces = RNG.integers(0, 256, (2, 16, 16, 3), np.uint8)
    crops = CropSet(faces, 255 - faces, (), np.zeros((2, 0), np.float32), ("", ""), "here")
    write_crop_file(tmp_path / "d.npz", crops)
    np.testing.assert_array_equal(read_crops(str(tmp_path / "d.npz"), SPEC).neutrals, 255 - faces)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "another format or version"),
        ({"shards": [{"name": "s0", "subject": "anna"}]}, "'samples' is missing"),
        ({"aus": "AU12"}, "damaged index"),
    ],
)
def test_an_invalid_index_is_refused(crop_set: Path, change: dict[str, object], message: str) -> None:
    index = json.loads((crop_set / "index.json").read_text())
    (crop_set / "index.json").write_text(json.dumps({**index, **change}))
    with pytest.raises(InputError, match=message):
        read_index(crop_set)


def test_unknown_keys_in_an_index_are_ignored(crop_set: Path) -> None:
    index = json.loads((crop_set / "index.json").read_text())
    (crop_set / "index.json").write_text(json.dumps({**index, "licence": "own"}))
    assert len(read_crops(str(crop_set), SPEC)) == 6


@pytest.mark.parametrize("samples", [-1, 4, 10**30])
def test_a_wrong_number_of_samples_is_refused(crop_set: Path, samples: int) -> None:
    index = json.loads((crop_set / "index.json").read_text())
    index["shards"][1]["samples"] = samples
    (crop_set / "index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="shard s1"):
        read_crops(str(crop_set), SPEC)
