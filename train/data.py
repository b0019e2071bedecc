"""Training data: crop sets under one list of action units, split by subject. Pixels stay in memory-mapped shards."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.runtime.action_units import EXPRESSIONS, is_au
from edgeau.runtime.crop_set import PRESENT_FROM, is_crop_set, read_index, read_shard
from edgeau.runtime.crop_source import own_crop_set, own_path, read_crops
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.train.faces.source import parse as synthetic_options

from .convert import data_set_crops
from .datasets import DATA_SETS


@dataclass(frozen=True)
class Shard:
    """Samples whose pixels are in one array: uint8 [T, H, W, 3], usually memory-mapped."""

    pixels: np.ndarray
    start: int


@dataclass(frozen=True)
class FaceData:
    """All samples of the given sources.

    Attributes:
        shards: the pixels; sample ``i`` is ``shards[shard_of[i]].pixels[i - start]``.
        shard_of: int32 [N].
        neutral: int64 [N], sample number of the subject's neutral, -1 if there is none.
        intensity: float32 [N, A], FACS 0..5, NaN where not labelled.
        expression: int64 [N], -1 where unknown.
        subject: int32 [N], index into ``subjects``.
        landmarks: float32 [N, 68, 2] in stored crop pixels, NaN where hidden; None unless every source has them.
        crop: the rule that made the crops.
    """

    shards: tuple[Shard, ...]
    shard_of: np.ndarray
    neutral: np.ndarray
    aus: tuple[str, ...]
    intensity: np.ndarray
    expressions: tuple[str, ...]
    expression: np.ndarray
    subject: np.ndarray
    subjects: tuple[str, ...]
    landmarks: np.ndarray | None
    crop: CropSpec
    origins: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.shard_of)

    def pixels(self, sample: int) -> np.ndarray:
        """uint8 [H, W, 3] of one sample."""
        shard = self.shards[self.shard_of[sample]]
        return np.asarray(shard.pixels[sample - shard.start])

    def source_px(self, samples: np.ndarray) -> np.ndarray:
        """Side of the stored crops: int [len(samples)]."""
        sides = np.array([shard.pixels.shape[1] for shard in self.shards])
        return np.asarray(sides[self.shard_of[samples]])

    def rows_of(self, subjects: Sequence[str]) -> np.ndarray:
        """Samples of these subjects with an AU or an expression label: int64, ascending."""
        selected = np.isin(np.array(self.subjects), list(subjects))
        labelled = ~np.isnan(self.intensity).all(axis=1) | (self.expression >= 0)
        return np.flatnonzero(selected[self.subject] & labelled)


@dataclass(frozen=True)
class Split:
    """Subject names: for training, for early stopping, and for the final metrics only."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


def open_data(
    specs: Sequence[str],
    aus: Sequence[str] | None = None,
    *,
    seed: int = 0,
    crop: CropSpec = CropSpec(),
    shared_subjects: bool = False,
) -> FaceData:
    """Open crop sets for training.

    Args:
        specs: folders written by ``edgeau synth``; licensed data such as ``disfa:ROOT`` (see train/datasets), cropped
            on first use; or anything else that ``read_crops`` accepts, which is read into memory.
        aus: the AUs, or classes of other names, to learn or to score; None means all AUs that the sources label, in
            numerical order.
        seed: for sources that draw at random.
        crop: the rule for sources that are cropped when read; crop sets have their own.
        shared_subjects: allow data sets with the same people, DISFA and DISFA+; a name then means one person in both.

    Raises:
        InputError: missing or damaged data, crops made by different rules, or no source labels any of the AUs.
    """
    _allow_many_files()
    if not shared_subjects:
        _require_other_people(specs)
    parts = [_open(spec, crop, seed) for spec in specs]
    if not parts:
        raise InputError("training data", got="none", expected="at least one --data")
    crop = parts[0].crop
    if any(part.crop.template != crop.template for part in parts):
        raise InputError("training data", got="crops made by different rules", expected="one crop rule for all sources")
    labelled = tuple(sorted({au for part in parts for au in part.aus if is_au(au)}))
    chosen = tuple(aus) if aus else labelled
    classes = {name for part in parts for name in (*part.aus, *_shown_expressions(part))}
    if not set(chosen) & {*labelled, *(classes if aus else ())}:
        only = (
            "labels of expressions only" if any((part.expression >= 0).any() for part in parts) else "no labels at all"
        )
        hint = None if labelled else "expressions are learnt beside AUs: add --data that has AUs"
        raise InputError(f"labels in {', '.join(specs)}", got=", ".join(labelled) or only,
                         expected=f"some of {', '.join(chosen) or 'any AU'}", hint=hint)  # fmt: skip
    return _join(parts, chosen)


