"""Making what a package lacks and searching it, within one time limit, in place or into a new package."""

from __future__ import annotations

import dataclasses
import time

from edgeau.optimize.scoring import read_evaluation
from edgeau.optimize.variants import require_writable
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import PathLike
from edgeau.runtime.folders import atomic_folder
from edgeau.runtime.package import PACKAGE, Package
from edgeau.runtime.report import Report, silent

from .missing_variants import add_variants, missing_variants
from .options import SearchOptions, check
from .search import SearchResult, search

# Crops to judge accuracy on, and to calibrate INT8 on.
_SAMPLES, _CALIBRATION = 200, 100
# Share of the time in which missing variants must be made.
_MAKING = 0.6


def tune_package(
    path: PathLike,
    options: SearchOptions,
    *,
    evaluation: str | None = None,
    calibration: str | None = None,
    out: PathLike | None = None,
    progress: Report = silent,
) -> SearchResult:
    """Search a package for what is best on this device, with INT8 and FP16 variants made first where data is given.

    Args:
        path: the package, which must have an FP32 variant.
        options: objective, budget, time and seed.
        evaluation: data to judge accuracy on; without it the calibration data.
        calibration: data to calibrate missing INT8 variants on; without it nothing is made.
        out: write to this package instead and leave ``path`` as it is.
        progress: called with a line for each step.

    Raises:
        InputError: data, options, model or folder can't be used.
        BackendError: FP32 runs on no backend here.
    """
    begin = time.monotonic()
    data = evaluation or calibration
    if data is None:
        raise InputError("edgeau optimize needs data to judge accuracy on", hint="give --eval DATA (or --calib DATA)")
    check(options)
    package = Package.open(path)
    crops = read_evaluation(data, package.manifest, samples=_SAMPLES, seed=options.seed)
    if out is None:
        require_writable(package.path)
        return _tune(package, crops, options, evaluation, calibration, begin, progress)
    package.verify()  # before copying: an error about the copy would name a folder that no longer exists
    with atomic_folder(out, PACKAGE, package.path) as folder:
        package.copy_files(folder)
        result = _tune(Package.open(folder), crops, options, evaluation, calibration, begin, progress)
    return dataclasses.replace(result, package=Package.open(out))


def _tune(
    package: Package,
    crops: CropSet,
    options: SearchOptions,
    evaluation: str | None,
    calibration: str | None,
    begin: float,
    progress: Report,
) -> SearchResult:
    """Make what is missing and search, in place, until ``options.minutes`` after ``begin``."""
    left_out: dict[str, str] = {}
    if calibration is not None:
        lacking = missing_variants(package, calibration, evaluation, _CALIBRATION, _SAMPLES, options.seed)
        package, left_out = add_variants(package, lacking, begin + 60 * _MAKING * options.minutes, progress)
        for name, why in left_out.items():
            progress(f"{name}: {why}")
    minutes = max(options.minutes - (time.monotonic() - begin) / 60, 0.01)
    return search(package, crops, dataclasses.replace(options, minutes=minutes), progress, left_out)
