"""What quantization costs and gains: accuracy, size and time of each package, before and after finishing, and rivals.

For FP32, FP16, NNCF's INT8 before finishing, the finished INT8 of each target, and other tools' INT8 of the same ONNX
on the same calibration crops: F1, AU decisions flipped and SQNR against FP32 on ONNX Runtime, on OpenVINO and as
TensorRT reads it (emulated); size; p50 at 1 and 2 threads, measured in turns; what TensorRT-RTX's importer says; and
what `edgeau optimize` chose, if it was run on the package. Slow models are evaluated on fewer crops; the table says so.

    python -m edgeau.benchmarks.studies.quantization_table cednn.edgeau --calib crops/train --eval crops/test -o int8
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

from edgeau.benchmarks.provenance import provenance
from edgeau.runtime.device import fingerprint
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.files import write_json, write_text
from edgeau.runtime.terminal import note, say

from .quantization_files import FileOptions
from .quantization_markdown import markdown
from .quantization_measure import PROTOCOL, measure_package


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON and Markdown, print the table. Returns 2 if a package could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+")
    parser.add_argument("--calib", required=True, help="calibration crops")
    parser.add_argument("--eval", required=True, help="labelled crops")
    parser.add_argument("--samples", type=int, default=128, help="calibration crops (default: %(default)s)")
    parser.add_argument("--eval-samples", type=int, default=480, help="evaluation crops; slow models get fewer")
    parser.add_argument("--olive", metavar="PYTHON", help="interpreter of an environment with olive-ai")
    parser.add_argument("-o", "--out", required=True, help="path without suffix; .json and .md are written")
    args = parser.parse_args(arguments)
    options = FileOptions(args.calib, args.eval, args.samples, args.eval_samples, args.olive)
    tables: list[dict[str, Any]] = []
    for path in args.packages:
        try:
            tables.append(measure_package(Path(path), options))
        except EdgeauError as error:
            note(f"quantization_table: {path}: {error}")
            continue
        write(tables, options, Path(args.out))  # after each package: the next may fail or be interrupted
    if tables:
        say(Path(args.out).with_suffix(".md").read_text("utf-8"))
    return 0 if len(tables) == len(args.packages) else 2


def write(tables: list[dict[str, Any]], options: FileOptions, out: Path) -> None:
    """Write the tables so far as JSON and Markdown, with the conditions of the measurement."""
    value = {
        "device": fingerprint(),
        "load_average": os.getloadavg()[0],
        "provenance": dataclasses.asdict(provenance()),
        "protocol": PROTOCOL,
        "calibration": options.calibration,
        "evaluation": options.evaluation,
        "packages": tables,
    }
    write_json(out.with_suffix(".json"), value)
    write_text(out.with_suffix(".md"), markdown(value))


if __name__ == "__main__":
    sys.exit(main())
