"""How well AUs tell photos of one expression from photos of neutral faces, for packages and checkpoints.

    python -m edgeau.benchmarks.studies.real_photos PHOTOS shipped runs/teacher/best.pt cednn.edgeau -o OUT.json

PHOTOS holds labels.csv (columns file and expression: neutral, happiness, surprise, anger or sadness) and the pictures.
An AU that belongs to an expression should be higher there than in neutral faces: the figure of a pair is the area under
the ROC curve of its presence against the neutral photos, and models are compared by the mean of the twelve pairs. Each
picture is a still: YuNet at its own size, the face nearest the middle, compared with itself where a model takes a
neutral. One word per picture is no AU label, so 1.0 is out of reach. Intervals are of a bootstrap over the photos: how
much the mean, and the gain over the first model, would change with other photos of the same kind. It reports; train
and tune on other pictures.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.runtime.choose import load
from edgeau.runtime.cli import main as edgeau
from edgeau.runtime.crop import crop_face
from edgeau.runtime.detect import Detector, make_detector
from edgeau.runtime.detection import nearest_middle
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.evaluate import predict_aus, roc_auc
from edgeau.runtime.files import write_json
from edgeau.runtime.images import read_image
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.terminal import note, say

SHIPPED = "shipped"
RESAMPLES = 500
NEUTRAL = "neutral"
# The AUs that FACS's prototypes name for these expressions and that the set shows (anger is mostly shouting).
PAIRS: Mapping[str, tuple[str, ...]] = {
    "happiness": ("AU12", "AU06"),
    "surprise": ("AU01", "AU02", "AU25", "AU26"),
    "anger": ("AU04", "AU25"),
    "sadness": ("AU04", "AU01", "AU15", "AU17"),
}


@dataclass(frozen=True)
class Photos:
    """Pictures with one face each.

    Attributes:
        images_bgr: uint8 [H, W, 3] each; those without a face are left out.
        points_xy: float32 [5, 2] each, of the face nearest the middle.
        expressions: one word each.
        without_face: how many pictures were left out.
    """

    images_bgr: tuple[np.ndarray, ...]
    points_xy: tuple[np.ndarray, ...]
    expressions: tuple[str, ...]
    without_face: int

    def crops(self, crop: CropSpec) -> np.ndarray:
        """uint8 [N, S, S, 3], RGB."""
        pairs = zip(self.images_bgr, self.points_xy, strict=True)
        return np.stack([crop_face(image[:, :, ::-1], points, crop) for image, points in pairs])


def read_photos(folder: Path, detector: Detector) -> Photos:
    """Read a folder's pictures and find their faces. Raises InputError without labels.csv, or without any face."""
    file = folder / "labels.csv"
    if not file.is_file():
        raise InputError(f"photos {folder}", got="no labels.csv", expected="columns file and expression")
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [(row["file"], row["expression"]) for row in csv.DictReader(lines)]
    images, points, expressions = [], [], []
    for name, expression in rows:
        image = read_image(folder / name)
        faces = detector.detect(image)
        if faces:
            images.append(image)
            points.append(nearest_middle(faces, image).points_xy)
            expressions.append(expression)
    if not images:
        raise InputError(f"photos {folder}", got="no face in any of them", expected="pictures of faces")
    return Photos(tuple(images), tuple(points), tuple(expressions), len(rows) - len(images))


def pair_figures(presence: np.ndarray, aus: Sequence[str], expressions: Sequence[str]) -> dict[str, float | None]:
    """AUC by ``AU of expression``; None where the model lacks the AU or the set the expression.

    Args:
        presence: float [N, A].
        expressions: one word for each of N.
    """
    words = np.array(expressions)
    figures: dict[str, float | None] = {}
    for expression, names in PAIRS.items():
        for au in names:
            chosen = (words == expression) | (words == NEUTRAL)
            score = presence[chosen, list(aus).index(au)] if au in aus else np.zeros(0)
            figures[f"{au} {expression}"] = roc_auc(score, words[chosen] == expression) if len(score) else None
    return figures


@dataclass(frozen=True)
class Answers:
    """What a model says of all photos.

    Attributes:
        model: its name.
        presence: float [N, A].
        aus: A names.
    """

    model: str
    presence: np.ndarray
    aus: tuple[str, ...]