def present_from_of(specs: Sequence[str]) -> float:
    """The lowest intensity that counts as present in these data; PRESENT_FROM where none of them says.

    Raises:
        InputError: they differ, as DISFA's 2 and CK+'s 1 do, or a crop set's index is damaged.
    """
    stated = {spec: value for spec in specs if (value := _stated_present_from(spec)) is not None}
    if len(set(stated.values())) > 1:
        got = ", ".join(f"{spec} from {value:g}" for spec, value in stated.items())
        raise InputError("intensities that count as present", got=got, expected="one rule for all data",
                         hint="choose it: --present-from 2")  # fmt: skip
    return next(iter(stated.values()), PRESENT_FROM)


def _stated_present_from(spec: str) -> float | None:
    word = spec.partition(":")[0]
    if is_crop_set(Path(spec)):
        return read_index(Path(spec)).present_from
    if own_path(spec) is not None:
        return PRESENT_FROM
    return DATA_SETS[word].present_from if word in DATA_SETS else None


def _require_other_people(specs: Sequence[str]) -> None:
    words = [spec.partition(":")[0] for spec in specs]
    for word in words:
        twin = DATA_SETS[word].same_people if word in DATA_SETS else None
        if twin in words:
            got = f"{DATA_SETS[word].title} and {DATA_SETS[str(twin)].title}, which show the same people"
            raise InputError("training data", got=got, expected="one of them",
                             hint="--shared-subjects if the overlap is intended")  # fmt: skip


def split_subjects(subjects: Sequence[str], val: float, test: float, seed: int) -> Split:
    """Hold out whole subjects: sorted by a hash of name and seed, the first are for test, the next for validation.

    Args:
        subjects: names.
        val, test: shares; 0 for none, otherwise at least one subject.

    Raises:
        InputError: none left to train on.
    """
    order = subjects_in_order(subjects, seed)
    n_test, n_val = (max(1, round(len(order) * share)) if share > 0 else 0 for share in (test, val))
    if n_test + n_val >= len(order):
        raise InputError(
            "subjects", got=f"{len(order)}", expected=f"more than the {n_test + n_val} to be held out",
            hint="give more data, or smaller --val and --test",
        )  # fmt: skip
    named = [tuple(sorted(part)) for part in (order[n_test + n_val :], order[n_test : n_test + n_val], order[:n_test])]
    return Split(*named)


