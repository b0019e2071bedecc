"""A wheel of the edgeau that is running, made from its own files: no build tool and no network."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Dict, Iterable, List, Tuple

from edgeau.runtime.cli import GROUP as VERBS
from edgeau.runtime.errors import EngineError, InputError
from edgeau.runtime.files import PathLike, atomic_path

NEEDED = "edgeau/optimize/engine/install.py"
_LEFT_OUT = {"__pycache__", "results", "ruff.toml"}
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_wheel(folder: PathLike) -> Path:
    """Write ``edgeau-VERSION-py3-none-any.whl`` into a folder and return its path.

    Raises:
        EngineError: this edgeau runs from files without an installation, so that its version is not known.
    """
    distribution = _installed()
    stem = f"edgeau-{distribution.version}"
    files = _sources(_layers(distribution))
    info = f"{stem}.dist-info"
    files[f"{info}/METADATA"] = (distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or "").encode(
        "utf-8"
    )
    files[f"{info}/entry_points.txt"] = (distribution.read_text("entry_points.txt") or "").encode("utf-8")
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: edgeau\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    target = Path(folder) / f"{stem}-py3-none-any.whl"
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), files[name], zipfile.ZIP_DEFLATED)
    return target


def check_wheel(path: PathLike) -> Path:
    """The path of a wheel. Raises InputError if it is no wheel of an edgeau that can install a bundle."""
    wheel = Path(path)
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"wheel {wheel}", got=str(error), expected="a wheel of edgeau") from error
    if NEEDED not in names:
        raise InputError(f"wheel {wheel}", got=f"no {NEEDED} in it", expected="a wheel of this edgeau or a later one")
    return wheel


def _installed() -> metadata.Distribution:
    """The installed edgeau. Metadata that an older build left in a checkout names no verbs, and is passed over."""
    for distribution in metadata.distributions(name="edgeau"):
        if any(point.group == VERBS for point in distribution.entry_points):
            return distribution
    raise EngineError(
        "no wheel can be made of an edgeau that is not installed; type pip install . in its folder, or give --wheel"
    )


def _layers(distribution: metadata.Distribution) -> List[str]:
    """The installed ones of edgeau's layers: the packages that its entry points name, such as ``edgeau.runtime``."""
    names = {".".join(point.value.split(":")[0].split(".")[:2]) for point in distribution.entry_points}
    return [name for name in sorted(names) if find_spec(name) is not None]


def _sources(layers: Iterable[str]) -> Dict[str, bytes]:
    """Every file of these packages by its name in the wheel."""
    files: Dict[str, bytes] = {}
    for layer in layers:
        folder = Path(next(iter(import_module(layer).__path__)))
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            if path.is_file() and not _LEFT_OUT.intersection(parts):
                files["/".join((*layer.split("."), *parts))] = path.read_bytes()
    return files


def _record(files: Dict[str, bytes], own_name: str) -> bytes:
    lines: List[Tuple[str, str, str]] = [
        (name, "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("="), str(len(data)))
        for name, data in sorted(files.items())
    ]
    lines.append((own_name, "", ""))
    return ("\n".join(",".join(line) for line in lines) + "\n").encode("utf-8")
