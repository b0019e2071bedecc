"""Find the best variant, backend and settings for this device by measuring them, and note it in the package.

Every candidate that keeps the accuracy budget is run in turns with the others until the order is settled. `load()` and
`edgeau run` then use what won. It is never slower than the FP32 variant.

Example:
    edgeau optimize cednn.edgeau --eval crops/test --max-drop 0.005
    edgeau optimize cednn.edgeau --calib crops/train --eval crops/test --for throughput --minutes 5 -o tuned.edgeau
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

from edgeau.optimize.quantization.quantize import require_writable
from edgeau.optimize.scoring import read_evaluation
from edgeau.optimize.search.missing_variants import add_variants, wanted_variants
from edgeau.optimize.search.search import OBJECTIVES, SearchOptions, Selection, check, search
from edgeau.runtime import arguments
from edgeau.runtime.cli import EXIT_OK, emit_json, note, say
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.errors import InputError
from edgeau.runtime.folders import atomic_folder
from edgeau.runtime.package import PACKAGE, Package

_DEFAULTS = SearchOptions()
_SAMPLES, _CALIBRATION = 200, 100
# Share of the time in which missing variants must be made.
_MAKING = 0.6
_DATA = "crop set, folder of images, .npz, or synthetic:subjects=8,frames=16"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgeau optimize`."""
    parser.add_argument("package", help="package with an FP32 variant")
    parser.add_argument("--eval", metavar="DATA", help=f"judge accuracy on this: {_DATA}")
    parser.add_argument("--calib", metavar="DATA", help="make missing INT8 and FP16 variants, calibrated on this")
    parser.add_argument(
        "--max-drop", type=arguments.share_below_1, default=_DEFAULTS.max_drop,
        help="how much mean F1 may fall, without labels the share of decisions that may flip (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--for", dest="objective", default=_DEFAULTS.objective, choices=OBJECTIVES, help="what to win")
    parser.add_argument(
        "--minutes", type=arguments.positive, default=_DEFAULTS.minutes, help="ends within them (%(default)s)"
    )
    parser.add_argument("--seed", type=arguments.seed, default=_DEFAULTS.seed, help="of random choices (%(default)s)")
    parser.add_argument("-o", "--out", metavar="OUT_PACKAGE", help="write a new package and leave this one as it is")
    parser.add_argument("--json", action="store_true", help="print the choice as JSON")


def run(args: argparse.Namespace) -> int:
    """Search, and print what won and why the others lost."""
    begin = time.monotonic()
    if args.eval is None and args.calib is None:
        raise InputError("edgeau optimize needs data to judge accuracy on", hint="give --eval DATA (or --calib DATA)")
    options = SearchOptions(args.objective, args.max_drop, args.minutes, args.seed)
    check(options)
    package = Package.open(args.package)
    crops = read_evaluation(args.eval or args.calib, package.manifest, samples=_SAMPLES, seed=args.seed)
    if args.out is None:
        require_writable(package.path)
        selection = _tune(package, crops, options, args, begin)
    else:
        package.verify()  # here, because what is said of a damaged file in the copy would name a folder that is gone
        with atomic_folder(args.out, PACKAGE, package.path) as folder:
            package.copy_files(folder)
            selection = _tune(Package.open(folder), crops, options, args, begin)
        selection = dataclasses.replace(selection, package=Package.open(args.out))
    if args.json:
        emit_json({"package": str(selection.package.path), "device": selection.device, **selection.chosen})
    else:
        _print(selection)
    return EXIT_OK


def _tune(
    package: Package, crops: CropSet, options: SearchOptions, args: argparse.Namespace, begin: float
) -> Selection:
    """Make what is missing and search, in place, until ``options.minutes`` after ``begin``."""
    left_out: dict[str, str] = {}
    if args.calib is not None:
        wanted = wanted_variants(package, args.calib, args.eval, _CALIBRATION, _SAMPLES, args.seed)
        package, left_out = add_variants(package, wanted, begin + 60 * _MAKING * options.minutes, note)
        for name, why in left_out.items():
            note(f"{name}: {why}")
    minutes = max(options.minutes - (time.monotonic() - begin) / 60, 0.01)
    return search(package, crops, dataclasses.replace(options, minutes=minutes), note, left_out)


def _print(selection: Selection) -> None:
    chosen: dict[str, Any] = selection.chosen
    say(f"device: {selection.device}")
    say(f"{'candidate':<50}{'ms a crop':>10}  verdict")
    for entry in sorted(chosen["measured"], key=lambda e: e["ms_per_crop"]):
        say(f"{entry['label']:<50}{entry['ms_per_crop']:>10.3f}  {_verdict(entry['label'], chosen)}")
    measured = {entry["label"] for entry in chosen["measured"]}
    for label, why in chosen["losers"].items():
        if label not in measured:
            say(f"{label:<50}{'-':>10}  {why}")
    verdict = "settled" if chosen["settled"] else "not settled"
    say(f"{chosen['label']}: {chosen['times_fp32']:.2f} times FP32's time; {verdict} after {chosen['rounds']} rounds")


def _verdict(label: str, chosen: dict[str, Any]) -> str:
    if label == chosen["label"]:
        return f"chosen for {chosen['objective']}"
    return chosen["losers"].get(label) or chosen["ties"].get(label) or ""
