"""Time the chain from data to a device: synth, train, export, quantize, optimize, build and the report.

Each step is timed with small built-in models, most at two or three sizes, in rounds of random order, in a process that
has everything imported; so the figures are what the work takes, not the start. Shown are each command's time, the cost
per image, training step or crop, and the factor by which time grows when images, batch or model double.

A step that can't run here is named with its reason. After Ctrl-C what was timed until then is kept and marked.

example:
  edgeau bench chain
  edgeau bench chain --steps quantize,export --rounds 6 -o chain.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeau.benchmarks.chain.measure import measure
from edgeau.benchmarks.chain.page import lines, to_json
from edgeau.benchmarks.chain.steps import STEPS
from edgeau.benchmarks.records import write_records
from edgeau.runtime import arguments
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import is_replaceable
from edgeau.runtime.terminal import EXIT_FAILED, EXIT_OK, emit_json, note, say

ROUNDS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", help=f"comma-separated (default: {','.join(STEPS)})")
    parser.add_argument(
        "--rounds", type=arguments.positive_int, default=ROUNDS, help="how often each is timed (default: %(default)s)"
    )
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="write JSON here as well: .json or .json.gz")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")


def run(args: argparse.Namespace) -> int:
    steps = selected_steps(args.steps)
    if args.out:
        is_replaceable(args.out)  # now, because measuring takes long
    chain = measure(steps, args.rounds, note)
    value = to_json(chain)
    if args.out:
        write_records(args.out, value)
    if args.json:
        emit_json(value)
    else:
        for line in lines(chain):
            say(line)
    return EXIT_OK if chain.times else EXIT_FAILED


def selected_steps(text: str | None) -> tuple[str, ...]:
    """Steps of a comma-separated list, all for None. Raises InputError."""
    names = STEPS if text is None else tuple(text.split(","))
    for name in names:
        if name not in STEPS:
            raise InputError("--steps", got=name or "nothing", expected=f"some of {', '.join(STEPS)}")
    return names
