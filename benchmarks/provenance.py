"""Where a figure comes from: versions, commit, date."""

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
    "cuda-python",
    "pycuda",
    "onnx",
    "nncf",
    "opencv-python",
)


@dataclass(frozen=True)
class Provenance:
    """What made a figure, and when.

    Attributes:
        python: version of Python.
        versions: of the libraries that are installed and could matter, by name.
        commit: of the source tree, with ``-dirty`` where files differ from it; None for an installed wheel.
        date: UTC, ISO 8601.
    """

    python: str
    versions: dict[str, str]
    commit: str | None
    date: str


def provenance() -> Provenance:
    """Of this moment and this process."""
    return Provenance(
        python=platform.python_version(),
        versions=installed_versions(),
        commit=source_commit(),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


def installed_versions() -> dict[str, str]:
    """Versions of LIBRARIES that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def source_commit() -> str | None:
    """The commit of the checkout that this code runs from, None where it is none of ours."""
    folder = Path(__file__).resolve().parent
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top is None or Path(top) != folder.parent:
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    dirty = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if commit and dirty else commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
