"""What a search is asked for, and what its stages share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.errors import InputError
from edgeau.runtime.package import Package
from edgeau.runtime.report import Report

from .candidates import Candidate
from .energy import Meter, find_meter

OBJECTIVES = ("latency", "throughput", "energy", "size")

Clock = Callable[[], float]


@dataclass(frozen=True)
class SearchOptions:
    """Objective, accuracy budget and time.

    Attributes:
        objective: one of OBJECTIVES.
        max_drop: how much mean F1 may fall below FP32's (without labels: share of AU decisions that may flip).
        minutes: the search ends within them.
        seed: of the order of measurements.
    """

    objective: str = "latency"
    max_drop: float = 0.005
    minutes: float = 3.0
    seed: int = 0


@dataclass(frozen=True)
class Setup:
    """What the stages of one search share.

    Attributes:
        package: with the candidates' files.
        crops: what candidates are screened and measured on.
        options: objective and budget.
        baseline: FP32 as it runs before anything is measured; screened and measured whatever the time.
        meter: the energy counter, None unless energy is the objective.
        screened_by, raced_by, deadline: by ``clock``: when screening, measuring models and everything must end.
        clock: seconds.
        progress: called with a line for each step.
    """

    package: Package
    crops: CropSet
    options: SearchOptions
    baseline: Candidate
    meter: Meter | None
    screened_by: float
    raced_by: float
    deadline: float
    clock: Clock
    progress: Report


def check(options: SearchOptions) -> Meter | None:
    """Refuse options that can't be met. Returns this machine's energy counter if energy is the objective."""
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
