"""The version of the running edgeau. It is written only in pyproject.toml."""

from __future__ import annotations

from importlib import metadata

UNKNOWN = "0+unknown"


def installed_version(distribution: str = "edgeau") -> str:
    """The version in a distribution's metadata; ``0+unknown`` if the files run without an installation."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return UNKNOWN


__version__ = installed_version()
