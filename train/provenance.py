"""Provenance of a checkpoint: command, seed, data, subjects, commit and versions, as plain values."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .data import FaceData, Split

_HASH_BYTES = 4  # of each name's SHA-256; enough to tell thousands of subjects apart
_NAMING = ("split", "held_out")  # options that name subjects
_LIBRARIES = ("edgeau", "torch", "numpy", "opencv-python")


def provenance(
    data: FaceData, split: Split, seed: int, options: dict[str, Any], started_by: str | None = None
) -> dict[str, Any]:
    """The provenance stored in a checkpoint. A resumed run also has the command that started it, ``started_by``."""
    resumed = {} if started_by in (None, command()) else {"resumed_by": command()}
    return {
        "command": started_by or command(),
        **resumed,
        "seed": seed,
        "data": [describe_source(origin) for origin in data.origins],
        "subjects": {"train": list(split.train), "val": list(split.val), "test": list(split.test)},
        "options": options,
        "commit": commit(),
        "versions": versions(),
    }


def without_names(made: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance whose subjects are counted and hashed, which `used_subjects` still recognises, instead of named."""
    if "subjects" not in made:
        return dict(made)
    subjects = {
        part: {"count": len(names), "hashes": base64.b64encode(b"".join(sorted(map(_hash, names)))).decode()}
        for part, names in made["subjects"].items()
    }
    options = {name: value for name, value in made.get("options", {}).items() if name not in _NAMING}
    return {**made, "subjects": subjects, **({"options": options} if options else {})}


def used_subjects(made: Mapping[str, Any]) -> Callable[[str], bool]:
    """Tells whether training or validation used a subject, from a checkpoint's or a package's provenance."""
    parts = [made.get("subjects", {}).get(part, ()) for part in ("train", "val")]
    hashes: set[bytes] = set()
    for part in parts:
        if isinstance(part, Mapping):
            packed = base64.b64decode(part["hashes"])
            hashes |= {packed[i : i + _HASH_BYTES] for i in range(0, len(packed), _HASH_BYTES)}
        else:
            hashes |= set(map(_hash, part))
    return lambda subject: _hash(subject) in hashes


def _hash(subject: str) -> bytes:
    return hashlib.sha256(subject.encode()).digest()[:_HASH_BYTES]


def command() -> str:
    """The current command line, quoted for a shell."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def describe_source(origin: str) -> dict[str, Any]:
    """The specification of a data source, and its generator if its index names one."""
    index = Path(origin) / "index.json"
    if not index.is_file():
        return {"spec": origin}
    generator = json.loads(index.read_text(encoding="utf-8")).get("generator")
    return {"spec": origin, "generator": generator}


def commit() -> str | None:
    """The commit of this code, marked if there are uncommitted changes; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that affect the numbers."""
    installed = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed
