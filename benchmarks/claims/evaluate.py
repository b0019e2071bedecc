"""Measures packages and the networks that their papers' claims are about in the same rounds, and judges each claim."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgeau.benchmarks.candidates import Candidate
from edgeau.benchmarks.comparison import Ratio, paired
from edgeau.benchmarks.harness import measure_all
from edgeau.benchmarks.macs import model_facts
from edgeau.benchmarks.measurement import BenchOptions, Measurement
from edgeau.optimize.variants import float_variant
from edgeau.runtime.backends import BackendOptions
from edgeau.runtime.errors import InputError
from edgeau.runtime.package import Package
from edgeau.runtime.report import Report, silent

from .claims import Claim
from .derived import twice_the_aus, ungrouped
from .networks import NETWORKS

HOLDS, FAILS, UNDECIDED, UNTESTABLE = "holds", "does not hold", "undecided", "cannot be tested here"
_DERIVED = {"ungrouped": "the same without groups", "twice-the-aus": "the same for twice the AUs"}


@dataclass(frozen=True)
class Versus:
    """Our figure beside another network's.

    Attributes:
        title: of the other network.
        ours, theirs: in the claim's metric.
        ratio: ours over theirs; of times by round, with its interval, of the rest exact.
        verdict: ``holds``, ``does not hold`` or ``undecided``.
    """

    title: str
    ours: float
    theirs: float
    ratio: Ratio
    verdict: str


@dataclass(frozen=True)
class Outcome:
    """A claim about one package.

    Attributes:
        claim: what is claimed.
        package: its name; "" if the claim can't be tested.
        versus: one entry per network.
        verdict: ``holds`` if all do, ``does not hold`` if one does not, otherwise ``undecided``; or
            ``cannot be tested here``.
        reason: why it can't be tested.
    """

    claim: Claim
    package: str
    versus: tuple[Versus, ...]
    verdict: str
    reason: str = ""


@dataclass(frozen=True)
class Setting:
    """The backend that runs all networks: its name, and its CPU threads."""

    backend: str = "onnxruntime"
    threads: int = 1


def evaluate(
    claims: Sequence[Claim],
    packages: Sequence[Package],
    options: BenchOptions,
    setting: Setting = Setting(),
    progress: Report = silent,
) -> tuple[list[Outcome], dict[str, Measurement]]:
    """Judge every claim on every package of its family.

    Args:
        claims: what is claimed.
        packages: their float variant is measured.
        options: how long to measure.
        setting: of the backend, the same for all networks.
        progress: called with a line of progress.

    Returns:
        Outcomes in the order of the claims, and the measurements by package or network.

    Raises:
        InputError: two packages have one name, or a package or network can't be measured here.
    """
    names = [package.manifest.name for package in packages]
    if len(set(names)) < len(names):
        raise InputError("packages", got=", ".join(names), expected="different names")
    testable = {p.manifest.name: [c for c in claims if _why_not(c, p) is None] for p in packages}
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        candidates, macs = _prepare(packages, testable, Path(folder), setting)
        measured, failures = measure_all(candidates, options, progress)
    if failures:
        first = failures[0]
        raise InputError(f"{first.variant} on {first.backend}", got=first.reason, expected="a network that runs here")
    records = {f"{each.package}/{each.variant}" if each.package else each.variant: each for each in measured}
    outcomes = [outcome for claim in claims for outcome in _outcomes(claim, packages, records, macs)]
    return outcomes, records


def _why_not(claim: Claim, package: Package) -> str | None:
    """Why a claim can't be tested on a package; None if it can."""
    side = package.manifest.inputs[0].height
    if claim.family != package.manifest.family:
        return "another family"
    if claim.untestable:
        return claim.untestable
    if claim.needs_size_px not in (None, side):
        return f"needs a package with an input of {claim.needs_size_px} px; {package.manifest.name} has {side}"
    return None


def _outcomes(
    claim: Claim, packages: Sequence[Package], records: Mapping[str, Measurement], macs: Mapping[str, int | None]
) -> list[Outcome]:
    family = [package for package in packages if package.manifest.family == claim.family]
    if claim.untestable or not family:
        reason = claim.untestable or f"no package of the family {claim.family} was given"
        return [Outcome(claim, "", (), UNTESTABLE, reason)]
    return [_outcome(claim, package, records, macs) for package in family]


def _outcome(
    claim: Claim, package: Package, records: Mapping[str, Measurement], macs: Mapping[str, int | None]
) -> Outcome:
    name = package.manifest.name
    reason = _why_not(claim, package)
    if reason is not None:
        return Outcome(claim, name, (), UNTESTABLE, reason)
    ours = records[f"{name}/fp32"]
    versus = []
    for other in claim.against:
        key, title = _key(claim, package, other), _title(claim, package, other)
        if key in records:
            versus.append(_versus(claim, title, ours, records[key]))
        elif (theirs := macs.get(key)) is not None:
            versus.append(_exact(claim, title, _figure(ours, "macs"), float(theirs)))
        else:
            return Outcome(claim, name, (), UNTESTABLE, f"{title} can't be derived from this graph")
    verdicts = {each.verdict for each in versus}
    verdict = next((each for each in (FAILS, UNDECIDED) if each in verdicts), HOLDS)
    return Outcome(claim, name, tuple(versus), verdict)


