"""Render faces with known action units, as a crop set that every other verb reads.

Each subject has several neutral images, stills and continuous sequences, labelled with FACS intensities 0..5 of the
units of BP4D and DISFA, expression classes, 68 landmarks and head pose. The same options give the same bytes with any
number of workers. An interrupted set is completed by the same command. Written with the crops: index.csv (one line per
image), cooccurrence.csv (which units occur together) and contact-sheet.png.

Face models: builtin (a low-poly head of our own; needs no graphics driver), ict (ICT-FaceKit, found by EDGEAU_ICT), or
the path of an ICT-FaceKit .npz or of a checkout of its OBJ files.

Example:
    edgeau synth --out faces --subjects 200 --frames 100 --face ict
    edgeau synth --out unseen --subjects 40 --frames 50 --seed 1000 --domain heldout
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

from edgeau.runtime import arguments
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.terminal import emit_json, note, say
from edgeau.train.faces.base import DOMAINS
from edgeau.train.faces.plan.prototypes import RATES
from edgeau.train.faces.report import together, write_contact_sheet, write_cooccurrence, write_csv
from edgeau.train.faces.source import SyntheticOptions, check
from edgeau.train.faces.writer import Job, write_set

REPORT_EVERY_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``edgeau synth``."""
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write, or to complete")
    parser.add_argument(
        "--subjects", type=arguments.whole(1, 99_999), default=200, help="number of people (default %(default)s)"
    )
    parser.add_argument(
        "--frames", type=arguments.positive_int, default=100, help="images of each (default %(default)s)"
    )
    parser.add_argument(
        "--face", default="builtin", metavar="builtin|ict|PATH", help="face model (default %(default)s)"
    )
    parser.add_argument(
        "--seed", type=arguments.seed, default=0, help="another seed, other people (default %(default)s)"
    )
    parser.add_argument("--workers", type=arguments.threads, default=None, help="processes (default: one per core)")
    parser.add_argument(
        "--size", type=arguments.whole(8, 8192), default=112, metavar="PX", help="side of a crop (default %(default)s)"
    )
    parser.add_argument("--labels", choices=sorted(RATES), default="mix", help="whose base rates (default %(default)s)")
    parser.add_argument(
        "--domain", choices=DOMAINS, default="train", help="heldout: light, camera and skin that training never sees"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Write the set, its table and its contact sheet, and print a summary."""
    if not 32 <= args.size <= 512:
        raise InputError("--size", got=str(args.size), expected="32 to 512 pixels")
    workers = _cores() if args.workers is None else args.workers
    if workers < 1:
        raise InputError("--workers", got=str(workers), expected="1 or more")
    options = check(SyntheticOptions(args.subjects, args.frames, args.seed, args.face, args.labels, args.domain))
    started = time.monotonic()
    index = write_set(Job(args.out, options, CropSpec(size_px=args.size)), workers, _reporter(args.frames, started))
    write_csv(args.out, index)
    sheet = write_contact_sheet(args.out, index)
    joint = together(args.out, index)
    write_cooccurrence(args.out, index, joint)
    rates = dict(zip(index.aus, joint.diagonal().tolist(), strict=True))
    if args.json:
        emit_json(
            {
                "folder": str(args.out),
                "images": args.subjects * args.frames,
                "contact_sheet": str(sheet),
                "rates": rates,
            }
        )
        return 0
    say(f"{args.subjects * args.frames} crops of {args.subjects} subjects in {args.out}; see {sheet}")
    say("present (intensity 2 or more), % of crops, and target:")
    target = RATES[args.labels]
    say("  ".join(f"{au} {100 * rate:.0f}/{100 * target[au]:.0f}" for au, rate in rates.items()))
    return 0


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _reporter(frames: int, started: float) -> Callable[[int, int], None]:
    last = started

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < REPORT_EVERY_S and done < total:
            return
        last = now
        rate = done / (now - started)
        left = (total - done) / rate
        note(f"{done}/{total} subjects, {rate * frames:.0f} images/s, {left:.0f} s left")

    return report