def subjects_in_order(subjects: Sequence[str], seed: int) -> list[str]:
    """Distinct names in an order that depends on the seed, and not on the other names."""
    return sorted(set(subjects), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def _open(spec: str, crop: CropSpec, seed: int) -> FaceData:
    word, _, root = spec.partition(":")
    own = own_path(spec)
    if own is not None:
        return _with_known_people(_open_folder(own_crop_set(own, crop)), own)
    folder = data_set_crops(word, Path(root), crop) if word in DATA_SETS else Path(spec)
    return _open_folder(folder) if is_crop_set(folder) else _open_arrays(spec, crop, seed)


def _with_known_people(data: FaceData, own: Path) -> FaceData:
    """The data itself. Raises InputError where a face's subject is unknown: it could be in training and in the test."""
    if "" in data.subjects:
        raise InputError(
            f"own faces {own}", got="faces whose subject is not known", expected="a column subject in the labels",
            hint="or subjects.csv with the columns file and subject; see docs/data.md",
        )  # fmt: skip
    return data


def _open_folder(folder: Path) -> FaceData:
    index = read_index(folder)
    shards, labels, subjects, start = [], [], [], 0
    for entry in index.shards:
        pixels, label = read_shard(folder, entry.name)
        shards.append(Shard(pixels, start))
        own = label["neutral"].astype(np.int64)
        label["neutral"] = np.where(own >= 0, own + start, -1)
        labels.append(label)
        subjects.append(_person(entry.subject, index.generator))
        start += len(pixels)
    if start == 0:
        raise InputError(f"crop set {folder}", got="no samples", expected="at least one")
    counts = [len(label["neutral"]) for label in labels]
    names = tuple(dict.fromkeys(subjects))
    return FaceData(
        shards=tuple(shards),
        shard_of=np.repeat(np.arange(len(shards), dtype=np.int32), counts),
        neutral=np.concatenate([label["neutral"] for label in labels]),
        aus=index.aus,
        intensity=np.concatenate([label["au"].astype(np.float32) for label in labels]),
        expressions=index.expressions,
        expression=np.concatenate([_expression(label) for label in labels]),
        subject=np.repeat(np.array([names.index(s) for s in subjects], np.int32), counts),
        subjects=names,
        landmarks=_landmarks(labels),
        crop=index.crop,
        origins=(str(folder),),
    )


def _person(subject: str, generator: Mapping[str, Any] | None) -> str:
    """A generator uses the same subject names for every seed; adding the seed distinguishes them."""
    seed = None if generator is None else generator.get("seed")
    return subject if seed is None else f"{subject}@{seed}"


def _expression(label: dict[str, np.ndarray]) -> np.ndarray:
    missing = np.full(len(label["neutral"]), -1, np.int64)
    return label["expression"].astype(np.int64) if "expression" in label else missing


def _landmarks(labels: Sequence[dict[str, np.ndarray]]) -> np.ndarray | None:
    if not all("landmarks" in label for label in labels):
        return None
    points = np.concatenate([label["landmarks"].astype(np.float32) for label in labels])
    if all("visible" in label for label in labels):
        points[~np.concatenate([label["visible"] for label in labels])] = np.nan
    return points


def _open_arrays(spec: str, crop: CropSpec, seed: int) -> FaceData:
    """A source that is read into memory. Its neutrals become unlabelled samples, which are never drawn."""
    found = read_crops(spec, crop, seed=seed)
    if not found.aus:
        raise InputError(f"data {spec}", got="no AU labels", expected="a labelled crop set to train on")
    count = len(found)
    word, _, options = spec.partition(":")
    people = {"seed": synthetic_options(options, seed).seed} if word == "synthetic" else None
    subjects = [_person(subject, people) for subject in found.subjects]
    names = tuple(dict.fromkeys(subjects))
    return FaceData(
        shards=(Shard(np.concatenate([found.faces, found.neutrals]), 0),),
        shard_of=np.zeros(2 * count, np.int32),
        neutral=np.tile(np.arange(count, 2 * count), 2),
        aus=found.aus,
        intensity=np.concatenate([found.intensity, np.full_like(found.intensity, np.nan)]),
        expressions=EXPRESSIONS,
        expression=np.full(2 * count, -1, np.int64),
        subject=np.tile(np.array([names.index(s) for s in subjects], np.int32), 2),
        subjects=names,
        landmarks=None,
        crop=crop,
        origins=(spec,),
    )


def _join(parts: Sequence[FaceData], aus: tuple[str, ...]) -> FaceData:
    shards: list[Shard] = []
    shard_of, neutral, start = [], [], 0
    names = tuple(dict.fromkeys(name for part in parts for name in part.subjects))
    for part in parts:
        shard_of.append(part.shard_of + len(shards))
        neutral.append(np.where(part.neutral >= 0, part.neutral + start, -1))
        shards += [Shard(shard.pixels, shard.start + start) for shard in part.shards]
        start += len(part)
    points = [part.landmarks for part in parts if part.landmarks is not None]
    return FaceData(
        shards=tuple(shards),
        shard_of=np.concatenate(shard_of),
        neutral=np.concatenate(neutral),
        aus=aus,
        intensity=np.concatenate([_columns(part, aus) for part in parts]),
        expressions=EXPRESSIONS,
        expression=np.concatenate([_renumber(part) for part in parts]),
        subject=np.concatenate([np.array([names.index(s) for s in part.subjects])[part.subject] for part in parts]),
        subjects=names,
        landmarks=np.concatenate(points) if len(points) == len(parts) else None,
        crop=parts[0].crop,
        origins=tuple(origin for part in parts for origin in part.origins),
    )


def _columns(part: FaceData, aus: tuple[str, ...]) -> np.ndarray:
    chosen = np.full((len(part), len(aus)), np.nan, np.float32)
    for column, au in enumerate(aus):
        if au in part.aus:
            chosen[:, column] = part.intensity[:, part.aus.index(au)]
        elif au in _shown_expressions(part):
            shown = part.expression == part.expressions.index(au)
            chosen[:, column] = np.where(part.expression >= 0, 5.0 * shown, np.nan)
    return chosen


def _shown_expressions(part: FaceData) -> tuple[str, ...]:
    """Names of expressions, which are labels of classes of these names; none where no expression is known."""
    return part.expressions if (part.expression >= 0).any() else ()


def _renumber(part: FaceData) -> np.ndarray:
    number = np.array([EXPRESSIONS.index(e) if e in EXPRESSIONS else -1 for e in part.expressions] + [-1])
    return np.asarray(number[part.expression])


def _allow_many_files() -> None:
    """Raise the limit on open files: each mapped shard keeps one open, and a large set has more than the usual 1024."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
