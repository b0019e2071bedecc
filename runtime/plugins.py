"""Entry points with which higher layers and other distributions extend the runtime.

The runtime names no layer above it. Those layers register themselves in their distribution's metadata (see
``[project.entry-points]`` in pyproject.toml), which is read without importing anything.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any, Dict


def registered(group: str) -> Dict[str, Any]:
    """Entry points of a group by name; ``.load()`` imports one. If two share a name, the first on the path wins.

    All metadata on the path is read. ``metadata.entry_points`` would read the first of each distribution only, and an
    ``edgeau.egg-info`` that an older build left in a checkout would hide what is installed.
    """
    by_name: Dict[str, Any] = {}
    for distribution in metadata.distributions():
        for point in distribution.entry_points:
            if point.group == group:
                by_name.setdefault(point.name, point)
    return by_name
