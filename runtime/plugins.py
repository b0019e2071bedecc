"""What the layers above the runtime, and other distributions, add to it: entry points of installed distributions.

The runtime names nothing above it. What is above registers itself in its distribution's metadata (see
``[project.entry-points]`` in pyproject.toml), which is read without importing anything.
"""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Any, Dict


def registered(group: str) -> Dict[str, Any]:
    """Entry points of a group by name; ``.load()`` imports one. Where two have a name, the first on the path wins."""
    if sys.version_info >= (3, 10):
        points: Any = metadata.entry_points(group=group)
    else:
        points = metadata.entry_points().get(group, ())
    by_name: Dict[str, Any] = {}
    for point in points:
        by_name.setdefault(point.name, point)
    return by_name
