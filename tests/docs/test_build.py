"""The API reference builds without warnings, and reports missing docstrings and broken references."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("pdoc", reason="pdoc is not installed")
BUILD = Path(__file__).resolve().parents[2] / "docs" / "build.py"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_build", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_reference_builds_and_documents_load(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, BUILD, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "edgeau" / "runtime.html").read_text(encoding="utf-8")
    for words in ("Open a package for use.", "neutral_policy", "__call__", "Analyse the next frame of a video."):
        assert words in page
    assert "edgeau.optimize.lint" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert not (tmp_path / "edgeau" / "runtime" / "crop.html").exists()


SOURCE = '''
"""A module with a function `documented`."""
from dataclasses import dataclass
__all__ = ["Options", "documented", "silent", "wrong"]

@dataclass
class Options:
    """Options.

    Attributes:
        known: described.
    """

    known: int = 0
    unknown: int = 0

    def method(self):
        return 1

def silent():
    pass

def documented(argument):
    """Accept an `argument`."""

def wrong():
    """See `nowhere` and `documented`."""
'''


def test_missing_docstrings_and_broken_references_are_reported(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edgeau_sample.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert sorted(build.check(importlib.import_module("edgeau_sample"))) == [
        "edgeau_sample.Options.method: no docstring",
        "edgeau_sample.Options: field unknown is not described",
        "edgeau_sample.silent: no docstring",
        "edgeau_sample.wrong: `nowhere` names nothing",
    ]
