"""A model package on disk: a folder with manifest.json and the variants' files.

Every change is atomic: a file arrives whole, under a name that no variant has, before the manifest names it. Writers
take turns by a lock, and each changes the manifest that it finds. So an interrupted run leaves the package as it was,
and two runs at a time lose nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import shutil
import stat
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Tuple

from .decode import parse_json
from .errors import InputError, PackageError
from .files import PathLike, sha256_file, sync, write_json
from .folders import Contents, FolderKind, atomic_folder, check_folder, recover
from .leftovers import temporary_folder
from .manifest import Manifest, Variant
from .manifest_rules import read_manifest
from .model_file import ModelFile, onnx_problem, read_model_file

MANIFEST = "manifest.json"
PARITY_FILE = "parity.npz"  # optional: see parity_crops
SHIPPED = Path(__file__).parent / "packages"
_LOCK = ".edgeau-lock"
_LARGEST_MANIFEST = 64 << 20
# What may be beside the variants: parity crops, sidecars and reports of engines, timings of the builder, the detector.
_BESIDE = (PARITY_FILE, "engines/*.engine.json", "engines/*.report.json", "engines/*.timing", "detector/*")


def _contents(manifest: bytes) -> Optional[Contents]:
    value = parse_json(manifest, MANIFEST)
    if not {"schema_version", "family", "aus", "variants"} <= set(value):
        return None
    return Contents([str(variant["file"]) for variant in value["variants"]], [_LOCK, "engines/", "detector/", *_BESIDE])


# Notes names of files that are removed unless the manifest names them in the end.
Journal = Callable[[List[str]], None]

PACKAGE = FolderKind("model package", MANIFEST, _contents)


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
        recover(folder)
        file = folder / MANIFEST
        if not folder.exists():
            raise InputError(f"package {folder}", got="no such folder", expected="a folder made by `edgeau export`")
        if not file.is_file():
            raise InputError(
                f"package {folder}", got=f"no {MANIFEST} in it", expected="a folder made by `edgeau export`"
            )
        return cls(folder, _read_manifest(file))

    @classmethod
    def create(
        cls, path: PathLike, manifest: Manifest, files: Callable[[Path], Manifest], *inputs: PathLike
    ) -> Package:
        """Write a new package whole or not at all.

        Args:
            path: the folder to make; an older package there is replaced once the new one is complete.
            manifest: the manifest to start from.
            files: called with the temporary folder; writes the variants there and returns the manifest that names them.
            inputs: what is read meanwhile, which ``path`` must not be.

        Raises:
            InputError: at ``path`` there is something else than a whole package; it is left as it is.
            PackageError: the manifest would not be read again, such as for its name.
        """
        with atomic_folder(path, PACKAGE, *inputs) as folder:
            manifest = files(folder)
            write_json(folder / MANIFEST, manifest.to_json())
            _read_manifest(folder / MANIFEST)
        return cls.open(path)

    @staticmethod
    def check_output(path: PathLike, *inputs: PathLike) -> None:
        """Raise InputError where ``create`` would refuse to write. Call it before long work."""
        check_folder(path, PACKAGE, *inputs)

    def variant(self, name: str) -> Variant:
        """The variant of that name. Raises PackageError."""
        return self.manifest.variant(name)

    def file(self, variant: Variant, *, verify: bool = True) -> Path:
        """Path of a variant's file, whose hash is compared with the manifest's. Raises PackageError.

        What is to be loaded on a backend is read with ``read``, so that it can't change after it was verified.
        """
        path = self.path / variant.file
        if not path.is_file():
            raise PackageError(f"{path} is named in the manifest but missing; export or quantize the package again")
        if verify:
            self._verified(path, variant)
        return path

    def read(self, variant: Variant) -> ModelFile:
        """A variant's bytes, verified: what was checked is what is loaded. Raises PackageError."""
        return self._verified(self.file(variant, verify=False), variant)

    def _verified(self, path: Path, variant: Variant) -> ModelFile:
        file = read_model_file(path, variant.sha256, variant.size_bytes)
        problem = onnx_problem(file, partial=True) if path.suffix == ".onnx" else None
        if problem is not None:
            raise PackageError(f"{path} {problem}")
        return file

    def verify(self) -> None:
        """Compare every file with the manifest. Raises PackageError for the first that differs."""
        for variant in self.manifest.variants:
            self.file(variant)

    def add_variant(self, variant: Variant, write: Callable[[Path], None]) -> Package:
        """Write a variant's file, then the manifest that names it. A variant of that name is replaced.

        The new file has the name ``variant.file``. Where other bytes have that name, eight digits of its hash are put
        before the suffix, so that the file of the variant that is replaced stays until the manifest names the new one.
        What the manifest says of measurements with the replaced variant is forgotten.

        Args:
            variant: its description; ``file`` (where taken), ``sha256`` and ``size_bytes`` are filled in here.
            write: called with a temporary path of the same name on which to write the file. It may write files beside
                it whose names begin with that name, such as ``NAME.engine.json``.
        """
        with temporary_folder(self.path) as work:
            temporary = work / Path(variant.file).name
            write(temporary)
            digest, size = sha256_file(temporary), temporary.stat().st_size
            with self._locked() as (manifest, journal):
                replaced = [v.file for v in manifest.variants if v.name == variant.name]
                name = self._place(sorted(work.iterdir()), variant.file, digest, replaced, journal)
                variant = dataclasses.replace(variant, file=name, sha256=digest, size_bytes=size)
                selection = {d: c for d, c in manifest.selection.items() if not replaced or c.variant != variant.name}
                changed = dataclasses.replace(manifest.with_variant(variant), selection=selection)
                write_json(self.path / MANIFEST, changed.to_json())
        return Package(self.path, changed)

    def update(self, change: Callable[[Manifest], Manifest]) -> Package:
        """Change the manifest on disk, which may have changed since this package was read, and return the package."""
        with self._locked() as (manifest, _):
            changed = change(manifest)
            write_json(self.path / MANIFEST, changed.to_json())
        return Package(self.path, changed)

    def with_manifest(self, manifest: Manifest) -> Package:
        """Replace the manifest on disk, whatever it is by now, and return the package that has it."""
        return self.update(lambda _: manifest)

    def copy_files(self, folder: Path) -> None:
        """Copy the manifest, the variants' files and what belongs beside them into an empty folder.

        Raises:
            PackageError: a variant's file is missing or altered.
        """
        shutil.copyfile(self.path / MANIFEST, folder / MANIFEST)
        for variant in self.manifest.variants:
            target = folder / variant.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.read(variant).data)
        for file in (file for pattern in _BESIDE for file in self.files_beside(pattern)):
            target = folder / file.relative_to(self.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)

    def files_beside(self, pattern: str) -> List[Path]:
        """Regular files in the package that match a pattern, such as ``engines/*.timing``.

        No hash says what they hold, so those that are links to elsewhere are left out: a copy would give away files
        that are not the package's.
        """
        here = os.path.realpath(self.path) + os.sep
        files = sorted(self.path.glob(pattern))
        return [file for file in files if file.is_file() and os.path.realpath(file).startswith(here)]

    def copy_to(self, path: PathLike) -> Package:
        """Copy this package whole, so that a read-only one (the shipped one) can be worked on."""

        def files(folder: Path) -> Manifest:
            self.copy_files(folder)
            return self.manifest

        return Package.create(path, self.manifest, files, self.path)

    def _place(self, files: List[Path], file: str, digest: str, replaced: List[str], journal: Journal) -> str:
        """Move a variant's file and those beside it into the package, and return its name there."""
        if replaced and len(files) == 1 and self._has(replaced[0], digest):
            return replaced[0]
        name = self._free_name(file, digest)
        names = {source: name + source.name[len(Path(file).name) :] for source in files}
        journal([*replaced, *names.values()])
        for source, target in names.items():
            (self.path / target).parent.mkdir(exist_ok=True)
            sync(source)
            os.replace(source, self.path / target)
        return name

    def _has(self, file: str, digest: str) -> bool:
        path = self.path / file
        return path.is_file() and sha256_file(path) == digest

    def _free_name(self, file: str, digest: str) -> str:
        if not os.path.lexists(self.path / file):
            return file
        stem, dot, suffix = file.rpartition(".")
        return f"{stem}.{digest[:8]}{dot}{suffix}"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Tuple[Manifest, Journal]]:
        """Hold the package's lock; yield the manifest on disk, and a function that notes names in the journal.

        The journal is the lock's file. It names files that are removed at the end, or by the next one to take the lock,
        unless the manifest names them by then: the new files of a change that failed, the old ones of one that did not.
        Its first line is its own inode, so that a journal that came with a copy of the package is not obeyed.
        """
        path = self.path / _LOCK
        handle = _take_lock(path)
        try:
            own = str(os.fstat(handle).st_ino)
            first, *left = os.read(handle, 1 << 20).decode("utf-8", "replace").split("\n")
            self._remove_unnamed(left if first == own else [])
            os.ftruncate(handle, 0)
            names: List[str] = []

            def journal(noted: List[str]) -> None:
                names.extend(noted)
                os.pwrite(handle, "".join(f"{name}\n" for name in (own, *names)).encode("utf-8"), 0)
                os.fsync(handle)

            try:
                yield _read_manifest(self.path / MANIFEST), journal
            finally:
                self._remove_unnamed(names)
                path.unlink()
        finally:
            os.close(handle)

    def _remove_unnamed(self, names: List[str]) -> None:
        if not names:
            return
        named = [variant.file for variant in _read_manifest(self.path / MANIFEST).variants]
        here = os.path.realpath(self.path)
        for name in names:
            # A sidecar belongs to its engine.
            inside = os.path.realpath(self.path / name).startswith(here + os.sep)
            if inside and not any(name == file or name.startswith(file + ".") for file in named):
                for file in (self.path / name, self.path / (name + ".json")):
                    with contextlib.suppress(OSError):
                        file.unlink()


def _take_lock(path: Path) -> int:
    """Open and lock a file that others may remove when they are done with it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise PackageError(f"{path} must be a regular file, and is none; remove it")
        fcntl.flock(handle, fcntl.LOCK_EX)
        if path.exists() and os.path.samestat(os.fstat(handle), os.stat(path)):
            return handle
        os.close(handle)


def _read_manifest(file: Path) -> Manifest:
    if file.stat().st_size > _LARGEST_MANIFEST:
        raise PackageError(f"{file} is larger than {_LARGEST_MANIFEST >> 20} MB, so it is no manifest of edgeau")
    return read_manifest(parse_json(file.read_bytes(), str(file)))


def shipped_package(name: Optional[str] = None) -> Path:
    """Folder of the package that ships with edgeau. Raises PackageError where the installation lacks it."""
    folders = sorted(SHIPPED.glob("*.edgeau"))
    if name is not None:
        folders = [f for f in folders if f.stem == name]
    if not folders:
        raise PackageError(f"no shipped package {name or ''} in {SHIPPED}; install edgeau again")
    return folders[0]
