"""Entry points as importlib.metadata reads them from real folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeau.runtime.plugins import registered


def metadata_folder(folder: Path, entry_points: str) -> None:
    (folder / "edgeau.egg-info").mkdir(parents=True)
    (folder / "edgeau.egg-info" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: edgeau\nVersion: 0.0.1\n")
    (folder / "edgeau.egg-info" / "entry_points.txt").write_text(entry_points)


def test_names_come_from_the_installed_metadata() -> None:
    assert registered("edgeau.crop_sources")["synthetic"].value == "edgeau.train.faces.source:crops"
    assert registered("edgeau.no_such_group") == {}


def test_stale_metadata_in_a_checkout_does_not_hide_installed_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata_folder(tmp_path, "[console_scripts]\nedgeau = edgeau.runtime.cli:main\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert set(registered("edgeau.verbs")) >= {"train", "export", "optimize", "benchmarks"}


def test_the_first_distribution_on_the_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata_folder(tmp_path, "[edgeau.crop_sources]\nsynthetic = mine:crops\nother = mine:others\n")
    monkeypatch.syspath_prepend(tmp_path)
    sources = registered("edgeau.crop_sources")
    assert (sources["synthetic"].value, sources["other"].value) == ("mine:crops", "mine:others")
