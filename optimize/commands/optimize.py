"""Find the best variant, backend and settings for this device by measuring, and record them in the package.

All candidates within the accuracy budget are run in turns until their order is settled. For latency, the fastest are
then measured on whole frames of a video (finding the face, the crop, the model, the result), one after the other and as
a stream. `load()` and `edgeau run` use the winner, which is never slower than the FP32 variant.

Example:
    edgeau optimize cednn.edgeau --eval crops/test --max-drop 0.005
    edgeau optimize cednn.edgeau --calib crops/train --eval crops/test --for throughput --minutes 5 -o tuned.edgeau
"""

from __future__ import annotations

import argparse
import dataclasses

from edgeau.optimize.search.options import OBJECTIVES, SearchOptions
from edgeau.optimize.search.search import SearchResult
from edgeau.optimize.search.tune import tune_package
from edgeau.runtime import arguments
from edgeau.runtime.selection import Measurement, Selection
from edgeau.runtime.terminal import EXIT_OK, emit_json, note, say

_DEFAULTS = SearchOptions()
_DATA = "crop set, folder of images, .npz, or synthetic:subjects=8,frames=16"


# Two ratios that differ by more than this are both shown.
_SAME_RATIO = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgeau optimize`."""
    parser.add_argument("package", help="package with an FP32 variant")
    parser.add_argument("--eval", metavar="DATA", help=f"judge accuracy on this: {_DATA}")
    parser.add_argument("--calib", metavar="DATA", help="make missing INT8 and FP16 variants, calibrated on this")
    parser.add_argument(
        "--max-drop",
        type=arguments.share_below_1,
        default=_DEFAULTS.max_drop,
        help="how much mean F1 may fall; without labels, the share of decisions that may flip (%(default)s)",
    )
    parser.add_argument(
        "--for", dest="objective", default=_DEFAULTS.objective, choices=OBJECTIVES, help="what to optimize for"
    )
    parser.add_argument(
        "--minutes", type=arguments.positive, default=_DEFAULTS.minutes, help="ends within them (%(default)s)"
    )
    parser.add_argument("--seed", type=arguments.seed, default=_DEFAULTS.seed, help="of random choices (%(default)s)")
    parser.add_argument("-o", "--out", metavar="OUT_PACKAGE", help="write a new package and leave this one as it is")
    parser.add_argument("--json", action="store_true", help="print the choice as JSON")


def run(args: argparse.Namespace) -> int:
    """Search, and print the winner and why the others lost."""
    options = SearchOptions(args.objective, args.max_drop, args.minutes, args.seed)
    result = tune_package(
        args.package, options, evaluation=args.eval, calibration=args.calib, out=args.out, progress=note
    )
    if args.json:
        selection = dataclasses.asdict(result.selection)
        emit_json({"package": str(result.package.path), "device": result.device, **selection})
    else:
        _print(result)
    return EXIT_OK


def _print(result: SearchResult) -> None:
    chosen = result.selection
    say(f"device: {result.device}")
    if chosen.frame:
        say(f"frame: {chosen.frame}")
    measured = {entry.label for entry in chosen.measured}
    others = {label: why for label, why in chosen.losers.items() if label not in measured}
    width = max(len(label) for label in (*measured, *others)) + 1
    say(f"{'candidate':<{width}}{'ms per crop':>13}{'ms per frame':>14}{'stream/s':>10}  verdict")
    for entry in sorted(chosen.measured, key=_preference):
        times = (
            f"{entry.ms_per_crop:>13.3f}{_optional(entry.ms_per_frame, 3):>14}{_optional(entry.stream_per_s, 0):>10}"
        )
        say(f"{entry.label:<{width}}{times}  {_verdict(entry.label, chosen)}")
    for label, why in others.items():
        say(f"{label:<{width}}{'-':>13}{'-':>14}{'-':>10}  {why}")
    verdict = "settled" if chosen.settled else "not settled"
    say(f"{chosen.label}: {times_fp32_text(chosen)}; {verdict} after {chosen.rounds} rounds")


def _preference(entry: Measurement) -> tuple[bool, float]:
    """Those whose frames were measured come first, each group by its time."""
    frame_ms = entry.ms_per_frame
    return frame_ms is None, entry.ms_per_crop if frame_ms is None else frame_ms


def _optional(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def times_fp32_text(chosen: Selection) -> str:
    """The ratio of the two times that are shown, and that of the median round if it is another."""
    assert chosen.ms_per_crop is not None
    assert chosen.fp32_ms_per_crop is not None
    assert chosen.times_fp32 is not None
    shown = chosen.ms_per_crop / chosen.fp32_ms_per_crop
    text = f"{chosen.ms_per_crop:.3f} ms, {shown:.2f} times the {chosen.fp32_ms_per_crop:.3f} ms of FP32"
    if abs(chosen.times_fp32 / shown - 1) > _SAME_RATIO:
        text += f" ({chosen.times_fp32:.2f} in the median round: the machine was disturbed)"
    if chosen.ms_per_frame is not None and chosen.fp32_ms_per_frame is not None:
        text += f"; a whole frame {chosen.ms_per_frame:.3f} ms, with FP32 {chosen.fp32_ms_per_frame:.3f} ms"
    return text


def _verdict(label: str, chosen: Selection) -> str:
    if label == chosen.label:
        return f"chosen for {chosen.objective}"
    return chosen.losers.get(label) or chosen.ties.get(label) or ""
