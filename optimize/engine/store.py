"""An engine into its package: plan, sidecar and manifest, or nothing."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

from edgeau.runtime.engine_file import EngineSidecar, write_sidecar
from edgeau.runtime.leftovers import temporary_folder
from edgeau.runtime.manifest import Parity, Variant
from edgeau.runtime.package import Package

from .job import ENGINES


@dataclass(frozen=True)
class StoredEngine:
    """An engine of a package.

    Attributes:
        package: that now has the engine.
        variant: its entry in the manifest.
        sidecar: what is known of it.
        skipped: one line per precision that the package has no file for.
    """

    package: Package
    variant: Variant
    sidecar: EngineSidecar
    skipped: Tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The plan."""
        return self.package.path / self.variant.file


@contextlib.contextmanager
def workshop(package: Package) -> Iterator[Path]:
    """A folder in the package's ``engines`` for unfinished files, gone when the block ends."""
    (package.path / ENGINES).mkdir(exist_ok=True)
    try:
        with temporary_folder(package.path / ENGINES) as folder:
            yield folder
    finally:
        with contextlib.suppress(OSError):
            (package.path / ENGINES).rmdir()


def store_engine(package: Package, sidecar: EngineSidecar, plan: Path) -> StoredEngine:
    """Put a finished plan into the package under its own name, with its sidecar and an entry in the manifest."""
    variant = Variant(
        name=plan.name[: -len(".engine")],
        file=f"{ENGINES}/{plan.name}",
        sha256="",
        size_bytes=0,
        precision=sidecar.precision,
        backends=("tensorrt",),
        made_by=f"edgeau build, TensorRT {sidecar.tensorrt}",
        made_from=sidecar.made_from,
        parity=sidecar.parity,
        notes=_notes(sidecar),
    )

    def write(path: Path) -> None:
        shutil.copyfile(plan, path)
        write_sidecar(path, sidecar)

    package = package.add_variant(variant, write)
    return StoredEngine(package, package.variant(variant.name), sidecar)


def parity_line(parity: Optional[Parity]) -> str:
    """A parity for a person, in one line."""
    if parity is None:
        return "parity was not measured"
    ratio = "exact" if parity.sqnr_db is None else f"{parity.sqnr_db:.1f} dB"
    flipped = f"{parity.decisions_flipped} of {parity.decisions} decisions flipped"
    errors = f"mean error {parity.mean_abs_error:.2g}, max {parity.max_abs_error:.2g}"
    return f"against {parity.reference} on {parity.samples} crops: {errors}, SQNR {ratio}, {flipped}"


def _notes(sidecar: EngineSidecar) -> Dict[str, Any]:
    keys = ("device", "compute_capability", "tensorrt", "batch", "ladder", "fell_back")
    notes = {key: getattr(sidecar, key) for key in keys}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in notes.items() if value}
