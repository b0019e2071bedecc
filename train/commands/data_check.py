"""Say what a data set has and lacks, before anything is cropped or trained: no image is decoded.

Missing images file by file, subjects, labelled frames, and the share of frames with each AU beside the published one.
The exit code is 1 if training on it would give wrong figures.

Example:
    edgeau data check bp4d:/data/BP4D
    edgeau data check own
"""

from __future__ import annotations

import argparse

from edgeau.runtime.terminal import EXIT_FAILED, EXIT_OK, emit_json, say
from edgeau.train.convert import open_recordings
from edgeau.train.data_check import check, report_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgeau data check`."""
    parser.add_argument("spec", metavar="SPEC", help="bp4d:FOLDER, disfa:FOLDER, ..., or a folder of your own faces")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Check, and print the report."""
    source, recordings = open_recordings(args.spec)
    report = check(args.spec, source.word, recordings)
    if args.json:
        emit_json(report.to_json())
    else:
        for line in report_lines(report):
            say(line)
    return EXIT_OK if report.usable else EXIT_FAILED
