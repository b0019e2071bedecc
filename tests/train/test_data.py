"""Crop sets for training: held-out subjects, and the content of batches."""

import numpy as np
import pytest
import torch
from fakes.data_sets import picture
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeau.runtime.errors import InputError
from edgeau.train.augment import MIRROR_68, Augmenter, AugmentOptions, draw, move_landmarks
from edgeau.train.batches import Batches, BatchOptions, plain_batches
from edgeau.train.data import open_data, split_subjects


@settings(max_examples=50)
@given(st.integers(3, 60), st.floats(0.02, 0.4), st.floats(0.02, 0.4), st.integers(0, 1000))
def test_every_subject_is_in_exactly_one_part(count, val, test, seed):
    subjects = [f"p{i}" for i in range(count)]
    split = split_subjects(subjects, val, test, seed)
    assert sorted(split.train + split.val + split.test) == sorted(subjects)
    assert min(len(split.val), len(split.test)) >= 1
    assert split == split_subjects(subjects[::-1], val, test, seed)


def test_another_seed_holds_out_other_subjects():
    subjects = [f"p{i}" for i in range(40)]
    assert split_subjects(subjects, 0.2, 0.2, 0).test != split_subjects(subjects, 0.2, 0.2, 1).test


def test_a_split_that_leaves_no_training_subjects_is_refused():
    with pytest.raises(InputError, match="more than the 2"):
        split_subjects(["a", "b"], 0.1, 0.1, 0)


def test_sources_with_different_aus_are_joined_with_missing_labels(make_crop_set):
    first, second = make_crop_set("a"), make_crop_set("b", aus=("AU01", "AU04"), prefix="q", seed=1)
    data = open_data([str(first), str(second)])
    assert data.aus == ("AU01", "AU04", "AU12", "AU25")
    assert np.isnan(data.intensity[:96, 1]).all()
    assert not np.isnan(data.intensity[96:, 1]).any()
    assert np.isnan(data.intensity[96:, 2:]).all()
    assert len(data.subjects) == 16
    own = np.load(second / "shards" / "s00002.npy")
    sample = 96 + 2 * 12 + 5
    assert np.array_equal(data.pixels(sample), own[5])
    assert np.array_equal(data.pixels(data.neutral[sample]), own[0])


def test_generated_subjects_are_identified_by_their_seed(make_crop_set):
    data = open_data([str(make_crop_set("a", seed=0)), str(make_crop_set("b", seed=1))])
    assert len(data.subjects) == 16
    again = open_data([str(make_crop_set("c", seed=0)), str(make_crop_set("d", seed=0, frames=3))])
    assert len(again.subjects) == 8


def test_neutrals_of_an_npz_file_are_never_sampled_as_faces(tmp_path):
    faces = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 112, 112, 3), np.uint8)
    au = np.array([[0.0], [3.0], [1.0], [5.0]], np.float32)
    names = np.array(["a", "a", "b", "b"])
    np.savez(tmp_path / "set.npz", faces=faces, neutrals=faces + 100, au=au, aus=np.array(["AU12"]), subjects=names)
    data = open_data([str(tmp_path / "set.npz")])
    rows = data.rows_of(["b"])
    assert rows.tolist() == [2, 3]
    batch = next(iter(plain_batches(data, rows, BatchOptions(size_px=112, batch=8, takes_neutral=True))))
    assert batch.face[:, 0, 0, 0].tolist() == [2, 3]
    assert batch.neutral[:, 0, 0, 0].tolist() == [102, 103]


@pytest.mark.parametrize("specs", [["/nonexistent"], []])
def test_missing_data_is_an_error(specs):
    with pytest.raises(InputError):
        open_data(specs)


def test_aus_that_no_source_labels_are_an_error(crop_set):
    with pytest.raises(InputError, match="AU01, AU12, AU25"):
        open_data([str(crop_set)], ["AU09"])


@pytest.fixture
def batches(crop_set):
    data = open_data([str(crop_set)])
    options = BatchOptions(size_px=32, batch=8, takes_neutral=True, landmarks=True, workers=2)
    return Batches(data, np.arange(len(data)), options, seed=7)


def fields(batch):
    return [batch.face, batch.neutral, batch.intensity, batch.expression, batch.landmarks]


def test_a_batch_depends_only_on_seed_and_step(batches):
    stream = batches.start(3)
    streamed = [next(stream) for _ in range(4)]
    stream.close()
    for step, batch in enumerate(streamed, start=3):
        for a, b in zip(fields(batch), fields(batches.make(step)), strict=True):
            assert torch.equal(a, b)


