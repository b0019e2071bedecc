"""Run the whole chain on what ships with edgeau: quantize, build, measure, check parity, run on a photo.

    edgeau demo
    edgeau demo --out results --seconds 3

It writes the package with its new variants, results.json, report.html and the photo with its action units.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeau.benchmarks.candidates import candidates_of
from edgeau.benchmarks.columns import lines
from edgeau.benchmarks.comparison import with_fp32_ratios
from edgeau.benchmarks.harness import measure_all
from edgeau.benchmarks.measurement import BenchOptions, Failure
from edgeau.benchmarks.report import Extras, write_html
from edgeau.benchmarks.stages import photo_bgr
from edgeau.optimize.engine.job import MakeOptions
from edgeau.optimize.engine.make import make_engine
from edgeau.optimize.engine_files import importer_lines
from edgeau.optimize.quantization.quantize import QuantizeOptions, quantize_package
from edgeau.optimize.search.options import SearchOptions
from edgeau.optimize.search.search import search
from edgeau.runtime import arguments
from edgeau.runtime.choose import load
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.draw import annotate
from edgeau.runtime.errors import EngineError, MissingExtraError
from edgeau.runtime.face import Face
from edgeau.runtime.files import atomic_path, write_json
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.records import rows_of
from edgeau.runtime.selection import Selection
from edgeau.runtime.terminal import note, say

CALIBRATION = "synthetic:subjects=20,frames=12,seed=71"
EVALUATION = "synthetic:subjects=20,frames=12,seed=72"
_TIES_NAMED = 3  # of candidates that are as fast
MAX_DROP = 0.01  # a variant that loses more mean F1 than this is measured but not chosen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-p", "--package", type=arguments.name, help="package to start from (default: the one that ships with edgeau)"
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results (default: demo)")
    parser.add_argument(
        "--seconds", type=arguments.seconds, default=1.5, help="timed seconds for each variant (default: 1.5)"
    )


def run(args: argparse.Namespace) -> int:
    started = time.monotonic()
    out: Path = args.out
    source = Package.open(args.package or shipped_package())
    source.verify()
    note(f"1/6 quantize {source.manifest.name} for each target, calibrated on rendered faces")
    package = source.copy_to(out / source.path.name)
    package, _ = quantize_package(package.path, CALIBRATION, QuantizeOptions(), evaluation=EVALUATION)
    for line in importer_lines(package, [v.file for v in package.manifest.variants if "tensorrt" in v.backends]):
        note(f"    {line}")
    note("2/6 build a TensorRT engine")
    package, skipped = _build_engine(package)
    note("3/6 measure every variant on every backend of this machine")
    values, failures = _measure(package, args.seconds)
    note("4/6 choose the fastest within the accuracy budget")
    package, chosen = _choose(package, args.seconds)
    note("5/6 run it on a photo")
    faces, photo = _photo(package, out)
    note("6/6 write the report")
    notes = [skipped] if skipped else []
    notes += [f"{f.variant} on {f.backend} was not measured: {f.reason}" for f in failures]
    parity = _parity(package)
    results = {
        "package": package.manifest.name,
        "measurements": values,
        "parity": parity,
        "chosen": chosen,
        "photo": rows_of("skimage.data.astronaut()", 0, 0.0, faces, package.manifest.aus),
        "notes": notes,
    }
    write_json(out / "results.json", results)
    caption = f"skimage.data.astronaut() (NASA, public domain) with {chosen['variant']} on {chosen['backend']}."
    title = f"edgeau demo: {package.manifest.name}"
    write_html(values, out / "report.html", Extras(title, parity, [chosen["why"], *notes], photo, caption))
    _print(values, parity, chosen, faces, notes)
    say(f"{time.monotonic() - started:.0f} s; {out}/report.html, {out}/results.json, {photo}, {package.path}")
    return 0


def _build_engine(package: Package) -> tuple[Package, str | None]:
    """Build an engine if TensorRT and a GPU are present; otherwise return a line that says why it was skipped."""
    try:
        return make_engine(package.path, MakeOptions(crops=EVALUATION), report=note).package, None
    except (EngineError, MissingExtraError) as error:
        return package, f"TensorRT engine skipped: {error}"


def _measure(package: Package, seconds: float) -> tuple[list[dict[str, Any]], list[Failure]]:
    crops = read_crops(EVALUATION, package.manifest.crop)
    candidates, failures = candidates_of(package, threads=(1, 2), crops=crops)
    options = BenchOptions(warmup_s=min(1.0, seconds / 2), seconds=seconds)
    measured, more = measure_all(candidates, options)
    # A missing TensorRT is not a failure; the line on the engine has already said so.
    failures = [f for f in [*failures, *more] if f.backend != "tensorrt"]
    return with_fp32_ratios([m.to_json() for m in measured]), failures


def _choose(package: Package, seconds: float) -> tuple[Package, dict[str, Any]]:
    """Let `edgeau optimize` race the variants within the accuracy budget, and describe the winner in a sentence."""
    crops = read_crops(EVALUATION, package.manifest.crop)
    result = search(package, crops, SearchOptions(max_drop=MAX_DROP, minutes=seconds * 10 / 60), note)
    chosen = result.selection
    return result.package, {**dataclasses.asdict(chosen), "why": explain_choice(chosen)}


def explain_choice(chosen: Selection) -> str:
    """What was chosen and why, in two or three sentences."""
    why = (
        f"Chosen for this machine: {chosen.label}. It took {chosen.ms_per_crop:.2f} ms per face, FP32 took "
        f"{chosen.fp32_ms_per_crop:.2f} ms, measured in turns, among variants that lose at most "
        f"{MAX_DROP:g} of mean F1."
    )
    if chosen.ms_per_frame is not None and chosen.fp32_ms_per_frame is not None:
        why += f" A whole frame took {chosen.ms_per_frame:.2f} ms, with FP32 {chosen.fp32_ms_per_frame:.2f} ms."
    ties = list(chosen.ties)
    if ties:
        rest = f" and {len(ties) - _TIES_NAMED} others" if len(ties) > _TIES_NAMED else ""
        why += f" It is a tie with {', '.join(ties[:_TIES_NAMED])}{rest}."
    return why


def _photo(package: Package, out: Path) -> tuple[Sequence[Face], Path]:
    import cv2

    image = photo_bgr()
    with load(package.path) as analyzer:
        faces = analyzer.still(image)
    path = out / "photo.png"
    large = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    drawn = annotate(large, [_enlarged(face, 2) for face in faces], package.manifest.aus)
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), drawn)
    return faces, path


def _enlarged(face: Face, factor: int) -> Face:
    left, top, right, bottom = (value * factor for value in face.box_xyxy)
    return dataclasses.replace(face, box_xyxy=(left, top, right, bottom), points_xy=face.points_xy * factor)


def _parity(package: Package) -> list[dict[str, Any]]:
    return [
        {"name": v.name, "made_from": v.made_from, **dataclasses.asdict(v.parity)}
        for v in package.manifest.variants
        if v.parity is not None
    ]


def _print(
    values: list[dict[str, Any]],
    parity: list[dict[str, Any]],
    chosen: dict[str, Any],
    faces: Sequence[Face],
    notes: list[str],
) -> None:
    for line in lines(values):
        say(line)
    say()
    for entry in parity:
        sqnr = "exact" if entry["sqnr_db"] is None else f"{entry['sqnr_db']:.1f} dB"
        say(
            f"parity {entry['name']:<14} against {entry['reference']:<6} SQNR {sqnr:>8}, max error "
            f"{entry['max_abs_error']:.4f}, {entry['decisions_flipped']} of {entry['decisions']} decisions flipped"
        )
    say()
    for line in [chosen["why"], *notes]:
        say(line)
    for face in faces:
        present = [f"{au} {face.au[au]:.2f}" for au, on in face.present.items() if on]
        say(f"photo: one face at {[round(v) for v in face.box_xyxy]}, present: {', '.join(present) or 'none'}")
    if not faces:
        say("photo: no face found")
