from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgeau.runtime.errors import InputError, PackageError
from edgeau.runtime.manifest import InputSpec, Manifest, Variant
from edgeau.runtime.package import Package

EMPTY = Manifest("tiny", "imported", ("AU12",), (0.5,), (InputSpec("face", 8, 8),))
FP32 = Variant("fp32", "fp32.onnx", "", 0, "fp32", ("onnxruntime",))


@pytest.fixture
def package(tmp_path: Path) -> Package:
    made = Package.create(tmp_path / "tiny.edgeau", EMPTY, lambda folder: EMPTY)
    return made.add_variant(FP32, lambda path: _write(path, b"weights"))


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def test_an_added_variant_is_described_and_verified(package: Package) -> None:
    again = Package.open(package.path)
    assert again.variant("fp32").size_bytes == 7
    again.verify()


@pytest.mark.parametrize("damage", [b"weightS", b"weight", b""])
def test_a_flipped_or_missing_byte_is_refused(package: Package, damage: bytes) -> None:
    (package.path / "fp32.onnx").write_bytes(damage)
    with pytest.raises(PackageError, match=r"fp32\.onnx differs from the SHA-256"):
        package.file(package.variant("fp32"))


def test_a_missing_file_is_named(package: Package) -> None:
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


def test_what_is_no_package_gives_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Package.open(tmp_path / "absent")
    with pytest.raises(InputError, match=r"no manifest\.json"):
        Package.open(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema_version": 1, "na')
    with pytest.raises(PackageError, match="not readable JSON"):
        Package.open(tmp_path)


def test_a_copy_is_the_same_package(package: Package, tmp_path: Path) -> None:
    copy = package.copy_to(tmp_path / "copy.edgeau")
    copy.verify()
    assert copy.manifest == package.manifest
