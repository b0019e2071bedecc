"""The variant, backend and settings that are best on this device, found by measuring and written into the package.

INT8 can be slower than FP32 (grouped convolutions on ONNX Runtime), so nothing is assumed: every candidate within the
accuracy budget is run here, in turns with the others, and the winner is never slower than FP32 was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.device import fingerprint, usable_cores
from edgeau.runtime.manifest import Manifest
from edgeau.runtime.package import Package
from edgeau.runtime.report import Report, silent
from edgeau.runtime.selection import Selection

from .candidates import Candidate, baseline_of, list_candidates
from .decide import decide
from .frames import NO_SCENE, find_scene, race_frames
from .options import Clock, SearchOptions, Setup, check
from .race import race
from .runner import open_runners
from .screening import screen

# Shares of the time: by when accuracy is known, and by when models are compared.
_SCREENING, _MODELS = 0.4, 0.75


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        package: with the selection in its manifest, under this device's fingerprint.
        device: that fingerprint.
        selection: what to run here, and why.
    """

    package: Package
    device: str
    selection: Selection


def search(
    package: Package,
    crops: CropSet,
    options: SearchOptions = SearchOptions(),
    progress: Report = silent,
    left_out: Mapping[str, str] = MappingProxyType({}),
    clock: Clock = time.perf_counter,
) -> SearchResult:
    """Measure every way to run a package on this device and write the best into its manifest.

    Args:
        package: must have an FP32 variant; its manifest is replaced.
        crops: what to judge accuracy on and to run; labels are used where there are any.
        options: objective, budget and time.
        progress: called with a line for each step.
        left_out: why the package lacks other variants, by name, to be recorded with the losers.
        clock: seconds; everything but energy is timed by it.

    Raises:
        InputError: unknown objective, no time, no FP32 variant, or no energy counter for ``energy``.
        BackendError: FP32 itself runs on no backend here.
    """
    setup, candidates, impossible = _set_up(package, crops, options, progress, clock)
    screening = screen(setup, candidates)
    load_average = _load_average(progress)
    with contextlib.ExitStack() as stack:
        runners, failed = open_runners(stack, setup, screening.kept)
        progress(f"measuring {len(runners)} candidates in turns for at most {options.minutes:g} min")
        baseline = setup.baseline.label
        scene = find_scene(setup) if options.objective == "latency" else NO_SCENE
        deadline = setup.deadline if scene.frame_bgr is None else setup.raced_by
        result = race(runners, deadline=deadline, keep=[baseline], seed=options.seed, clock=clock)
        frames = race_frames(setup, scene, runners, result)
    losers = {**impossible, **left_out, **screening.dropped, **failed}
    selection = dataclasses.replace(
        decide(runners, result, frames, baseline, losers, options.objective),
        frame=scene.text,
        max_drop=options.max_drop,
        load_average=load_average,
        accuracy=screening.scores,
        metric=screening.metric,
        judged_on=screening.crops,
        energy_source=None if setup.meter is None else setup.meter.source,
    )
    return _record(package, selection)


def _set_up(
    package: Package, crops: CropSet, options: SearchOptions, progress: Report, clock: Clock
) -> tuple[Setup, list[Candidate], dict[str, str]]:
    """What the stages share, the candidates, and why nothing else can run here."""
    start, seconds = clock(), 60 * options.minutes
    meter = check(options)
    candidates, impossible = list_candidates(package, options.objective)
    setup = Setup(
        package=package,
        crops=crops,
        options=options,
        baseline=baseline_of(package.manifest, candidates),
        meter=meter,
        screened_by=start + _SCREENING * seconds,
        raced_by=start + _MODELS * seconds,
        deadline=start + seconds,
        clock=clock,
        progress=progress,
    )
    return setup, candidates, impossible


def _load_average(progress: Report) -> float:
    """The machine's load over the last minute, with a warning where others are using it."""
    load, cores = os.getloadavg()[0], usable_cores()
    if load > cores + 0.5:
        progress(f"this machine is busy (load {load:.1f} on {cores} cores): measure again when it is not")
    return load


def _record(package: Package, selection: Selection) -> SearchResult:
    """Write the selection into the manifest, beside those of other devices.

    The backend becomes one that may run the variant, if the file was made for others: it has been shown to read it.
    """
    device = fingerprint()

    def with_selection(manifest: Manifest) -> Manifest:
        variant = manifest.variant(selection.variant)
        if selection.backend not in variant.backends:
            variant = dataclasses.replace(variant, backends=(*variant.backends, selection.backend))
        variants = tuple(variant if v.name == variant.name else v for v in manifest.variants)
        return dataclasses.replace(manifest, variants=variants, selection={**manifest.selection, device: selection})

    return SearchResult(package.update(with_selection), device, selection)