def _key(claim: Claim, package: Package, other: str) -> str:
    """The name of the measurement that a claim compares with."""
    if other in _DERIVED:
        return f"{package.manifest.name}/{other}"
    return f"{other}@{_side_px(claim, package, other)}"


def _title(claim: Claim, package: Package, other: str) -> str:
    if other in _DERIVED:
        return _DERIVED[other]
    return f"{NETWORKS[other].title} at {_side_px(claim, package, other)} px"


def _side_px(claim: Claim, package: Package, other: str) -> int:
    return package.manifest.inputs[0].height if claim.same_input else NETWORKS[other].size_px


def _versus(claim: Claim, title: str, ours: Measurement, theirs: Measurement) -> Versus:
    if claim.metric == "p50_ms":
        ratio = paired(ours.rounds.p50_ms, theirs.rounds.p50_ms)
        return Versus(title, ours.latency.p50_ms, theirs.latency.p50_ms, ratio, _judge(claim, ratio))
    return _exact(claim, title, _figure(ours, claim.metric), _figure(theirs, claim.metric))


def _exact(claim: Claim, title: str, ours: float, theirs: float) -> Versus:
    value = ours / theirs
    ratio = Ratio(value, value, value)
    return Versus(title, ours, theirs, ratio, _judge(claim, ratio))


def _judge(claim: Claim, ratio: Ratio) -> str:
    if claim.at_least is not None:
        return HOLDS if ratio.low >= claim.at_least else FAILS if ratio.high < claim.at_least else UNDECIDED
    return HOLDS if ratio.high <= claim.at_most else FAILS if ratio.low > claim.at_most else UNDECIDED


def _figure(measurement: Measurement, metric: str) -> float:
    if metric == "model_mib":
        assert measurement.memory is not None
        return measurement.memory.model_mib
    assert measurement.facts is not None
    value: Any = getattr(measurement.facts, metric)
    if value is None:
        raise InputError(
            f"{metric} of {measurement.variant}", got="unknown shapes", expected="a graph with static ones"
        )
    return float(value)


def _prepare(
    packages: Sequence[Package], testable: Mapping[str, Sequence[Claim]], folder: Path, setting: Setting
) -> tuple[list[Candidate], dict[str, int | None]]:
    """What has to be measured, with the files that this needs, and the MACs of networks that are only counted."""
    candidates: list[Candidate] = []
    macs: dict[str, int | None] = {}
    for package in packages:
        name, source = package.manifest.name, package.file(float_variant(package.manifest))
        needed = {other for claim in testable[name] for other in claim.against}
        candidates.append(_of_package(package, "fp32", source, setting))
        if needed & set(_DERIVED):
            model = onnx.load(str(source))
            file = folder / f"{name}-ungrouped.onnx"
            onnx.save(ungrouped(model), str(file))
            candidates.append(_of_package(package, "ungrouped", file, setting))
            twice = twice_the_aus(model)
            if twice is not None:
                file = folder / f"{name}-twice.onnx"
                onnx.save(twice, str(file))
                macs[f"{name}/twice-the-aus"] = model_facts(file).macs
    for package in packages:
        for claim, other in ((c, o) for c in testable[package.manifest.name] for o in c.against if o in NETWORKS):
            file = folder / f"{_key(claim, package, other)}.onnx"
            if not file.exists():
                side = _side_px(claim, package, other)
                NETWORKS[other].save(file, len(package.manifest.aus), side)
                candidates.append(_candidate("", file.stem, file, {"face": (side, side, 3)}, setting))
    return candidates, macs


def _of_package(package: Package, variant: str, file: Path, setting: Setting) -> Candidate:
    """A package's float variant, or a network derived from it that takes the same inputs."""
    shapes = {spec.name: (spec.height, spec.width, 3) for spec in package.manifest.inputs}
    return _candidate(package.manifest.name, variant, file, shapes, setting)


def _candidate(
    package: str, variant: str, file: Path, shapes: Mapping[str, tuple[int, int, int]], setting: Setting
) -> Candidate:
    random = np.random.default_rng(0)
    inputs = {name: random.integers(0, 256, (1, *shape), np.uint8) for name, shape in shapes.items()}
    return Candidate(
        package=package,
        variant=variant,
        precision="fp32",
        backend=setting.backend,
        file=file,
        options=BackendOptions(threads=setting.threads),
        inputs=inputs,
        onnx_file=file,
        data="noise, seed 0",
    )
