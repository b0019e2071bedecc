"""Where a checkpoint comes from: command, seed, data, subjects, commit and versions, as plain values."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .data import FaceData, Split

_LIBRARIES = ("edgeau", "torch", "numpy", "opencv-python")


def provenance(data: FaceData, split: Split, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint keeps of its making."""
    return {
        "command": command(),
        "seed": seed,
        "data": [describe_source(origin) for origin in data.origins],
        "subjects": {"train": list(split.train), "val": list(split.val), "test": list(split.test)},
        "options": options,
        "commit": commit(),
        "versions": versions(),
    }


def command() -> str:
    """The command line that is running, as it would be typed."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def describe_source(origin: str) -> dict[str, Any]:
    """The specification of a data source, and what made it where its index says so."""
    index = Path(origin) / "index.json"
    if not index.is_file():
        return {"spec": origin}
    generator = json.loads(index.read_text(encoding="utf-8")).get("generator")
    return {"spec": origin, "generator": generator}


def commit() -> str | None:
    """The commit that this code is at, marked where files were changed; None outside a checkout."""
    asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide the numbers."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