def answers(model: str, photos: Photos) -> Answers:
    """Run a model on all photos."""
    with tempfile.TemporaryDirectory() as folder:
        package = _package(model, Path(folder))
        with load(package, variant="fp32", detector=None) as analyzer:
            manifest = analyzer.manifest
            crops = photos.crops(manifest.crop)
            inputs = {spec.name: crops for spec in manifest.inputs}
            return Answers(model, predict_aus(analyzer.backend, inputs), tuple(manifest.aus))


def figures(said: Answers, expressions: Sequence[str]) -> dict[str, Any]:
    """One model's figures: ``pairs``, their mean, and the share of neutral faces on which each AU fires at 0.5."""
    pairs = pair_figures(said.presence, said.aus, expressions)
    known = [value for value in pairs.values() if value is not None]
    neutral = said.presence[np.array(expressions) == NEUTRAL]
    fires = {au: float((neutral[:, i] >= 0.5).mean()) for i, au in enumerate(said.aus)} if len(neutral) else {}
    mean = float(np.mean(known)) if known else None
    return {"model": said.model, "pairs": pairs, "mean": mean, "pairs_known": len(known), "neutral_fires": fires}


def resampled_means(models: Sequence[Answers], expressions: Sequence[str], count: int = RESAMPLES) -> np.ndarray:
    """Each model's mean over resamples of the photos of each expression, with replacement: float [models, count].

    All models see the same resamples, so that the difference of two rows is paired. NaN where no pair is known.
    """
    words, rng = np.array(expressions), np.random.default_rng(0)
    rows_of = [np.flatnonzero(words == word) for word in np.unique(words)]
    means = np.full((len(models), count), np.nan)
    for resample in range(count):
        rows = np.concatenate([rng.choice(rows, len(rows)) for rows in rows_of])
        for number, said in enumerate(models):
            pairs = pair_figures(said.presence[rows], said.aus, words[rows])
            known = [value for value in pairs.values() if value is not None]
            means[number, resample] = np.mean(known) if known else np.nan
    return means


def with_intervals(results: Sequence[Mapping[str, Any]], means: np.ndarray) -> list[dict[str, Any]]:
    """Add ``mean_95``, and to all but the first model ``gain`` over the first and ``gain_95``."""
    full = [{**result, "mean_95": _middle_95(row)} for result, row in zip(results, means, strict=True)]
    for result, row in zip(full[1:], means[1:], strict=True):
        if result["mean"] is not None and full[0]["mean"] is not None:
            result.update(gain=result["mean"] - full[0]["mean"], gain_95=_middle_95(row - means[0]))
    return full


def _middle_95(values: np.ndarray) -> list[float] | None:
    return None if np.isnan(values).any() else [float(value) for value in np.percentile(values, (2.5, 97.5))]


def _package(model: str, folder: Path) -> str | None:
    """A package's path: the model's own, or that of a checkpoint exported into ``folder``; None for the shipped one."""
    if model == SHIPPED:
        return None
    if Path(model).is_dir():
        return model
    exported = folder / "exported.edgeau"
    if edgeau(["export", model, "-o", str(exported), "--json"]) != 0:
        raise InputError(f"model {model}", got="no package and no checkpoint", expected="one of them, or shipped")
    return str(exported)


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table, a column per model."""
    head = ["pair", *(Path(result["model"]).name for result in results)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    rows = [[pair, *(_figure(result["pairs"][pair]) for result in results)] for pair in results[0]["pairs"]]
    rows.append(["mean", *(_figure(result["mean"]) for result in results)])
    rows.append(["95% interval", *(_range(result.get("mean_95")) for result in results)])
    if len(results) > 1:
        rows.append(["gain over the first", "", *(_gain(result) for result in results[1:])])
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _range(interval: Sequence[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _gain(result: Mapping[str, Any]) -> str:
    interval = result.get("gain_95")
    return "-" if interval is None else f"{result['gain']:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})"


def main(arguments: list[str] | None = None) -> int:
    """Judge models, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder with labels.csv")
    parser.add_argument("models", nargs="+", help="packages, checkpoints, or shipped")
    parser.add_argument("-o", "--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(arguments)
    try:
        photos = read_photos(args.photos, make_detector("yunet"))
        said = [answers(model, photos) for model in args.models]
    except EdgeauError as error:
        note(f"real_photos: {error}")
        return 2
    results = [figures(one, photos.expressions) for one in said]
    results = with_intervals(results, resampled_means(said, photos.expressions))
    counts = {word: photos.expressions.count(word) for word in (NEUTRAL, *PAIRS)}
    write_json(args.out, {"photos": counts, "without_face": photos.without_face, "models": results})
    say(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
