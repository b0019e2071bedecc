from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgeau.runtime import leftovers
from edgeau.runtime.errors import InputError, PackageError
from edgeau.runtime.manifest import InputSpec, Manifest, Variant
from edgeau.runtime.package import Package
from edgeau.runtime.selection import Selection

EMPTY = Manifest("tiny", "imported", ("AU12",), (0.5,), (InputSpec("face", 8, 8),))
FP32 = Variant("fp32", "fp32.onnx", "", 0, "fp32", ("onnxruntime",))


@pytest.fixture
def package(tmp_path: Path) -> Package:
    created = Package.create(tmp_path / "tiny.edgeau", EMPTY, lambda folder: EMPTY)
    return created.add_variant(FP32, lambda path: _write(path, b"weights"))


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def test_an_added_variant_is_described_and_verified(package: Package) -> None:
    again = Package.open(package.path)
    assert again.variant("fp32").size_bytes == 7
    again.verify()


@pytest.mark.parametrize("damage", [b"weightS", b"weight", b""])
def test_altered_or_truncated_files_are_refused(package: Package, damage: bytes) -> None:
    (package.path / "fp32.onnx").write_bytes(damage)
    with pytest.raises(PackageError, match=r"fp32\.onnx differs from the SHA-256"):
        package.file(package.variant("fp32"))


def test_the_error_names_a_missing_file(package: Package) -> None:
    (package.path / "fp32.onnx").unlink()
    with pytest.raises(PackageError, match=r"fp32\.onnx is named in the manifest but missing"):
        package.verify()


def test_an_interrupted_addition_changes_nothing(package: Package) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    before = (package.path / "manifest.json").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        package.add_variant(dataclasses.replace(FP32, name="int8", file="int8.onnx"), fail)
    assert sorted(p.name for p in package.path.iterdir()) == ["fp32.onnx", "manifest.json"]
    assert (package.path / "manifest.json").read_bytes() == before


def test_an_interrupted_creation_leaves_no_folder(tmp_path: Path) -> None:
    def fail(folder: Path) -> Manifest:
        (folder / "half.onnx").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Package.create(tmp_path / "new.edgeau", EMPTY, fail)
    assert list(tmp_path.iterdir()) == []


