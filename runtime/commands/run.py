"""Action units of images, folders, videos or a camera.

Rows are written as soon as they are known, and survive an interruption. Ends with 0, with 2 where something could not
be read or written, and with 130 or 143 where it was interrupted.

edgeau run photo.jpg
edgeau run clip.mp4 -o clip.csv --annotate clip-aus.mp4 --plot clip.svg
edgeau run interviews/ 'more/*.mp4' -o all.parquet --annotate drawn/
edgeau run clip.mp4 -o clip.csv --format openface
edgeau run clip.mp4 -o clip.csv --resume
edgeau run 0 --show -o me.jsonl
edgeau run rtsp://192.168.1.20/stream --format jsonl
edgeau run study/ --workers 4 -o results/                       a CSV file for each video, in several processes
edgeau run study/ --cluster tcp://10.0.0.5:8786 -o results/     likewise, on the machines of a Dask cluster
"""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
from typing import List, Sequence

from edgeau.runtime import arguments
from edgeau.runtime.action_units import require_aus
from edgeau.runtime.choose import HAAR_ONLY, load
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import STANDARD_OUTPUT, PathLike, is_replaceable, refuse_same
from edgeau.runtime.images import read_image
from edgeau.runtime.many import VideoOutcome, plan, run_all, run_here, run_on_cluster
from edgeau.runtime.record import Recorder, Views
from edgeau.runtime.records import TableColumns
from edgeau.runtime.row_file import FORMATS, RESUMABLE, Layout, open_rows
from edgeau.runtime.sources import Unopened, find_sources
from edgeau.runtime.terminal import note
from edgeau.runtime.timeline import check_plot
from edgeau.runtime.window import Window, WindowClosedError

_SUFFIXES = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".parquet": "parquet", ".txt": "table"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="+",
        type=arguments.name,
        help="images, folders, videos, patterns such as 'clips/*.mp4', 0 or camera:0, csi://0, rtsp:// or http:// "
        "address, or GStreamer pipeline",
    )
    parser.add_argument("-p", "--package", help="model package (default: the one that ships with edgeau)")
    parser.add_argument(
        "-o", "--output", type=Path, help="write here instead of the terminal; the suffix names the format"
    )
    parser.add_argument("--format", choices=FORMATS, help="default: table on the terminal, else by the suffix")
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.add_argument("--resume", action="store_true", help="continue the CSV or JSONL file of an interrupted run")
    parser.add_argument("--annotate", type=Path, help="picture, video or folder to write with outlines and AU bars")
    parser.add_argument("--plot", type=Path, help="timeline of the AUs to write, as .svg or .html")
    parser.add_argument("--show", action="store_true", help="show the frames in a window while they are analysed")
    parser.add_argument("--aus", type=arguments.aus, help="only these, such as 6,12,25")
    parser.add_argument("--variant", help="variant of the package (default: measured best, else fp32)")
    parser.add_argument("--backend", help="onnxruntime, openvino or tensorrt")
    parser.add_argument("--threads", type=arguments.threads, help="CPU threads of the model")
    parser.add_argument("--detector", help="yunet, yunet-opencv, haar, or YuNet's file (default: the best at hand)")
    parser.add_argument("--neutral", type=Path, help="picture of one subject at rest, used for that face only")
    parser.add_argument("--neutral-policy", help="first, running or none (default: the package's)")
    parser.add_argument("--max-faces", type=arguments.positive_int, help="analyse at most so many faces of an image")
    parser.add_argument("--max-frames", type=arguments.positive_int, help="stop each source after so many frames")
    parser.add_argument(
        "--workers",
        type=arguments.threads,
        help="processes for many videos; -o is then a folder of CSV files",
    )
    parser.add_argument("--cluster", metavar="ADDRESS", help="likewise, on the workers of this Dask scheduler")


def run(args: argparse.Namespace) -> int:
    if args.workers or args.cluster is not None:
        return _run_many(args)
    kind = _format(args)
    sources = find_sources(args.source)
    _check_outputs(args, kind, sources)
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
                max_faces=args.max_faces,
            )
        )
        aus = require_aus(args.aus or analyzer.manifest.aus, analyzer.manifest.aus, f"package {analyzer.manifest.name}")
        choice = analyzer.choice
        note(f"{analyzer.manifest.name}: {choice.reading} ({choice.reason})")
        if args.detector is None and analyzer.detector.name == "haar":
            note(HAAR_ONLY)
        layout = Layout(kind, tuple(aus), analyzer.manifest.expressions, analyzer.manifest.intensity, _table(sources))
        window = stack.enter_context(Window(aus)) if args.show else None
        rows = stack.enter_context(open_rows(args.output, layout, resume=args.resume))
        views = Views(args.annotate, args.plot, window)
        with contextlib.suppress(WindowClosedError):
            Recorder(analyzer, rows, layout, views, args.max_frames).record(sources)
    return 0


