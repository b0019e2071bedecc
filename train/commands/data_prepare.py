"""Find and crop the faces of a data set once, into a crop set that every verb reads.

In parallel, with progress; an interrupted set is completed by the same command. Written with the crops: skipped.csv
(the images that have no crop, and why) and contact-sheet.png. Without this verb, crops are made on first use and kept
in edgeau's cache.

Example:
    edgeau data prepare bp4d:/data/BP4D --out crops/bp4d --workers 8
    edgeau train --model cednn-m --data crops/bp4d --fold bp4d/part3 --out runs/part3
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

from edgeau.runtime import arguments
from edgeau.runtime.crop_set import SKIPPED
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.prepare import prepare
from edgeau.runtime.recording_check import require_whole
from edgeau.runtime.terminal import EXIT_OK, emit_json, note, say
from edgeau.train.convert import open_recordings
from edgeau.train.faces.report import write_contact_sheet

_EVERY_S = 2.0  # between two lines of progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgeau data prepare`."""
    parser.add_argument("spec", metavar="SPEC", help="bp4d:FOLDER, disfa:FOLDER, ..., or a folder of your own faces")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write, or to complete")
    parser.add_argument("--workers", type=arguments.threads, help="processes (default: one per core)")
    parser.add_argument(
        "--size", type=arguments.whole(32, 512), default=112, metavar="PX", help="side of a crop (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Crop, and print a summary."""
    source, recordings = open_recordings(args.spec)
    require_whole(f"data {args.spec}", recordings)
    index = prepare(
        source, recordings, args.out, CropSpec(size_px=args.size),
        workers=args.workers or os.cpu_count() or 1, progress=_reporter(),
    )  # fmt: skip
    sheet = write_contact_sheet(args.out, index)
    crops = sum(shard.samples for shard in index.shards)
    labelled = sum(len(recording.numbers) for recording in recordings)
    subjects = len({shard.subject for shard in index.shards})
    if args.json:
        emit_json({"folder": str(args.out), "crops": crops, "skipped": labelled - crops, "subjects": subjects})
        return EXIT_OK
    say(f"{args.out}: {crops} crops of {subjects} subjects; look at {sheet}")
    if labelled > crops:
        say(f"{labelled - crops} of {labelled} labelled images have no crop: {args.out / SKIPPED} says why")
    return EXIT_OK


def _reporter() -> Callable[[int, int, int], None]:
    started = time.monotonic()
    said = [-_EVERY_S]

    def report(done: int, total: int, skipped: int) -> None:
        if done < total and time.monotonic() - said[0] < _EVERY_S:
            return
        said[0] = time.monotonic()
        rate = done / max(time.monotonic() - started, 1e-9)
        note(f"{done}/{total} images, {skipped} without a crop, {rate:.0f}/s, {(total - done) / rate:.0f} s left")

    return report
