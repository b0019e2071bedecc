"""Which candidates are accurate enough to be measured."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from edgeau.optimize.predict import batch_for
from edgeau.optimize.scoring import Scorer, rows_to_score
from edgeau.runtime.errors import BackendError
from edgeau.runtime.evaluate import predict_aus
from edgeau.runtime.package import Package

from .candidates import Candidate, open_candidate
from .options import Setup

OUT_OF_TIME = "not tried in the time given; more --minutes"
# Crops that are always run, and how much slower than FP32 a candidate is assumed to be.
_FEW_CROPS, _SLOWER_THAN_FP32 = 16, 2.0
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Screening:
    """The accuracy of each variant on each backend.

    Attributes:
        kept: candidates within the budget.
        scores: by `Candidate.reading`.
        dropped: why others are not kept, by `Candidate.reading`.
        metric: name of the score.
        crops: how many crops it was computed on.
    """

    kept: list[Candidate]
    scores: dict[str, float]
    dropped: dict[str, str]
    metric: str
    crops: int


def screen(setup: Setup, candidates: list[Candidate]) -> Screening:
    """Score each variant on each backend, on as many crops as there is time for, and apply the accuracy budget."""
    scorer = _affordable_scorer(setup, candidates)
    if len(scorer.crops) < len(setup.crops):
        setup.progress(f"judging on {len(scorer.crops)} of {len(setup.crops)} crops, for which there is time")
    reference, max_drop = scorer.score(scorer.reference).value, setup.options.max_drop
    scores = {setup.baseline.reading: reference}
    dropped: dict[str, str] = {}
    for reading, candidate in _by_reading(candidates).items():
        if reading == setup.baseline.reading:
            continue
        if setup.clock() > setup.screened_by:
            dropped[reading] = OUT_OF_TIME
            continue
        setup.progress(f"accuracy of {reading}")
        try:
            scores[reading] = _score(setup.package, candidate, scorer)
        except BackendError as error:
            dropped[reading] = str(error)
            continue
        if reference - scores[reading] > max_drop + _ROUNDING:
            dropped[reading] = (
                f"{scorer.metric} {scores[reading]:.4f}, FP32 {reference:.4f}: falls more than {max_drop:g}"
            )
    kept = [candidate for candidate in candidates if candidate.reading not in dropped]
    return Screening(kept, scores, dropped, scorer.metric, len(scorer.crops))


def _affordable_scorer(setup: Setup, candidates: list[Candidate]) -> Scorer:
    """A scorer on as many crops as all variants can be loaded and run on in the time for screening.

    The time is estimated from loading FP32 and running it on a few crops.
    """
    package, crops, clock = setup.package, setup.crops, setup.clock
    manifest = package.manifest
    labels = crops.presence(manifest.aus)
    few = crops.take(rows_to_score(labels, _FEW_CROPS)).inputs(manifest.takes_neutral)
    batch = batch_for(package.file(setup.baseline.variant))
    begin = clock()
    with open_candidate(package, setup.baseline) as backend:
        # The first call is slower than the others, so it counts as part of loading.
        predict_aus(backend, {name: array[:batch] for name, array in few.items()}, batch)
        loaded = clock()
        predict_aus(backend, few, batch)
        now = clock()
        per_crop = max(now - loaded, 1e-6) / len(few["face"])
        runs = len(_by_reading(candidates))
        left = setup.screened_by - now - runs * (loaded - begin)
        affordable = int(left / (per_crop * runs * _SLOWER_THAN_FP32))
        some = crops.take(rows_to_score(labels, max(affordable, _FEW_CROPS)))
        reference = predict_aus(backend, some.inputs(manifest.takes_neutral), batch)
    return Scorer.of(some, manifest, reference)


def _by_reading(candidates: list[Candidate]) -> dict[str, Candidate]:
    """The first candidate of each variant and backend; their settings make no difference to outputs."""
    first: dict[str, Candidate] = {}
    for candidate in candidates:
        first.setdefault(candidate.reading, candidate)
    return first


def _score(package: Package, candidate: Candidate, scorer: Scorer) -> float:
    # With the backend's own choice of threads, as FP32 was timed: a single thread may take all the time there is.
    with open_candidate(package, dataclasses.replace(candidate, threads=None)) as backend:
        inputs = scorer.crops.inputs(package.manifest.takes_neutral)
        outputs = predict_aus(backend, inputs, batch_for(package.file(candidate.variant)))
    return scorer.score(outputs).value
