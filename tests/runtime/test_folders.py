from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edgeau.runtime import folders, leftovers
from edgeau.runtime.errors import InputError
from edgeau.runtime.folders import Contents, FolderKind, atomic_folder, check_folder, claim_folder, recover


def contents(marker: bytes) -> Contents | None:
    value = json.loads(marker)
    return Contents(value["files"], ("extra/*.log",)) if value["format"] == "toy" else None


TOY = FolderKind("toy", "toy.json", contents)


@pytest.fixture(autouse=True)
def _sweep_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_swept", set())


@pytest.fixture(params=["exchange", "two renames"])
def _replacement(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to replace the old folder."""
    if request.param == "two renames":
        monkeypatch.setattr(folders, "_exchange", lambda one, other: False)


def write(folder: Path, text: str, *names: str) -> None:
    (folder / "toy.json").write_text(json.dumps({"format": "toy", "files": names}))
    for name in names:
        (folder / name).write_text(text)


def state(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.usefixtures("_replacement")
def test_a_folder_is_replaced_as_a_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with atomic_folder(tmp_path / "toy", TOY) as temporary:
            write(temporary, name, name)
        (tmp_path / "toy").chmod(0o750)
    assert set(state(tmp_path / "toy")) == {"toy.json", "b"}
    assert stat.S_IMODE((tmp_path / "toy").stat().st_mode) == 0o750
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]


@pytest.mark.usefixtures("_replacement")
def test_a_failed_write_leaves_the_old_folder(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "toy", TOY) as temporary:
        write(temporary, "old", "a")
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "toy", TOY) as temporary:
        write(temporary, "new", "a")
        raise KeyboardInterrupt
    assert (tmp_path / "toy" / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]


@pytest.mark.parametrize(
    "damage",
    ["thesis.txt", "notes/thesis.txt", "empty/", "toy.json", "no toy.json", "broken toy.json", "missing a", "a file"],
)
def test_a_folder_that_is_not_entirely_ours_is_refused_and_left_untouched(tmp_path: Path, damage: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    write(home, "old", "a")
    if damage == "a file":
        home = home / "a"
    elif damage == "missing a":
        (home / "a").unlink()
    elif damage == "no toy.json":
        (home / "toy.json").unlink()
    elif damage.endswith("toy.json"):
        (home / "toy.json").write_text('{"format": "other"}' if damage == "toy.json" else "[[[")
    elif damage.endswith("/"):
        (home / damage).mkdir()
    else:
        (home / damage).parent.mkdir(exist_ok=True)
        (home / damage).write_text("years of work")
    before = state(tmp_path)
    with pytest.raises(InputError, match="nothing was changed"), atomic_folder(home, TOY):
        pytest.fail("the block was entered")
    assert state(tmp_path) == before


@pytest.mark.usefixtures("_replacement")
def test_a_file_added_during_the_write_is_not_lost(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "toy", TOY) as temporary:
        write(temporary, "old", "a")
    with pytest.raises((InputError, OSError)), atomic_folder(tmp_path / "toy", TOY) as temporary:
        write(temporary, "new", "a")
        (tmp_path / "toy" / "thesis.txt").write_text("years of work")
    assert (tmp_path / "toy" / "thesis.txt").read_text() == "years of work"
    assert (tmp_path / "toy" / "a").read_text() == "old"


def test_an_empty_folder_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    with atomic_folder(tmp_path / "toy", TOY) as temporary:
        write(temporary, "new", "a")
    assert (tmp_path / "toy" / "a").read_text() == "new"


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for _ in range(2):
        with atomic_folder(tmp_path / "link", TOY) as temporary:
            write(temporary, "new", "a")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_text() == "new"


@pytest.mark.parametrize("after", [1, 2])
def test_recover_after_a_kill_between_renames_restores_the_old_or_new_folder(tmp_path: Path, after: int) -> None:
    """The file system has no exchange, and the process is killed after the first or the second rename."""
    write_old = tmp_path / "toy"
    write_old.mkdir()
    write(write_old, "old", "a")
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from edgeau.runtime import folders
import json
folders._exchange = lambda one, other: False
rename, calls = os.rename, []
def killed(a, b):
    rename(a, b); calls.append(1)
    if len(calls) == {after}: os.kill(os.getpid(), signal.SIGKILL)
os.rename = killed
kind = folders.FolderKind("toy", "toy.json", lambda b: folders.Contents(json.loads(b)["files"]))
with folders.atomic_folder({str(write_old)!r}, kind) as new:
    (new / "a").write_text("new"); (new / "toy.json").write_text('{{"format": "toy", "files": ["a"]}}')
"""
    result = subprocess.run([sys.executable, "-c", code], check=False)
    assert result.returncode == -signal.SIGKILL
    recover(write_old)
    assert (write_old / "a").read_text() == ("old" if after == 1 else "new")
    with atomic_folder(write_old, TOY) as temporary:
        write(temporary, "third", "a")
    assert (write_old / "a").read_text() == "third"
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".edgeau-old")] == ["toy"]


def test_an_output_inside_the_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="inside the input"), atomic_folder(tmp_path / "a" / "b", TOY, tmp_path):
        pytest.fail("the block was entered")


def test_a_folder_is_claimed_only_if_it_is_empty_or_ours(tmp_path: Path) -> None:
    claim_folder(tmp_path / "new", TOY)
    claim_folder(tmp_path / "new", TOY)
    (tmp_path / "new" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.txt"):
        claim_folder(tmp_path / "new", TOY)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="a file"):
        claim_folder(tmp_path / "file", TOY)


def test_the_root_folder_is_refused() -> None:
    with pytest.raises(InputError, match=r"output /: got a folder with .* in it, which is no"):
        check_folder("/", TOY)


def test_a_foreign_folder_is_refused_without_walking_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "thesis.txt").write_text("years of work")
    walked = []
    walk = os.walk
    monkeypatch.setattr(
        os, "walk", lambda folder, *rest: (walked.append(each[0]) or each for each in walk(folder, *rest))
    )
    with pytest.raises(InputError, match=r"a folder with a/thesis\.txt in it"):
        check_folder(tmp_path, TOY)
    # Before Python 3.12 os.walk is recursive, so a folder is recorded several times.
    assert list(dict.fromkeys(walked)) == [str(tmp_path), str(tmp_path / "a")]


def test_exchange_swaps_two_folders_where_the_kernel_supports_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(name)
    if not folders._exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip(f"no renameat2 on {os.uname().release} here")
    assert (tmp_path / "a" / "name").read_text() == "b"
