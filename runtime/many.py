"""Many videos: one CSV file each in one folder, by several processes here or by the workers of a Dask cluster.

A task is one video, which `edgeau run` analyses in a process of its own, so that a crash costs one video. A file gets
its name when it is complete, in one step; a video whose file is there is not analysed again, and a task that was run
twice writes the same file. So the same command continues an interrupted run, and a machine that dies loses nothing.

Why Dask: its scheduler and workers are two commands in pure Python, which run on every machine that runs edgeau, a
Jetson included; it gives the tasks of a dead worker to others. Ray does that too, with a native package for fewer
platforms and a store for shared objects, which tasks that exchange file names don't need.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

from .errors import InputError, MissingExtraError
from .files import atomic_path, write_json
from .leftovers import sweep
from .video import VIDEO_SUFFIXES

RECORD = "run.json"
# A process that dies is started again so often.
RETRIES = 2
_WRONG_INPUT = 2
_CONNECT_S = 10


@dataclass(frozen=True)
class Task:
    """One video: its path, the CSV file to write, and the options of `edgeau run`."""

    video: str
    output: str
    options: Tuple[str, ...]


@dataclass(frozen=True)
class VideoOutcome:
    """What became of a task; ``error`` is None if its file is complete."""

    video: str
    error: Optional[str] = None


class TaskDied(Exception):  # noqa: N818 - an event, which the engine answers with another attempt
    """The process of a task was killed or crashed."""


def plan(folders: Sequence[Path], out: Path, options: Sequence[str]) -> List[Task]:
    """A task for each video below the folders, with a file of its own below ``out``.

    Raises:
        InputError: no video, or a folder that holds the results of other options.
    """
    tasks: List[Task] = []
    for folder in folders:
        root = folder if folder.is_dir() else folder.parent
        files = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
        for video in (file for file in files if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file()):
            output = out / f"{video.relative_to(root).as_posix()}.csv"
            tasks.append(Task(str(video.resolve()), str(output.resolve()), tuple(options)))
    outputs = [task.output for task in tasks]
    twice = next((name for name in outputs if outputs.count(name) > 1), None)
    if not tasks or twice is not None:
        got = f"two videos for {twice}" if twice else "no video"
        raise InputError(f"videos in {', '.join(map(str, folders))}", got=got,
                         expected="files ending in " + " ".join(VIDEO_SUFFIXES))  # fmt: skip
    _claim(out, options)
    return tasks


def run_task(task: Task) -> VideoOutcome:
    """Analyse one video, unless its file is there. Raises TaskDied where its process was killed or crashed."""
    output = Path(task.output)
    if output.is_file():
        return VideoOutcome(task.video)
    command = [sys.executable, "-m", "edgeau.runtime", "run", task.video, "--format", "csv", *task.options]
    try:
        with atomic_path(output) as temporary:
            with temporary.open("wb") as stream:
                done = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, check=False)
            if done.returncode:
                raise _Failed(done.returncode, _last_line(done.stderr))
    except _Failed as failed:
        if failed.code == _WRONG_INPUT:
            return VideoOutcome(task.video, failed.text)
        raise TaskDied(f"{task.video}: exit code {failed.code}; {failed.text}") from None
    return VideoOutcome(task.video)


def run_here(tasks: Sequence[Task], workers: int) -> Iterator[VideoOutcome]:
    """Outcomes of all tasks as they end, by processes on this machine."""
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(_again, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def run_on_cluster(tasks: Sequence[Task], address: str) -> Iterator[VideoOutcome]:
    """Outcomes of all tasks as they end, by the workers of a Dask scheduler, which see the same files.

    Args:
        address: of the scheduler, such as ``tcp://192.168.1.10:8786``.

    Raises:
        MissingExtraError: without Dask.
        InputError: nothing answers there.
    """
    try:
        from dask import distributed
    except ModuleNotFoundError as error:
        raise MissingExtraError("distributed", "cluster", "`edgeau run --cluster`") from error
    try:
        client = distributed.Client(address, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(
            f"--cluster {address}", got=f"no scheduler that answers ({reason})", expected="a Dask scheduler's address",
            hint="start one: dask scheduler, and dask worker ADDRESS on each machine",
        ) from error  # fmt: skip
    with client:
        futures = {client.submit(run_task, task, key=_key(task), retries=RETRIES): task for task in tasks}
        for future in distributed.as_completed(list(futures)):
            yield _outcome_of(future, futures[future])


def run_all(
    tasks: Sequence[Task], outcomes: Iterator[VideoOutcome], progress: Callable[[int, int, VideoOutcome], None]
) -> List[VideoOutcome]:
    """Those that failed, after all have ended; ``progress`` gets the number that ended, the total, and the outcome."""
    failed: List[VideoOutcome] = []
    for done, outcome in enumerate(outcomes, start=1):
        progress(done, len(tasks), outcome)
        if outcome.error is not None:
            failed.append(outcome)
    for folder in {Path(task.output).parent for task in tasks}:
        sweep(folder)  # what killed processes left
    return failed


class _Failed(Exception):  # noqa: N818 - leaves the block that writes the file, which removes it
    def __init__(self, code: int, text: str) -> None:
        self.code, self.text = code, text


def _again(task: Task) -> VideoOutcome:
    for _ in range(RETRIES):
        try:
            return run_task(task)
        except TaskDied:
            continue
    try:
        return run_task(task)
    except TaskDied as error:
        return VideoOutcome(task.video, f"given up: {error}")


def _outcome_of(future: Any, task: Task) -> VideoOutcome:
    error = future.exception()
    if error is None:
        outcome: VideoOutcome = future.result()
        return outcome
    return VideoOutcome(task.video, f"given up: {type(error).__name__}: {error}")


def _key(task: Task) -> str:
    """The same for the same work, so that a cluster doesn't do it twice."""
    digest = hashlib.sha256(repr(task).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"edgeau-run-{digest}"


def _last_line(text: bytes) -> str:
    lines = [line for line in text.decode("utf-8", "replace").splitlines() if line.startswith("edgeau: ")]
    return lines[-1][len("edgeau: ") :] if lines else "no message"


def _claim(out: Path, options: Sequence[str]) -> None:
    """Make the folder of results, or take one that was begun with the same options."""
    record = out / RECORD
    if record.is_file():
        try:
            same = json.loads(record.read_text("utf-8"))["options"] == list(options)
        except (ValueError, LookupError, TypeError):
            same = False
        if not same:
            raise InputError(f"folder {out}", got="results with other options", expected="the same command",
                             hint="choose another -o")  # fmt: skip
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"output {out}", got="something else", expected="a new folder for the results of many videos")
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_json(record, {"options": list(options)})