def _run_many(args: argparse.Namespace) -> int:
    """Analyse each video in a process of its own. Raises InputError where some can't be read; the others are kept."""
    if args.output is None or args.annotate or args.plot or args.show or args.resume or args.format or args.json:
        expected = "-o FOLDER, and no --annotate, --plot, --show, --resume, --format or --json"
        raise InputError("--workers and --cluster", got="other options", expected=expected)
    tasks = plan([Path(source) for source in args.source], args.output, _options_for_each(args))
    outcomes = run_here(tasks, args.workers) if args.cluster is None else run_on_cluster(tasks, args.cluster)

    def progress(done: int, total: int, outcome: VideoOutcome) -> None:
        note(f"{done}/{total} {outcome.video}: {outcome.error or 'done'}")

    failed = run_all(tasks, outcomes, progress)
    if failed:
        got = f"{len(failed)} of {len(tasks)} videos that could not be analysed, such as {failed[0].video}"
        raise InputError(f"videos for {args.output}", got=got, expected="all of them", hint=failed[0].error)
    return 0


def _options_for_each(args: argparse.Namespace) -> List[str]:
    """The options that the process of one video gets; paths are made absolute, for machines that share them."""
    paths = (("--package", args.package), ("--neutral", args.neutral), ("--detector", args.detector))
    words = [word for name, path in paths if path for word in (name, _absolute(path))]
    others = (
        ("--aus", ",".join(args.aus or ())), ("--variant", args.variant), ("--backend", args.backend),
        ("--neutral-policy", args.neutral_policy), ("--max-frames", args.max_frames), ("--threads", args.threads or 1),
    )  # fmt: skip
    return words + [word for name, value in others if value for word in (name, str(value))]


def _absolute(path: PathLike) -> str:
    return os.path.abspath(path) if os.path.exists(path) else os.fspath(path)


def _check_outputs(args: argparse.Namespace, kind: str, sources: Sequence[Unopened]) -> None:
    """Raise InputError where an output is an input, or can't be written or continued."""
    outputs = [path for path in (args.output, args.annotate, args.plot) if path is not None]
    inputs = [file for source in sources for file in source.pictures or (source.text,)]
    for path in outputs:
        refuse_same(path, *inputs, args.neutral, args.package, *(other for other in outputs if other is not path))
    if args.plot is not None:
        _check_plot(args.plot, sources)
    if len(sources) > 1:
        _check_several(args, kind, sources)
    if args.resume:
        _check_resume(args, kind, sources)


def _check_plot(plot: Path, sources: Sequence[Unopened]) -> None:
    if all(source.pictures for source in sources):
        raise InputError("--plot", got="pictures", expected="a video or camera")
    if len(sources) == 1:
        check_plot(plot)


def _check_several(args: argparse.Namespace, kind: str, sources: Sequence[Unopened]) -> None:
    expected = f"a folder for {len(sources)} sources"
    for option, path in (("--annotate", args.annotate), ("--plot", args.plot)):
        if path is not None and (path.is_file() or (path.suffix and not path.is_dir())):
            raise InputError(f"{option} {path}", got="the name of a file", expected=expected)
    if kind == "openface":
        raise InputError(
            "--format openface", got=f"{len(sources)} sources", expected="one: its columns don't name the source"
        )


def _check_resume(args: argparse.Namespace, kind: str, sources: Sequence[Unopened]) -> None:
    if args.output is None or os.fspath(args.output) == STANDARD_OUTPUT:
        raise InputError("--resume", got="no file to continue", expected="-o FILE.csv or -o FILE.jsonl")
    if kind not in RESUMABLE:
        raise InputError("--resume", got=f"format {kind}", expected=" or ".join(RESUMABLE))
    for option, path in (("--annotate", args.annotate), ("--plot", args.plot)):
        if path is not None and not all(source.pictures for source in sources):
            raise InputError("--resume", got=option, expected="one of both: a video can't be continued")


def _table(sources: Sequence[Unopened]) -> TableColumns:
    pictures = [bool(source.pictures) for source in sources]
    return TableColumns(source=len(sources) > 1 or any(pictures), time=not all(pictures))


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
