"""Action units of an image, a folder of images, a video or a camera.

Rows are written as soon as they are known, and survive an interruption. Ends with 0, with 2 where something could not
be read or written, and with 130 or 143 where it was interrupted.

edgeau run photo.jpg
edgeau run clip.mp4 -o clip.csv --annotate clip-aus.mp4
edgeau run clip.mp4 -o clip.csv --resume
edgeau run camera:0 --format jsonl
edgeau run rtsp://192.168.1.20/stream --format jsonl
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import time
import warnings
from pathlib import Path
from typing import Optional, Sequence, Tuple

from edgeau.runtime import arguments
from edgeau.runtime.action_units import require_aus
from edgeau.runtime.analyzer import Analyzer
from edgeau.runtime.annotations import Draw, open_annotations
from edgeau.runtime.choose import load
from edgeau.runtime.errors import EdgeauWarning, InputError
from edgeau.runtime.files import STANDARD_OUTPUT, is_replaceable, refuse_same
from edgeau.runtime.images import read_image
from edgeau.runtime.records import rows_of
from edgeau.runtime.results import Face
from edgeau.runtime.row_file import FORMATS, RESUMABLE, Layout, RowFile
from edgeau.runtime.sources import Frame, Source, open_source
from edgeau.runtime.terminal import note

_SUFFIXES = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".txt": "table"}
_PROGRESS_S = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        type=arguments.name,
        help="image, folder, video, camera:0, csi://0, rtsp:// or http:// address, or GStreamer pipeline",
    )
    parser.add_argument("-p", "--package", help="model package (default: the one that ships with edgeau)")
    parser.add_argument(
        "-o", "--output", type=Path, help="write here instead of the terminal; the suffix names the format"
    )
    parser.add_argument("--format", choices=FORMATS, help="default: table on the terminal")
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.add_argument("--resume", action="store_true", help="continue the CSV or JSONL file of an interrupted run")
    parser.add_argument("--annotate", type=Path, help="picture, video or folder to write with boxes and AU bars")
    parser.add_argument("--aus", type=arguments.aus, help="only these, such as 6,12,25")
    parser.add_argument("--variant", help="variant of the package (default: measured best, else fp32)")
    parser.add_argument("--backend", help="onnxruntime, openvino or tensorrt")
    parser.add_argument("--threads", type=arguments.threads, help="CPU threads of the model")
    parser.add_argument("--detector", help="yunet, yunet-opencv, haar, or YuNet's file (default: the best at hand)")
    parser.add_argument("--neutral", type=Path, help="picture of the subject at rest")
    parser.add_argument("--neutral-policy", help="first, running or none (default: the package's)")
    parser.add_argument("--max-frames", type=arguments.positive_int, help="stop after so many frames")


def run(args: argparse.Namespace) -> int:
    kind = _format(args)
    _check_outputs(args, kind)
    source = open_source(args.source)
    neutral = read_image(args.neutral) if args.neutral else None
    with contextlib.ExitStack() as stack:
        analyzer = stack.enter_context(
            load(
                args.package,
                variant=args.variant,
                backend=args.backend,
                threads=args.threads,
                detector=args.detector,
                neutral_policy=args.neutral_policy,
                neutral_image_bgr=neutral,
            )
        )
        aus = require_aus(args.aus or analyzer.manifest.aus, analyzer.manifest.aus, f"package {analyzer.manifest.name}")
        choice = analyzer.choice
        note(f"{analyzer.manifest.name}: {choice.variant} on {choice.backend} ({choice.reason})")
        layout = Layout(kind, tuple(aus), analyzer.manifest.expressions)
        rows = stack.enter_context(RowFile(args.output, layout, resume=args.resume))
        draw = stack.enter_context(open_annotations(args.annotate, source, aus))
        if rows.continued and source.moving:
            note("continuing behind what is there: faces get new numbers, and their neutral is found anew")
        _Run(analyzer, source, rows, draw).go(args.max_frames)
    return 0


class _Run:
    """One source on its way into rows."""

    def __init__(self, analyzer: Analyzer, source: Source, rows: RowFile, draw: Draw) -> None:
        self.analyzer, self.source, self.rows, self.draw = analyzer, source, rows, draw
        self.analysed, self.with_face, self.failed = 0, 0, 0

    def go(self, max_frames: Optional[int]) -> None:
        """Analyse frame after frame, up to ``max_frames``.

        Raises:
            InputError: no frame could be analysed, or the rest of a video is missing. What was computed is kept.
        """
        started = shown_at = time.monotonic()
        seen = 0
        for frame in self.source.frames:
            if max_frames is not None and seen >= max_frames:
                break
            seen += 1
            self._add(frame)
            if time.monotonic() - shown_at > _PROGRESS_S:
                shown_at = time.monotonic()
                note(f"{seen} of {self.source.count or '?'} frames, {seen / (shown_at - started):.0f} per second")
        elapsed = time.monotonic() - started
        if seen > 1:
            note(f"{seen} frames, {self.with_face} with a face, {seen / elapsed:.1f} per second")
        if self.failed and self.failed == self.analysed:
            raise InputError("source", got=f"{self.failed} frames, none of which could be analysed")
        # Containers estimate their frame count; only a clear gap means that the rest is missing.
        if self.source.moving and max_frames is None and seen < 0.95 * self.source.count - 2:
            got, hint = f"{seen} of {self.source.count} frames", "the rows of those are kept"
            raise InputError("video is truncated", got=got, expected="all of them", hint=hint)

    def _add(self, frame: Frame) -> None:
        """Analyse one frame and write its rows, unless they are there already."""
        last = self.rows.last(frame.source)
        number, time_s = frame.number, frame.time_s
        if last is not None and self.source.live:
            number, time_s = number + last[0] + 1, time_s + last[1]
        elif last is not None and frame.number <= last[0]:
            return
        faces, error = self._analyse(frame)
        if self.source.moving and self.rows.tracks:
            faces = [dataclasses.replace(face, track_id=face.track_id + self.rows.tracks) for face in faces]
        layout = self.rows.layout
        self.rows.write(rows_of(frame.source, number, time_s, faces, layout.aus, layout.expressions, error))
        if frame.image_bgr is not None:
            self.draw(frame, faces)
        self.analysed, self.with_face = self.analysed + 1, self.with_face + bool(faces)

    def _analyse(self, frame: Frame) -> Tuple[Sequence[Face], Optional[str]]:
        error = frame.error
        if frame.image_bgr is not None:
            try:
                analyse = self.analyzer if self.source.moving else self.analyzer.still
                return analyse(frame.image_bgr), None
            except InputError as reason:
                error = str(reason)
        self.failed += 1
        where = f"frame {frame.number} of {frame.source}: " if self.source.moving else ""
        warnings.warn(f"{where}{error}", EdgeauWarning, stacklevel=2)
        return [], error


def _check_outputs(args: argparse.Namespace, kind: str) -> None:
    """Raise InputError where an output is an input, or can't be continued."""
    outputs = [path for path in (args.output, args.annotate) if path is not None]
    for path in outputs:
        others = [other for other in outputs if other is not path]
        refuse_same(path, args.source, args.neutral, args.package, *others)
    if args.resume and (args.output is None or os.fspath(args.output) == STANDARD_OUTPUT):
        raise InputError("--resume", got="no file to continue", expected="-o FILE.csv or -o FILE.jsonl")
    if args.resume and kind not in RESUMABLE:
        raise InputError("--resume", got=f"format {kind}", expected=" or ".join(RESUMABLE))
    if args.resume and args.annotate is not None and not Path(args.source).is_dir():
        raise InputError("--resume", got="--annotate", expected="one of both: a video can't be continued")


def _format(args: argparse.Namespace) -> str:
    if args.json:
        return "json"
    if args.format:
        return str(args.format)
    if args.output is None or not is_replaceable(args.output):
        return "table"
    kind = _SUFFIXES.get(args.output.suffix.lower())
    if kind is None:
        raise InputError(f"output {args.output}", got=args.output.suffix or "no suffix", expected=", ".join(_SUFFIXES))
    return kind
