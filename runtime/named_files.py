"""Files by the names that labels give them, which often come from another system.

Windows separates folders by backslashes and takes no notice of case; macOS stores umlauts in two characters.
"""

from __future__ import annotations

import os
import unicodedata
from functools import cached_property
from pathlib import Path
from typing import Dict, List


def name_key(name: str) -> str:
    """Names that another system takes for the same have the same key."""
    path = os.path.normpath(name.replace("\\", "/")).replace(os.sep, "/")
    return unicodedata.normalize("NFC", path).casefold()


class NamedFiles:
    """The files below a folder, found by their exact path or by one that another system takes for the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Path:
        """The file of a name relative to the folder; the path as it stands if there is none, or more than one."""
        file = self._folder / name
        if file.is_file():
            return file
        matches = self._by_key.get(name_key(name), [])
        return matches[0] if len(matches) == 1 else file

    @cached_property
    def _by_key(self) -> Dict[str, List[Path]]:
        """Every file by its key; listed only once a name is not found as it stands."""
        files: Dict[str, List[Path]] = {}
        for place, _, names in os.walk(self._folder):
            here = os.path.relpath(place, self._folder)
            for name in names:
                files.setdefault(name_key(os.path.join(here, name)), []).append(Path(place) / name)
        return files
