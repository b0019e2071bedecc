"""A recipe's data, and the split of its people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from edgeau.runtime.action_units import UNION
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.train.faces.stream import StreamOptions, is_stream, parse_stream

from .batches import Batches, BatchOptions
from .data import FaceData, Split, open_data, split_subjects
from .provenance import used_subjects
from .recipe import Recipe, crop_of
from .rendered import RenderedBatches, stream_intensity
from .unfold import open_init


@dataclass(frozen=True)
class Sources:
    """A recipe's data, and the split of its subjects.

    Attributes:
        data: crop sets; with a stream, only those for validation.
        split: of the subjects in ``data``.
        stream: faces to render while training, in place of ``split.train``.
    """

    data: FaceData
    split: Split
    stream: StreamOptions | None = None

    @property
    def rows(self) -> np.ndarray:
        """Samples to train on."""
        return self.data.rows_of(self.split.train)

    @property
    def val_rows(self) -> np.ndarray:
        """Samples that decide which weights are best."""
        return self.data.rows_of(self.split.val)

    def intensity(self) -> np.ndarray:
        """Labels of the training data, for base rates: float32 [N, A]."""
        return self.data.intensity[self.rows] if self.stream is None else stream_intensity(self.stream, self.data.aus)

    def batches(self, options: BatchOptions, seed: int) -> Batches | RenderedBatches:
        """Training batches."""
        if self.stream is None:
            return Batches(self.data, self.rows, options, seed)
        return RenderedBatches(self.stream, self.data.aus, options, seed)


def open_sources(recipe: Recipe) -> Sources:
    """Open a recipe's data and seed torch: the first step of every run. Raises InputError for an empty split."""
    torch.manual_seed(recipe.seed)
    if any(is_stream(spec) for spec in recipe.data):
        return _open_stream(recipe)
    crop = crop_of(recipe)
    data = open_data(
        [*recipe.data, *recipe.val_data], recipe.aus or None, seed=recipe.seed, crop=crop,
        shared_subjects=recipe.shared_subjects,
    )  # fmt: skip
    if not recipe.val_data:
        return Sources(data, split_of(recipe, data.subjects))
    val = open_data(recipe.val_data, recipe.aus or None, seed=recipe.seed, crop=crop).subjects
    rest = split_of(replace(recipe, val=0.0), [name for name in data.subjects if name not in val])
    return Sources(data, replace(rest, val=(*rest.val, *val)))


def _open_stream(recipe: Recipe) -> Sources:
    spec = recipe.data[0]
    if len(recipe.data) > 1:
        raise InputError("--data", got=", ".join(recipe.data), expected=f"{spec} alone")
    if not recipe.val_data:
        raise InputError(f"--data {spec}", got="no --val-data", expected="a crop set to choose weights by",
                         hint="write one: edgeau synth --out val --seed 1000 --subjects 40 --frames 20")  # fmt: skip
    stream = parse_stream(spec, recipe.seed)
    data = open_data(recipe.val_data, recipe.aus or UNION, seed=recipe.seed, crop=crop_of(recipe))
    if data.crop.template != CropSpec().template:
        raise InputError("--val-data", got="crops made by another rule", expected="the rule of rendered faces")
    return Sources(replace(data, origins=(spec, *data.origins)), Split((), data.subjects, ()), stream)


def require_new_people(recipe: Recipe, split: Split) -> None:
    """Refuse initial weights that were trained on people of the test: the test would measure memory."""
    if recipe.init is None:
        return
    seen = sorted(filter(used_subjects(open_init(recipe.init).provenance), split.test))
    if seen:
        others = f" and {len(seen) - 1} others" if len(seen) > 1 else ""
        raise InputError(
            f"--init {recipe.init}", got=f"weights trained on {seen[0]}{others}, whom this run holds out",
            expected="weights that have not seen them", hint="take the same --seed or --fold, or --test 0",
        )  # fmt: skip


def split_of(recipe: Recipe, subjects: Sequence[str]) -> Split:
    """Subjects to train on and to hold out. Raises InputError if no training subject is left."""
    split = recipe.split
    followed = split if split is not None and {*split.val, *split.test} & set(subjects) else None
    if recipe.held_out:
        return _held_out(recipe, subjects, () if followed is None else followed.val)
    if followed is not None:
        return _narrowed(followed, subjects)
    return split_subjects(subjects, recipe.val, recipe.test, recipe.seed)


def _held_out(recipe: Recipe, subjects: Sequence[str], val: Sequence[str]) -> Split:
    """The recipe's own test subjects, and of the others those for validation that are named, if there are any."""
    test = tuple(s for s in recipe.held_out if s in subjects)
    if not test:
        got = ", ".join(sorted(recipe.held_out))
        raise InputError("held-out subjects", got=got, expected="subjects of the data")
    rest = [s for s in subjects if s not in test]
    chosen = tuple(s for s in rest if s in val)
    train = tuple(s for s in rest if s not in chosen)
    if chosen and train:
        return Split(train, chosen, test)
    parts = split_subjects(rest, recipe.val, 0.0, recipe.seed)
    return Split(parts.train, parts.val, test)


def _narrowed(split: Split, subjects: Sequence[str]) -> Split:
    val, test = (tuple(s for s in subjects if s in part) for part in (split.val, split.test))
    train = tuple(s for s in subjects if s not in val and s not in test)
    if not train:
        raise InputError("subjects", got="only those that the teacher's run held out", expected="others to train on")
    return Split(train, val, test)
