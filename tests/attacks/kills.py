"""Kill writing verbs at random moments and check what is left: ``python tests/attacks/kills.py RUNS [SEED]``.

Each run forks a process in which a verb replaces existing files, and ends it by SIGKILL, SIGTERM, SIGINT or a limit on
file size (RLIMIT_FSIZE, which looks like a full disk to a writer). Then either the old or the new must be complete,
nothing else may have changed, and the same verb must work again and leave no temporary files behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgeau.runtime import cli, leftovers
from edgeau.runtime.crop_set import read_crop_set
from edgeau.runtime.interrupts import raise_on_signals
from edgeau.runtime.package import Package, shipped_package

WAYS = ("SIGKILL", "SIGTERM", "SIGINT", "full")


@dataclass(frozen=True)
class Job:
    """One verb on existing files.

    Attributes:
        prepare: creates the files in the working folder.
        work: runs the verb there.
        check: raises unless the old or the new files are complete.
    """

    prepare: Callable[[], None]
    work: Callable[[], object]
    check: Callable[[], object]


def _package() -> None:
    Package.open(shipped_package()).copy_to("p.edgeau")


def _again() -> None:
    package = Package.open("p.edgeau")
    data = os.urandom(300_000)
    package.add_variant(package.variant("fp32"), lambda path: path.write_bytes(data) and None)


def _more() -> None:
    package = Package.open("p.edgeau")
    extra = dataclasses.replace(package.variant("fp32"), name="extra", file="extra.onnx")
    package.add_variant(extra, lambda path: path.write_bytes(bytes(300_000)) and None)


def _verify() -> None:
    package = Package.open("p.edgeau")
    package.verify()
    package.variant("fp32")


def _import() -> None:
    cli.main(["import", str(shipped_package() / "fp32.onnx"), "--aus", "1,2", "-o", "p.edgeau"])


def _pictures() -> None:
    os.mkdir("pictures")
    for number in range(40):
        cv2.imwrite(f"pictures/{number:02d}.png", np.full((64, 64, 3), number, np.uint8))


def _rows() -> None:
    if not os.path.exists("rows.csv"):
        return
    data = Path("rows.csv").read_text()
    lines = data.splitlines()
    assert data == "" or (data.endswith("\n") and lines[0].startswith("source,"))
    assert [line.split(",")[1] for line in lines[1:]] == [str(n) for n in range(len(lines) - 1)]


def _synth() -> None:
    cli.main(["synth", "--out", "faces", "--subjects", "2", "--frames", "3", "--size", "16", "--workers", "1"])


def _faces() -> None:
    if os.path.exists("faces/index.json"):
        assert len(read_crop_set(Path("faces"), 16)) == 6


def _fix() -> None:
    cli.main(["inspect", str(shipped_package() / "fp32.onnx"), "--target", "tensorrt-10.3", "--fix", "fixed.onnx"])


def _fixed() -> None:
    data = Path("fixed.onnx").read_bytes()
    import onnx

    assert data == b"the old one" or onnx.load_from_string(data).graph.node


def _triton() -> None:
    cli.main(["build", "p.edgeau", "--triton", "served"])


def _serve() -> None:
    _package()
    os.waitpid(in_child(_triton), 0)


def _served() -> None:
    for model in Path("served").glob("*") if os.path.isdir("served") else ():
        if not leftovers.is_temporary(model.name):
            assert (model / "config.pbtxt").is_file()
            assert (model / "1" / "model.onnx").stat().st_size == (shipped_package() / "fp32.onnx").stat().st_size


JOBS: dict[str, Job] = {
    "variant again": Job(_package, _again, _verify),
    "variant more": Job(_package, _more, _verify),
    "copy": Job(_package, lambda: Package.open(shipped_package()).copy_to("p.edgeau"), _verify),
    "import": Job(_package, _import, lambda: Package.open("p.edgeau").verify()),
    "run": Job(_pictures, lambda: cli.main(["run", "pictures", "-o", "rows.csv", "--threads", "1"]), _rows),
    "synth": Job(lambda: None, _synth, _faces),
    "inspect --fix": Job(lambda: Path("fixed.onnx").write_bytes(b"the old one") and None, _fix, _fixed),
    "build --triton": Job(_serve, _triton, _served),
}


def in_child(work: Callable[[], object], *, most_bytes: int | None = None) -> int:
    """Fork a process that does the work without output, and return its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    with contextlib.suppress(BaseException):
        os.setpgid(0, 0)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if most_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
        leftovers._swept.clear()
        with raise_on_signals():
            work()
        code = 0
    os._exit(code)


def end_one(name: str, way: str, rng: random.Random, takes_s: float) -> None:
    """Interrupt one job in a new folder, and raise if anything was lost or left behind."""
    job = JOBS[name]
    with tempfile.TemporaryDirectory(prefix="edgeau-kills-") as folder:
        os.chdir(folder)
        job.prepare()
        Path("thesis.txt").write_text("years of work")
        limit = int(10 ** rng.uniform(1, 6)) if way == "full" else None
        child = in_child(job.work, most_bytes=limit)
        if limit is None:
            time.sleep(rng.uniform(0, takes_s))
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, getattr(signal, way))
        os.waitpid(child, 0)
        job.check()
        assert Path("thesis.txt").read_text() == "years of work"
        if way == "full":  # a signal may arrive in the middle of the cleanup
            assert not left_behind(), left_behind()
        with contextlib.suppress(FileNotFoundError):
            os.unlink("rows.csv")
        _, status = os.waitpid(in_child(job.work), 0)
        assert os.waitstatus_to_exitcode(status) == 0, "the same again does not work"
        job.check()
        leftovers.sweep(Path())
        assert not left_behind(), left_behind()
        os.chdir("/")


def left_behind() -> list[str]:
    """Temporary files, and the lock of a package."""
    return [str(p) for p in Path().rglob(".edgeau-*")]


def measure() -> dict[str, float]:
    """The time in seconds that each job takes without interruption."""
    takes = {}
    for name, job in JOBS.items():
        folder = tempfile.mkdtemp(prefix="edgeau-kills-")
        os.chdir(folder)
        job.prepare()
        began = time.monotonic()
        os.waitpid(in_child(job.work), 0)
        takes[name] = time.monotonic() - began
        os.chdir("/")
        shutil.rmtree(folder)
    return takes


def main(runs: int, seed: int = 0) -> int:
    """Interrupt ``runs`` jobs, print a summary, and return the number of jobs that lost something."""
    import edgeau.optimize.commands.build
    import edgeau.optimize.commands.import_
    import edgeau.runtime.commands.inspect
    import edgeau.runtime.commands.run
    import edgeau.train.commands.synth  # noqa: F401

    rng, losses, counted = random.Random(seed), 0, Counter[str]()
    takes = measure()
    for number in range(runs):
        name, way = list(JOBS)[number % len(JOBS)], WAYS[(number // len(JOBS) + number) % len(WAYS)]
        counted[way] += 1
        try:
            end_one(name, way, rng, takes[name])
        except Exception as error:  # noqa: BLE001 - any exception counts as a loss
            losses += 1
            sys.stdout.write(f"{name}, {way}: {type(error).__name__}: {error}\n")
    summary = ", ".join(f"{way} {count}" for way, count in counted.items())
    sys.stdout.write(f"{runs} interruptions ({summary}): {losses} losses\n")
    return losses


if __name__ == "__main__":
    sys.exit(1 if main(*map(int, sys.argv[1:])) else 0)