def test_open_refuses_a_folder_that_is_not_a_package(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Package.open(tmp_path / "absent")
    with pytest.raises(InputError, match=r"no manifest\.json"):
        Package.open(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema_version": 1, "na')
    with pytest.raises(PackageError, match="not readable JSON"):
        Package.open(tmp_path)


def test_a_copy_has_the_same_manifest(package: Package, tmp_path: Path) -> None:
    copy = package.copy_to(tmp_path / "copy.edgeau")
    copy.verify()
    assert copy.manifest == package.manifest


def again(package: Package, data: bytes) -> Package:
    return package.add_variant(FP32, lambda path: _write(path, data))


def test_a_replaced_variant_gets_a_new_file_name_while_the_old_file_is_needed(package: Package) -> None:
    second = again(package, b"second")
    name = second.variant("fp32").file
    assert name.startswith("fp32.")
    assert name.endswith(".onnx")
    assert sorted(p.name for p in package.path.iterdir()) == sorted([name, "manifest.json"])
    assert again(second, b"third").variant("fp32").file == "fp32.onnx"


def test_a_full_disk_between_file_and_manifest_changes_nothing(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, value: object) -> None:
        raise OSError(28, "No space left on device")

    before = (package.path / "manifest.json").read_bytes()
    monkeypatch.setattr("edgeau.runtime.package.write_json", full)
    with pytest.raises(OSError, match="No space"):
        again(package, b"second")
    assert sorted(p.name for p in package.path.iterdir()) == ["fp32.onnx", "manifest.json"]
    assert (package.path / "manifest.json").read_bytes() == before
    Package.open(package.path).verify()


@pytest.mark.parametrize("at", ["edgeau.runtime.package.sync", "edgeau.runtime.package.write_json"])
def test_a_kill_between_file_and_manifest_leaves_a_valid_package_and_is_cleaned_up(package: Package, at: str) -> None:
    code = f"""
import os, signal, sys
from pathlib import Path
from unittest import mock
from edgeau.runtime.package import Package
def killed(*_): os.kill(os.getpid(), signal.SIGKILL)
package = Package.open(sys.argv[1])
with mock.patch({at!r}, killed):
    package.add_variant(package.variant("fp32"), lambda path: path.write_bytes(b"second") and None)
"""
    result = subprocess.run([sys.executable, "-c", code, str(package.path)], check=False)
    assert result.returncode == -signal.SIGKILL
    Package.open(package.path).verify()
    other = dataclasses.replace(FP32, name="int8", file="int8.onnx")
    leftovers._swept.clear()
    Package.open(package.path).add_variant(other, lambda path: _write(path, b"int8"))
    assert sorted(p.name for p in package.path.iterdir()) == ["fp32.onnx", "int8.onnx", "manifest.json"]


def test_concurrent_writers_lose_no_variant(package: Package) -> None:
    def add(number: int) -> None:
        variant = dataclasses.replace(FP32, name=f"v{number}", file=f"v{number}.onnx")
        package.add_variant(variant, lambda path: _write(path, bytes([number])))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    opened = Package.open(package.path)
    assert {v.name for v in opened.manifest.variants} == {"fp32", *(f"v{n}" for n in range(24))}
    opened.verify()


def test_replacing_a_variant_drops_its_measurements(package: Package) -> None:
    chosen = {"here": Selection("fp32", "onnxruntime"), "there": Selection("int8", "onnxruntime")}
    measured = package.update(lambda manifest: dataclasses.replace(manifest, selection=chosen))
    assert set(again(measured, b"second").manifest.selection) == {"there"}


def test_an_engine_and_its_sidecar_are_replaced_together(package: Package) -> None:
    engine = dataclasses.replace(FP32, name="e", file="engines/e.engine", backends=("tensorrt",))

    def write(text: bytes) -> Callable[[Path], None]:
        def both(path: Path) -> None:
            path.write_bytes(text)
            path.with_name(path.name + ".json").write_bytes(text)

        return both

    for text in (b"one", b"two"):
        package = package.add_variant(engine, write(text))
        (file, sidecar) = sorted((package.path / "engines").iterdir())
        assert (file.read_bytes(), sidecar.read_bytes()) == (text, text)
        assert sidecar.name == file.name + ".json"


def test_a_hostile_journal_deletes_nothing_outside_the_package(package: Package, tmp_path: Path) -> None:
    victims = [tmp_path / "thesis.txt", package.path / "fp32.onnx"]
    victims[0].write_text("years of work")
    (package.path / "link").symlink_to(tmp_path)
    lines = [str(victims[0]), "../thesis.txt", "link/thesis.txt", "fp32.onnx", ""]
    (package.path / ".edgeau-lock").write_text("\n".join(lines))
    Package.open(package.path).update(lambda manifest: manifest)
    assert [v.exists() for v in victims] == [True, True]


@pytest.mark.parametrize("name", ["manifest.json", "manifest", "notes.txt", "parity.npz", "a\0b"])
def test_a_hostile_journal_deletes_no_file_of_the_package(package: Package, name: str) -> None:
    (package.path / "notes.txt").write_text("of the user")
    before = sorted(os.listdir(package.path))
    (package.path / ".edgeau-lock").write_text(f"12\n{name}\n")
    Package.open(package.path).update(lambda manifest: manifest)
    assert sorted(os.listdir(package.path)) == before


def test_a_lock_that_is_a_fifo_is_refused_without_blocking(package: Package) -> None:
    os.mkfifo(package.path / ".edgeau-lock")
    with pytest.raises(PackageError, match="must be a regular file"):
        package.update(lambda manifest: manifest)


@pytest.mark.parametrize("target", ["secret.txt", "/dev/zero"])
def test_a_copy_includes_nothing_from_outside_the_package(package: Package, tmp_path: Path, target: str) -> None:
    (tmp_path / "secret.txt").write_text("a key")
    (package.path / "engines").mkdir()
    (package.path / "engines" / "own.timing").write_text("timings")
    for name in ("parity.npz", "engines/a.timing", "engines/a.engine.json"):
        (package.path / name).symlink_to(tmp_path / target)
    os.mkfifo(package.path / "engines" / "b.timing")
    copy = package.copy_to(tmp_path / "copy.edgeau")
    assert sorted(p.name for p in copy.path.rglob("*") if p.is_file()) == ["fp32.onnx", "manifest.json", "own.timing"]


def test_a_copy_of_an_altered_file_is_refused(package: Package, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("a key")
    (package.path / "fp32.onnx").unlink()
    (package.path / "fp32.onnx").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(PackageError, match="differs from the SHA-256"):
        package.copy_to(tmp_path / "copy.edgeau")
    assert not (tmp_path / "copy.edgeau").exists()


def test_an_invalid_manifest_is_not_written(package: Package, tmp_path: Path) -> None:
    manifest = dataclasses.replace(package.manifest, name="two\nlines")
    with pytest.raises(PackageError, match="name must be a line of text"):
        Package.create(tmp_path / "new.edgeau", manifest, lambda folder: manifest)
    assert sorted(os.listdir(tmp_path)) == ["tiny.edgeau"]


def test_a_package_replaces_a_package_and_nothing_else(package: Package, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.txt in it, which is no model package"):
        package.copy_to(home)
    assert (home / "thesis.txt").read_text() == "years of work"
    for _ in range(2):
        package.copy_to(tmp_path / "copy.edgeau").verify()
    (tmp_path / "copy.edgeau" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="which edgeau did not write"):
        package.copy_to(tmp_path / "copy.edgeau")
    with pytest.raises(InputError, match="the input itself"):
        package.copy_to(package.path)
