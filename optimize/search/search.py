"""The variant, backend and settings that are best on this device, found by measuring and written into the package.

INT8 can be slower than FP32 (grouped convolutions on ONNX Runtime), so nothing is assumed: every candidate that keeps
the accuracy budget is run here, in turns with the others, and what wins is never slower than FP32 as it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from edgeau.optimize.predict import batch_for
from edgeau.optimize.quantization.quantize import float_variant
from edgeau.optimize.scoring import Scorer, rows_to_score
from edgeau.runtime.backends import Backend, BackendOptions, missing, open_backend
from edgeau.runtime.choose import obstacle
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.device import fingerprint, usable_cores
from edgeau.runtime.errors import BackendError, InputError
from edgeau.runtime.evaluate import predict_aus
from edgeau.runtime.manifest import Manifest, Variant
from edgeau.runtime.package import Package

from .energy import Meter, Sampler, find_meter
from .race import RaceResult, race, ratio

OBJECTIVES = ("latency", "throughput", "energy", "size")
THROUGHPUT_BATCHES = (1, 4, 16)
SLICE_SECONDS = {"latency": 0.08, "throughput": 0.12, "size": 0.08, "energy": 0.4}

OUT_OF_TIME = "not tried in the time given; more --minutes"
# Share of the time in which accuracy is judged; crops that are always run; and how much slower a candidate may be.
_JUDGING, _FEW_CROPS, _SLOWER_THAN_FP32 = 0.4, 16, 2.0

Progress = Callable[[str], None]


@dataclass(frozen=True)
class SearchOptions:
    """What to look for.

    Attributes:
        objective: one of OBJECTIVES.
        max_drop: how much mean F1 may fall (without labels: share of AU decisions that may flip) against FP32.
        minutes: the search ends within them.
        seed: of the order of measurements.
    """

    objective: str = "latency"
    max_drop: float = 0.005
    minutes: float = 3.0
    seed: int = 0


@dataclass(frozen=True)
class Candidate:
    """One way to run a package: a variant on a backend with settings; ``threads`` None is the backend's own choice."""

    variant: Variant
    backend: str
    threads: int | None
    batch: int = 1

    @property
    def reading(self) -> str:
        """What decides its outputs, whatever the settings: ``int8-ort on onnxruntime``."""
        return f"{self.variant.name} on {self.backend}"

    @property
    def label(self) -> str:
        """Its name in reports: ``int8-ort on onnxruntime, 2 threads``."""
        threads = "default threads" if self.threads is None else f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"{self.reading}, {threads}" + (f", batch {self.batch}" if self.batch > 1 else "")


@dataclass(frozen=True)
class Selection:
    """What a search found.

    Attributes:
        package: with the choice in its manifest, under this device's fingerprint.
        device: that fingerprint.
        chosen: the entry as written: variant, backend, threads, batch, objective, measured, losers, ties, accuracy,
            judged_on (how many crops).
    """

    package: Package
    device: str
    chosen: dict[str, Any]


