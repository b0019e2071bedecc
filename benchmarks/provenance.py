"""Where a measurement comes from: versions, commit, date."""

from __future__ import annotations

import datetime
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

LIBRARIES = (
    "edgeau",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
    "torch",
    "cuda-python",
    "pycuda",
    "onnx",
    "nncf",
    "opencv-python",
)


@dataclass(frozen=True)
class Provenance:
    """The software that made a measurement, and when.

    Attributes:
        python: version of Python.
        versions: of the installed libraries that can affect a measurement, by name.
        commit: of the source tree, with ``-dirty`` if files differ from it; None for an installed wheel.
        date: UTC, ISO 8601.
    """

    python: str
    versions: dict[str, str]
    commit: str | None
    date: str


def provenance() -> Provenance:
    """The provenance of a measurement made now in this process."""
    return Provenance(
        python=platform.python_version(),
        versions=installed_versions(),
        commit=source_commit(),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


def installed_versions() -> dict[str, str]:
    """Versions of the installed LIBRARIES."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def source_commit(checkout: Path = Path(__file__).resolve().parent.parent) -> str | None:
    """The commit of a checkout, by default the one that this code runs from; None if the folder is none."""
    top = _git(checkout, "rev-parse", "--show-toplevel")
    if top is None or Path(top) != checkout:
        return None
    commit = _git(checkout, "rev-parse", "HEAD")
    dirty = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if commit and dirty else commit


def commit_date(checkout: Path, commit: str) -> str | None:
    """When a commit of a checkout was made, ISO 8601; None if it has no such commit."""
    return _git(checkout, "show", "--no-patch", "--format=%cI", commit)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