def test_processes_split_a_batch(batches):
    from dataclasses import replace

    whole = batches.make(5)
    for rank in range(2):
        part = Batches(batches.data, batches.rows, replace(batches.options, rank=rank, world=2), seed=7).make(5)
        for a, b in zip(fields(part), fields(whole), strict=True):
            assert torch.equal(a, b[rank::2])


def test_every_sample_occurs_once_per_epoch(batches):
    seen = np.concatenate([batches._samples(step) for step in range(batches.per_epoch)])
    assert sorted(seen) == list(range(96))


def test_the_face_replaces_an_unknown_neutral(crop_set):
    data = open_data([str(crop_set)])
    for share, same in ((1.0, 8), (0.0, 0)):
        options = BatchOptions(size_px=32, batch=8, takes_neutral=True, neutral_unknown=share)
        batch = Batches(data, np.flatnonzero(data.neutral != np.arange(96)), options, seed=1).make(0)
        assert sum(torch.equal(f, n) for f, n in zip(batch.face, batch.neutral, strict=True)) == same


def test_without_augmentation_crops_are_unchanged(crop_set):
    data = open_data([str(crop_set)])
    batch = Batches(data, np.arange(96), BatchOptions(size_px=32, batch=4, augment=None), seed=0)
    rows = batch._samples(0)
    assert np.array_equal(batch.make(0).face.numpy(), np.stack([data.pixels(row) for row in rows]))


def test_mirroring_twice_gives_the_same_points():
    points = np.random.default_rng(0).random((68, 2))
    assert np.array_equal(points[MIRROR_68][MIRROR_68], points)
    # Right eye corner, mouth corner and brow become the left ones.
    assert MIRROR_68[[36, 48, 17, 31, 60]].tolist() == [45, 54, 26, 35, 64]


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([32, 48, 112]))
def test_landmarks_move_with_the_pixels(seed, size):
    """A bright dot drawn at a landmark is at the moved landmark after the warp."""
    rng = np.random.default_rng(seed)
    options = AugmentOptions(light=0.0, colour=0.0, blur=0.0, noise=0.0, jpeg=0.0, cutout=0.0)
    points = np.full((68, 2), 24.0)
    points[0] = rng.integers(18, 46, 2)
    image = np.zeros((64, 64, 3), np.uint8)
    x, y = points[0].astype(int)
    image[y - 1 : y + 2, x - 1 : x + 2] = 255
    drawn = draw(np.array([64]), size, options, rng)
    out = np.empty((size, size, 3), np.uint8)
    Augmenter(size).face(image, drawn, 0, out)
    moved = move_landmarks(points, drawn.face_matrix[0], bool(drawn.flip[0]))
    where = moved[16] if drawn.flip[0] else moved[0]
    weight = out[..., 0].astype(float)
    rows, columns = np.mgrid[:size, :size]
    centre = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
    assert np.abs(centre - where).max() < 0.6


def test_augmentation_with_zero_strength_changes_nothing():
    off = AugmentOptions(**dict.fromkeys(AugmentOptions.__dataclass_fields__, 0.0))
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    out = np.empty_like(image)
    Augmenter(32).face(image, draw(np.array([32]), 32, off, np.random.default_rng(1)), 0, out)
    assert np.array_equal(out, image)


def test_darkening_saturates_at_black():
    image = np.full((32, 32, 3), 3, np.uint8)
    options = AugmentOptions(flip=0, align=0, jitter=0, light=0.5, colour=0, blur=0, noise=0, jpeg=0, cutout=0)
    rng = np.random.default_rng(0)
    drawn = draw(np.full(64, 32), 32, options, rng)
    augmenter, out = Augmenter(32), np.empty_like(image)
    for row in np.flatnonzero(drawn.offset < -10):
        augmenter.face(image, drawn, row, out)
        assert out.max() == 0


def test_classes_that_are_not_aus_are_labelled_by_columns_and_expressions(tmp_path):
    for number in range(4):
        picture(tmp_path / f"{number}.png", 50 * number)
    rows = ["0.png,anna,0,neutral,1", "1.png,anna,1,happy,0", "2.png,ben,0,neutral,1", "3.png,ben,,,0"]
    (tmp_path / "labels.csv").write_text("\n".join(["file,subject,AU12,expression,glasses", *rows]))
    data = open_data([str(tmp_path)], ("glasses", "happiness", "AU12", "wink"))
    expected = [[3, 0, 0, np.nan], [0, 5, 3, np.nan], [3, 0, 0, np.nan], [0, np.nan, np.nan, np.nan]]
    np.testing.assert_array_equal(data.intensity, expected)
    assert open_data([str(tmp_path)]).aus == ("AU12",)
    with pytest.raises(InputError, match="expected some of wink"):
        open_data([str(tmp_path)], ("wink",))
