"""Action units of an image, a folder of images, a video or a camera.

edgeau run photo.jpg
edgeau run clip.mp4 -o clip.csv --annotate clip-aus.mp4
edgeau run camera:0 --format jsonl
edgeau run rtsp://192.168.1.20/stream --format jsonl
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, TextIO

from edgeau.runtime.action_units import require_aus
from edgeau.runtime.analyzer import Analyzer
from edgeau.runtime.choose import load
from edgeau.runtime.cli import note
from edgeau.runtime.draw import annotate
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import atomic_path
from edgeau.runtime.images import read_image
from edgeau.runtime.records import CsvWriter, TableWriter, json_line, rows_of
from edgeau.runtime.sources import Frame, Source, open_source
from edgeau.runtime.video import VideoSink

FORMATS = ("table", "csv", "json", "jsonl")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", help="image, folder, video, camera:0, csi://0, rtsp:// or http:// address, or GStreamer pipeline"
    )
    parser.add_argument("-p", "--package", help="model package (default: the one that ships with edgeau)")
    parser.add_argument(
        "-o", "--output", type=Path, help="write here instead of the terminal; the suffix names the format"
    )
    parser.add_argument("--format", choices=FORMATS, help="default: table on the terminal")
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.add_argument("--annotate", type=Path, help="picture, video or folder to write with boxes and AU bars")
    parser.add_argument("--aus", help="only these, such as 6,12,25")
    parser.add_argument("--variant", help="variant of the package (default: measured best, else fp32)")
    parser.add_argument("--backend", help="onnxruntime, openvino or tensorrt")
    parser.add_argument("--threads", type=int, help="CPU threads of the model")
    parser.add_argument("--detector", help="yunet, yunet-opencv, haar, or YuNet's file (default: the best at hand)")
    parser.add_argument("--neutral", type=Path, help="picture of the subject at rest")
    parser.add_argument("--neutral-policy", help="first, running or none (default: the package's)")
    parser.add_argument("--max-frames", type=int, help="stop after so many frames")


def run(args: argparse.Namespace) -> int:
    source = open_source(args.source)
    neutral = read_image(args.neutral) if args.neutral else None
    with load(
        args.package,
        variant=args.variant,
        backend=args.backend,
        threads=args.threads,
        detector=args.detector,
        neutral_policy=args.neutral_policy,
        neutral_image_bgr=neutral,
    ) as analyzer:
        names = args.aus.replace(",", " ").split() if args.aus else analyzer.manifest.aus
        aus = require_aus(names, analyzer.manifest.aus, f"package {analyzer.manifest.name}")
        choice = analyzer.choice
        note(f"{analyzer.manifest.name}: {choice.variant} on {choice.backend} ({choice.reason})")
        with contextlib.ExitStack() as stack:
            write = _writer(args, aus, stack)
            draw = _annotator(args.annotate, source, aus, stack)
            _analyse(analyzer, source, aus, write, draw, args.max_frames)
    return 0


def _analyse(
    analyzer: Analyzer,
    source: Source,
    aus: Sequence[str],
    write: Callable[[Dict[str, Any]], None],
    draw: Callable[[Frame, List[Any]], None],
    max_frames: Optional[int],
) -> None:
    started, seen, found, shown_at = time.monotonic(), 0, 0, time.monotonic()
    for frame in source.frames:
        if max_frames is not None and seen >= max_frames:
            break
        faces = analyzer(frame.image_bgr) if source.moving else analyzer.still(frame.image_bgr)
        for row in rows_of(frame.source, frame.number, frame.time_s, faces, aus):
            write(row)
        draw(frame, faces)
        seen, found = seen + 1, found + bool(faces)
        if time.monotonic() - shown_at > 5:
            shown_at = time.monotonic()
            note(f"{seen} of {source.count or '?'} frames, {seen / (shown_at - started):.0f} a second")
    elapsed = time.monotonic() - started
    if seen > 1:
        note(f"{seen} frames, {found} with a face, {seen / elapsed:.1f} a second")
    # Containers estimate their frame count; only a clear gap means that the rest is missing.
    if source.moving and max_frames is None and seen < 0.95 * source.count - 2:
        got, hint = f"{seen} of {source.count} frames", f"--max-frames {seen} takes what is there"
        raise InputError("video is truncated", got=got, expected="all of them", hint=hint)


def _writer(
    args: argparse.Namespace, aus: Sequence[str], stack: contextlib.ExitStack
) -> Callable[[Dict[str, Any]], None]:
    """What takes each row: the terminal, or a file that appears when it is complete."""
    kind = _format(args)
    stream = stack.enter_context(_output(args.output))

    def emit(text: str) -> None:
        stream.write(text + "\n")
        if stream is sys.stdout:
            stream.flush()

    if kind == "json":
        rows: List[Dict[str, Any]] = []
        stack.callback(lambda: emit(json.dumps(rows, indent=2)) if sys.exc_info()[0] is None else None)
        return rows.append
    if kind == "jsonl":
        return lambda row: emit(json_line(row))
    if kind == "csv":
        csv_writer = CsvWriter()
        return lambda row: emit(csv_writer.lines(row))
    table = TableWriter(aus)
    emit(table.header())
    return lambda row: emit(table.line(row))


def _format(args: argparse.Namespace) -> str:
    if args.json:
        return "json"
    if args.format:
        return str(args.format)
    if args.output is None:
        return "table"
    kind = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".txt": "table"}.get(args.output.suffix.lower())
    if kind is None:
        raise InputError(
            f"output {args.output}", got=args.output.suffix or "no suffix", expected=".csv, .json, .jsonl, .txt"
        )
    return kind


@contextlib.contextmanager
def _output(path: Optional[Path]) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as stream:
        yield stream


def _annotator(
    target: Optional[Path], source: Source, aus: Sequence[str], stack: contextlib.ExitStack
) -> Callable[[Frame, List[Any]], None]:
    if target is None:
        return lambda _frame, _faces: None
    if source.moving:
        sink = stack.enter_context(VideoSink(target, source.fps))
        return lambda frame, faces: sink.write(annotate(frame.image_bgr, faces, aus))

    def save(frame: Frame, faces: List[Any]) -> None:
        import cv2

        several = source.count > 1 or target.is_dir() or not target.suffix
        path = target / (Path(frame.source).stem + "-aus.png") if several else target
        with atomic_path(path) as temporary:
            try:
                written = cv2.imwrite(str(temporary), annotate(frame.image_bgr, faces, aus))
            except cv2.error:
                written = False
            if not written:
                raise InputError(
                    f"annotated picture {path}", got="a format OpenCV can't write", expected=".png or .jpg"
                )

    return save