def search(
    package: Package,
    crops: CropSet,
    options: SearchOptions = SearchOptions(),
    progress: Progress = lambda _: None,
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> Selection:
    """Measure every way to run a package on this device and write the best into its manifest.

    Args:
        package: must have an FP32 variant; its manifest is replaced.
        crops: what to judge accuracy on and to run; labels are used where there are any.
        options: objective, budget and time.
        progress: called with a line for each step.
        left_out: why variants that the package lacks are not among the candidates, by name, to be written down as well.

    Raises:
        InputError: unknown objective, no time, no FP32 variant, or no energy counter for ``energy``.
        BackendError: FP32 itself runs on no backend here.
    """
    deadline = time.monotonic() + 60 * options.minutes
    meter = check(options)
    candidates, losers = list_candidates(package, options.objective)
    losers.update(left_out)
    baseline = _baseline(package.manifest, candidates)
    judging = time.monotonic() + _JUDGING * (deadline - time.monotonic())
    scorer = _judge(package, crops, baseline, candidates, judging)
    if len(scorer.crops) < len(crops):
        progress(f"judging on {len(scorer.crops)} of {len(crops)} crops, for which there is time")
    candidates, scores, dropped = _within_budget(
        package, baseline, candidates, scorer, options.max_drop, judging, progress
    )
    losers.update(dropped)
    load = os.getloadavg()[0]
    if load > usable_cores() + 0.5:
        progress(f"this machine is busy (load {load:.1f} on {usable_cores()} cores): measure again when it is not")
    with contextlib.ExitStack() as stack:
        runners: dict[str, _Runner] = {}
        for candidate in candidates:
            if candidate != baseline and time.monotonic() > deadline:
                losers[candidate.label] = OUT_OF_TIME
                continue
            inputs = _batch(crops.inputs(package.manifest.takes_neutral), candidate.batch)
            try:
                backend = stack.enter_context(_open(package, candidate))
                backend.infer(inputs)
            except BackendError as error:
                if candidate == baseline:
                    raise
                losers[candidate.label] = str(error)
                continue
            runners[candidate.label] = _Runner(candidate, backend, inputs, options.objective, meter)
        progress(f"measuring {len(runners)} candidates in turns for at most {options.minutes:g} min")
        result = race(runners, deadline=deadline, keep=[baseline.label], seed=options.seed)
    losers.update(result.losers)
    chosen = _decide(runners, result, baseline, losers, options)
    chosen |= {"objective": options.objective, "max_drop": options.max_drop, "load_average": load}
    chosen |= {"accuracy": scores, "metric": scorer.metric, "judged_on": len(scorer.crops)}
    if meter is not None:
        chosen["energy_source"] = meter.source
    device = fingerprint()
    tuned = package.update(lambda m: dataclasses.replace(m, selection={**m.selection, device: chosen}))
    return Selection(tuned, device, chosen)


def list_candidates(package: Package, objective: str) -> tuple[list[Candidate], dict[str, str]]:
    """Every way to run a package here, and by label why others can't; fewest threads first, FP32 before the rest."""
    possible: list[Candidate] = []
    losers: dict[str, str] = {}
    batches = THROUGHPUT_BATCHES if objective == "throughput" else (1,)
    for variant in package.manifest.variants:
        for backend in variant.backends:
            if backend == "tensorrt" and variant.file.endswith(".onnx"):
                continue
            why_not = missing(backend) or obstacle(package, variant, backend)
            if why_not is not None:
                losers[f"{variant.name} on {backend}"] = why_not
                continue
            threads = [None] if backend == "tensorrt" else [*_thread_counts(usable_cores()), None]
            possible += [Candidate(variant, backend, t, b) for t in threads for b in batches]
    everything = usable_cores()
    return sorted(possible, key=lambda c: (c.threads or everything, c.variant.precision != "fp32")), losers


def _thread_counts(cores: int) -> list[int]:
    """1, 2, 4 ... and all cores."""
    return sorted({1, cores, *(2**i for i in range(cores.bit_length()) if 2**i <= cores)})


def _baseline(manifest: Manifest, candidates: list[Candidate]) -> Candidate:
    """FP32 as `load` runs it before anything is measured."""
    name = float_variant(manifest).name
    for backend in ("onnxruntime", "openvino"):
        for candidate in candidates:
            if (candidate.variant.name, candidate.backend, candidate.threads) == (name, backend, None):
                return candidate
    raise BackendError(f"{name} of package {manifest.name} runs on no backend here; there is nothing to compare with")


def check(options: SearchOptions) -> Meter | None:
    """Refuse options that can't be met. Returns this machine's energy counter, where energy is what is to be won."""
    if options.objective not in OBJECTIVES:
        raise InputError("--for", got=options.objective, expected=", ".join(OBJECTIVES))
    if not options.minutes > 0:
        raise InputError("--minutes", got=str(options.minutes), expected="more than 0")
    if not 0 <= options.max_drop < 1:
        raise InputError("--max-drop", got=str(options.max_drop), expected="a number such as 0.005, in [0, 1)")
    if options.objective != "energy":
        return None
    meter = find_meter()
    if isinstance(meter, str):
        raise InputError("energy can't be measured on this device", got=meter, hint="use --for latency")
    return meter


def _judge(
    package: Package, crops: CropSet, baseline: Candidate, candidates: list[Candidate], deadline: float
) -> Scorer:
    """A judge on as many crops as every variant can be loaded and run on by then, going by FP32 on a few."""
    manifest = package.manifest
    labels = crops.presence(manifest.aus)
    few = crops.take(rows_to_score(labels, _FEW_CROPS)).inputs(manifest.takes_neutral)
    batch = batch_for(package.file(baseline.variant))
    begin = time.monotonic()
    with _open(package, baseline) as backend:
        # The first call is slower than the rest, which makes it part of loading.
        predict_aus(backend, {name: array[:batch] for name, array in few.items()}, batch)
        loaded = time.monotonic()
        predict_aus(backend, few, batch)
        now = time.monotonic()
        per_crop = max(now - loaded, 1e-6) / len(few["face"])
        runs = len({candidate.reading for candidate in candidates})
        left = deadline - now - runs * (loaded - begin)
        affordable = int(left / (per_crop * runs * _SLOWER_THAN_FP32))
        some = crops.take(rows_to_score(labels, max(affordable, _FEW_CROPS)))
        reference = predict_aus(backend, some.inputs(manifest.takes_neutral), batch)
    return Scorer.of(some, manifest, reference)


def _within_budget(
    package: Package,
    baseline: Candidate,
    candidates: list[Candidate],
    scorer: Scorer,
    max_drop: float,
    deadline: float,
    progress: Progress,
) -> tuple[list[Candidate], dict[str, float], dict[str, str]]:
    """Candidates whose outputs are accurate enough, the score by variant and backend, and why the others are not.

    FP32 as it was made the reference, so it is among them whatever the time.
    """
    reference = scorer.score(scorer.reference).value
    scores = {baseline.reading: reference}
    dropped: dict[str, str] = {}
    for candidate in candidates:
        key = candidate.reading
        if key in scores or key in dropped:
            continue
        if time.monotonic() > deadline:
            dropped[key] = OUT_OF_TIME
            continue
        progress(f"accuracy of {key}")
        try:
            # On the backend's own choice of threads, as FP32 was timed: on one a model may take all the time there is.
            with _open(package, dataclasses.replace(candidate, threads=None)) as backend:
                batch = batch_for(package.file(candidate.variant))
                outputs = predict_aus(backend, scorer.crops.inputs(package.manifest.takes_neutral), batch)
        except BackendError as error:
            dropped[key] = str(error)
            continue
        scores[key] = scorer.score(outputs).value
        if reference - scores[key] > max_drop + 1e-12:
            dropped[key] = f"{scorer.metric} {scores[key]:.4f}, FP32 {reference:.4f}: falls more than {max_drop:g}"
    kept = [candidate for candidate in candidates if candidate.reading not in dropped]
    return kept, scores, dropped


def _open(package: Package, candidate: Candidate) -> Backend:
    file = package.file(candidate.variant)
    return open_backend(candidate.backend, file, BackendOptions(threads=candidate.threads))


def _batch(inputs: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(np.resize(array, (size, *array.shape[1:]))) for name, array in inputs.items()}


class _Runner:
    """Runs one candidate for a slice of time. Calling it returns the cost; the pace is kept beside it.

    Attributes:
        candidate: what it runs.
        pace_ms: median milliseconds a crop of every slice.
    """

    def __init__(
        self,
        candidate: Candidate,
        backend: Backend,
        inputs: dict[str, np.ndarray],
        objective: str,
        meter: Meter | None,
    ) -> None:
        self.candidate = candidate
        self.pace_ms: list[float] = []
        self._backend, self._inputs, self._meter = backend, inputs, meter
        self._seconds = SLICE_SECONDS[objective]

    def __call__(self) -> float:
        # Warm up for a quarter of the slice: the threads of whoever ran before may still be spinning.
        self._calls_ms(self._seconds / 4)
        if self._meter is None:
            self.pace_ms.append(float(np.median(self._calls_ms(self._seconds))) / self.candidate.batch)
            return self.pace_ms[-1]
        with Sampler(self._meter) as sampler:
            times = self._calls_ms(self._seconds)
        self.pace_ms.append(float(np.median(times)) / self.candidate.batch)
        return max(sampler.joules * 1e3, 1e-9) / (len(times) * self.candidate.batch)

    def _calls_ms(self, seconds: float) -> list[float]:
        times: list[float] = []
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            self._backend.infer(self._inputs)
            times.append((time.perf_counter() - start) * 1e3)
        return times


def _decide(
    runners: dict[str, _Runner], result: RaceResult, baseline: Candidate, losers: dict[str, str], options: SearchOptions
) -> dict[str, Any]:
    """The winner and the record of how it won."""
    start = runners[baseline.label].pace_ms
    slower = {label: ratio(runner.pace_ms, start) for label, runner in runners.items()}
    able = [label for label, times in slower.items() if times <= 1.0]
    for label in runners:
        if label not in able:
            losers.setdefault(label, f"{slower[label]:.2f} times as slow as FP32 was ({baseline.label})")
    if options.objective == "size":
        winner = min(able, key=lambda label: (runners[label].candidate.variant.size_bytes, slower[label]))
        size = runners[winner].candidate.variant.size_bytes
        losers.update({x: _larger(runners[x].candidate.variant, size) for x in able if x != winner})
    else:
        # Runners are listed with the fewest threads first: among equals the one that leaves most to others.
        equals = [label for label in runners if label == result.leader or label in result.ties]
        equals = [label for label in equals if label in able] or [baseline.label]
        winner = equals[0] if result.settled else min(equals, key=lambda label: np.median(result.costs[label]))
    losers.pop(winner, None)
    chosen = runners[winner].candidate
    return {
        "label": winner,
        "variant": chosen.variant.name,
        "backend": chosen.backend,
        "threads": chosen.threads,
        "batch": chosen.batch,
        "settled": result.settled,
        "rounds": result.rounds,
        "ms_per_crop": float(np.median(runners[winner].pace_ms)),
        "fp32_ms_per_crop": float(np.median(start)),
        "times_fp32": slower[winner],
        "ties": {label: why for label, why in result.ties.items() if label != winner and label not in losers},
        "losers": losers,
        "measured": [_measured(runner, result.costs[label], options) for label, runner in runners.items()],
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _larger(variant: Variant, smallest: int) -> str:
    if variant.size_bytes == smallest:
        return "the same size, and not faster"
    return f"{variant.size_bytes} bytes, {variant.size_bytes / smallest:.2f} times the smallest"


def _measured(runner: _Runner, costs: list[float], options: SearchOptions) -> dict[str, Any]:
    candidate = runner.candidate
    entry: dict[str, Any] = {
        "label": candidate.label,
        "variant": candidate.variant.name,
        "backend": candidate.backend,
        "threads": candidate.threads,
        "batch": candidate.batch,
        "ms_per_crop": float(np.median(runner.pace_ms)),
        "ms_per_crop_by_round": [round(value, 4) for value in runner.pace_ms],
    }
    if options.objective == "energy":
        entry["mj_per_crop"] = float(np.median(costs))
    return entry
