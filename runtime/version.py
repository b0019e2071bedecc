"""The version of the edgeau that is running. pyproject.toml is the only place that it is written in."""

from __future__ import annotations

from importlib import metadata

UNKNOWN = "0+unknown"


def installed_version(distribution: str = "edgeau") -> str:
    """The version in a distribution's metadata; ``0+unknown`` where the files run without an installation."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return UNKNOWN


__version__ = installed_version()
