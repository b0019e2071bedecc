"""A model package on disk: a folder with manifest.json and the variants' files.

Every change is atomic: a file arrives whole before the manifest names it, so an interrupted run leaves the package as
it was.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Callable, Optional

from .errors import InputError, PackageError
from .files import PathLike, atomic_folder, atomic_path, sha256_file, write_json
from .manifest import Manifest, Variant

MANIFEST = "manifest.json"
PARITY_FILE = "parity.npz"  # optional: see parity_crops
SHIPPED = Path(__file__).parent / "packages"


class Package:
    """A package that has been read.

    Attributes:
        path: its folder.
        manifest: what it says of itself.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: PathLike) -> Package:
        """Read a package's manifest. Raises InputError where there is none, PackageError where it is damaged."""
        folder = Path(path)
        file = folder / MANIFEST
        if not folder.exists():
            raise InputError(f"package {folder}", got="no such folder", expected="a folder made by `edgeau export`")
        if not file.is_file():
            raise InputError(
                f"package {folder}", got=f"no {MANIFEST} in it", expected="a folder made by `edgeau export`"
            )
        try:
            value = json.loads(file.read_bytes().decode("utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise PackageError(f"{file} is not readable JSON ({error}); export the package again") from error
        return cls(folder, Manifest.from_json(value))

    @classmethod
    def create(cls, path: PathLike, manifest: Manifest, files: Callable[[Path], Manifest]) -> Package:
        """Write a new package whole or not at all.

        Args:
            path: the folder to make; an older package there is replaced once the new one is complete.
            manifest: the manifest to start from.
            files: called with the temporary folder; writes the variants there and returns the manifest that names them.
        """
        with atomic_folder(path) as folder:
            manifest = files(folder)
            write_json(folder / MANIFEST, manifest.to_json())
        return cls.open(path)

    def variant(self, name: str) -> Variant:
        """The variant of that name. Raises PackageError."""
        return self.manifest.variant(name)

    def file(self, variant: Variant, *, verify: bool = True) -> Path:
        """Path of a variant's file, whose hash is compared with the manifest's. Raises PackageError."""
        path = self.path / variant.file
        if not path.is_file():
            raise PackageError(f"{path} is named in the manifest but missing; export or quantize the package again")
        if verify and sha256_file(path) != variant.sha256:
            raise PackageError(
                f"{path} differs from the SHA-256 in its manifest (altered or truncated); "
                "fetch the package again, or remake this variant"
            )
        return path

    def verify(self) -> None:
        """Compare every file with the manifest. Raises PackageError for the first that differs."""
        for variant in self.manifest.variants:
            self.file(variant)

    def add_variant(self, variant: Variant, write: Callable[[Path], None]) -> Package:
        """Write a variant's file, then the manifest that names it.

        Args:
            variant: its description; ``sha256`` and ``size_bytes`` are filled in here.
            write: called with a temporary path on which to write the file.
        """
        target = self.path / variant.file
        with atomic_path(target) as temporary:
            write(temporary)
            variant = dataclasses.replace(variant, sha256=sha256_file(temporary), size_bytes=temporary.stat().st_size)
        return self.with_manifest(self.manifest.with_variant(variant))

    def with_manifest(self, manifest: Manifest) -> Package:
        """Replace the manifest on disk and return the package that has it."""
        write_json(self.path / MANIFEST, manifest.to_json())
        return Package(self.path, manifest)

    def copy_to(self, path: PathLike) -> Package:
        """Copy this package whole, so that a read-only one (the shipped one) can be worked on."""
        import shutil

        def files(folder: Path) -> Manifest:
            shutil.copytree(self.path, folder, dirs_exist_ok=True)
            return self.manifest

        return Package.create(path, self.manifest, files)


def shipped_package(name: Optional[str] = None) -> Path:
    """Folder of the package that ships with edgeau. Raises PackageError where the installation lacks it."""
    folders = sorted(SHIPPED.glob("*.edgeau"))
    if name is not None:
        folders = [f for f in folders if f.stem == name]
    if not folders:
        raise PackageError(f"no shipped package {name or ''} in {SHIPPED}; install edgeau again")
    return folders[0]
