from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgeau.runtime import leftovers
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import atomic_path, is_replaceable, refuse_same, sha256_file, write_bytes, write_json


@pytest.fixture(autouse=True)
def _sweep_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every test sweep: a process sweeps a folder only once."""
    monkeypatch.setattr(leftovers, "_swept", set())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    write_json(file, {"a": 1})
    with pytest.raises(RuntimeError), atomic_path(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert names(tmp_path) == ["result.json"]
    assert file.read_text() == '{\n  "a": 1\n}\n'


def test_a_failed_write_removes_the_folders_it_created(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a" / "b" / "file"):
        raise RuntimeError
    assert names(tmp_path) == []


def test_nan_is_refused_instead_of_written_as_invalid_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_a_file_name_that_is_not_utf8_survives_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"m\xff.onnx")
    write_json(tmp_path / "x.json", {"made_by": f"edgeau import {name}"})
    assert json.loads((tmp_path / "x.json").read_bytes())["made_by"] == f"edgeau import {name}"


def test_sha256_of_a_known_file(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_new_file_respects_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o755, 0o664])
def test_a_replaced_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    file.chmod(mode)
    write_bytes(file, b"new")
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"new", mode)


def test_writing_to_a_link_replaces_its_target(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("elsewhere/file")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "file").read_bytes() == b"new"


def test_a_device_is_written_through() -> None:
    write_bytes("/dev/null", b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_full_device_raises_an_error() -> None:
    with pytest.raises(OSError, match="No space left"):
        write_bytes("/dev/full", b"x")


def test_a_fifo_is_written_through(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()))
    reader.start()
    write_bytes(fifo, b"through")
    reader.join(10)
    assert received == [b"through"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_standard_output_can_be_the_destination(tmp_path: Path, name: str) -> None:
    code = f"from edgeau.runtime.files import write_bytes; print('a'); write_bytes({name!r}, b'b'); print('c')"
    with open(tmp_path / "out", "ab") as out:
        subprocess.run([sys.executable, "-u", "-c", code], stdout=out, check=True, cwd=tmp_path)
    assert (tmp_path / "out").read_bytes() == b"a\nbc\n"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("kind", ["folder", "read-only file", "loop", "long name"])
def test_a_path_that_cannot_be_replaced_is_refused_before_the_work(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("x" * 300 if kind == "long name" else "x")
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to("x")
    elif kind == "read-only file":
        if os.geteuid() == 0:
            pytest.skip("root may write to every file")
        path.write_bytes(b"old")
        path.chmod(0o444)
    with pytest.raises(InputError), atomic_path(path):
        pytest.fail("the block was entered")


@pytest.mark.parametrize("name", ["thesis.txt/new.json", "new.json", "new/folder/new.json"])
def test_a_path_that_cannot_be_created_is_refused_before_the_work(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and access(path, mode))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"a folder that may not be written to|not a directory"):
        is_replaceable(name)


def test_a_new_file_in_new_folders_is_accepted(tmp_path: Path) -> None:
    assert is_replaceable(tmp_path / "new" / "folder" / "x.json")


def test_an_output_that_is_the_input_is_refused_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"x")
    (tmp_path / "link").symlink_to("in")
    os.link(tmp_path / "in", tmp_path / "twin")
    for name in ("in", "link", "twin", "./in"):
        with pytest.raises(InputError, match="the input itself"):
            refuse_same(tmp_path / name, None, tmp_path / "in")
    refuse_same(tmp_path / "out", tmp_path / "in")


def test_sweep_removes_files_of_killed_processes_and_keeps_those_of_running_ones(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from edgeau.runtime.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1]) / 'file.csv') as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (left,) = names(tmp_path)
    assert leftovers.is_temporary(left)
    with atomic_path(tmp_path / "a") as temporary:
        assert names(tmp_path) == [temporary.name]
        leftovers.sweep(tmp_path)
        assert temporary.exists()
    assert names(tmp_path) == ["a"]


def test_sweep_never_removes_other_files(tmp_path: Path) -> None:
    for name in (".edgeau", "edgeau-tmp-1", ".file-abc"):
        (tmp_path / name).write_text("mine")
    leftovers.sweep(tmp_path)
    assert names(tmp_path) == [".edgeau", ".file-abc", "edgeau-tmp-1"]


@pytest.mark.parametrize("name", ["größe.json", "日本.json", os.fsdecode(b"na\xefve\xff.json")])
def test_any_name_that_the_file_system_accepts_works(tmp_path: Path, name: str) -> None:
    write_json(tmp_path / name, {"a": 1})
    assert names(tmp_path) == [name]
