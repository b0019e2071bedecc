"""Many videos, in local processes and on a Dask cluster of two nodes, one of which is killed midway."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, List

import cv2
import numpy as np
import pytest

from edgeau.runtime.cli import main
from edgeau.runtime.many import Task, run_here, run_task

FRAMES = 4


@pytest.fixture
def study(tmp_path: Path, photo_bgr: np.ndarray) -> Path:
    """Three short videos of a real face, one of them in a subfolder."""
    folder = tmp_path / "study"
    (folder / "later").mkdir(parents=True)
    for number, name in enumerate(("a.avi", "b.avi", "later/a.avi")):
        writer = cv2.VideoWriter(str(folder / name), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (256, 256))
        for _ in range(FRAMES):
            writer.write(cv2.convertScaleAbs(cv2.resize(photo_bgr, (256, 256)), alpha=1 - 0.1 * number))
        writer.release()
    return folder


def rows(file: Path) -> List[Dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_each_video_gets_a_file_and_a_second_run_completes_the_folder(study: Path, capsys) -> None:
    out = study.parent / "out"
    words = ["run", str(study), "--workers", "2", "-o", str(out), "--aus", "12"]
    (study / "broken.mp4").write_bytes(b"not a video")
    assert main(words) == 2
    stderr = capsys.readouterr().err
    assert "1 of 4 videos" in stderr
    assert "broken.mp4" in stderr
    (study / "broken.mp4").unlink()
    files = sorted(file.relative_to(out).as_posix() for file in out.rglob("*.csv"))
    assert files == ["a.avi.csv", "b.avi.csv", "later/a.avi.csv"]
    assert all([row["frame"] for row in rows(out / file)] == [str(n) for n in range(FRAMES)] for file in files)
    kept = (out / "a.avi.csv").stat().st_mtime_ns
    (out / "b.avi.csv").unlink()
    assert main(words) == 0
    assert ((out / "a.avi.csv").stat().st_mtime_ns, len(rows(out / "b.avi.csv"))) == (kept, FRAMES)
    assert main([*words[:-1], "6"]) == 2
    assert "other options" in capsys.readouterr().err


def test_a_killed_process_is_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt kills itself after writing part of its rows."""
    program = tmp_path / "program"
    program.write_text(
        f"#!/bin/sh\necho half\nif [ ! -e {tmp_path}/tried ]; then touch {tmp_path}/tried; kill -9 $$; fi\necho whole\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr("edgeau.runtime.many.sys.executable", str(program))
    output = tmp_path / "out" / "clip.csv"
    (outcome,) = run_here([Task("clip.avi", str(output), ())], workers=1)
    assert outcome.error is None
    assert output.read_text() == "half\nwhole\n"
    assert sorted(file.name for file in output.parent.iterdir()) == ["clip.csv"]


def test_a_video_whose_output_exists_is_skipped(tmp_path: Path) -> None:
    output = tmp_path / "clip.csv"
    output.write_text("rows\n")
    assert run_task(Task("absent.avi", str(output), ())).error is None


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Dict[str, object]]:
    """A scheduler and two single-threaded workers in processes of their own, as on two machines."""
    pytest.importorskip("distributed", reason="Dask is not installed")
    file = tmp_path / "scheduler.json"
    base = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--scheduler-file", str(file)]
    work = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path, "start_new_session": True}
    processes = [subprocess.Popen([*base, "--port", "0", "--no-dashboard"], **quiet)]
    for _ in range(2):
        processes.append(subprocess.Popen([*work, "--no-nanny", "--no-dashboard", "--death-timeout", "120"], **quiet))
    deadline = time.monotonic() + 60
    while not file.is_file() and time.monotonic() < deadline:
        time.sleep(0.2)
    yield {"file": file, "workers": processes[1:]}
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_killing_a_node_midway_neither_loses_nor_duplicates_rows(
    study: Path, cluster: Dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    import json
    import threading

    out = study.parent / "out"
    victim = cluster["workers"][0]

    def kill_when_it_works() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not list(out.rglob(".edgeau-tmp-*")):
            time.sleep(0.05)
        os.killpg(victim.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_when_it_works)
    killer.start()
    address = json.loads(Path(str(cluster["file"])).read_text())["address"]
    assert main(["run", str(study), "--cluster", address, "-o", str(out), "--aus", "12"]) == 0
    killer.join()
    assert victim.poll() is not None
    files = sorted(file.relative_to(out).as_posix() for file in out.rglob("*.csv"))
    assert files == ["a.avi.csv", "b.avi.csv", "later/a.avi.csv"]
    for file in files:
        assert [row["frame"] for row in rows(out / file)] == [str(n) for n in range(FRAMES)]


def test_an_unreachable_scheduler_is_reported(study: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr("edgeau.runtime.many._CONNECT_S", 1)
    assert main(["run", str(study), "--cluster", "tcp://127.0.0.1:9", "-o", str(study.parent / "out")]) == 2
    assert "no scheduler that answers" in capsys.readouterr().err
