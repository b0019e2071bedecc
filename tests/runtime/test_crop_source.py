from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeau.runtime import plugins
from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec

SPEC = CropSpec(size_px=16)


def register(monkeypatch: pytest.MonkeyPatch, **sources: Any) -> None:
    points = {name: SimpleNamespace(load=load) for name, load in sources.items()}
    monkeypatch.setattr(plugins, "registered", lambda group: points if group == "edgeau.crop_sources" else {})


def test_a_registered_source_gets_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def grey(options: str, crop: CropSpec, *, limit: Any, seed: int) -> CropSet:
        seen.append((options, crop.size_px, limit, seed))
        faces = np.zeros((2, 16, 16, 3), np.uint8)
        return CropSet(faces, faces, (), np.zeros((2, 0), np.float32), ("", ""), "grey")

    register(monkeypatch, grey=lambda: grey)
    assert len(read_crops("grey:level=3", SPEC, limit=5, seed=7)) == 2
    assert seen == [("level=3", 16, 5, 7)]


def test_a_source_of_another_layer_names_the_extra_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(monkeypatch)
    with pytest.raises(InputError, match=r"no source called synthetic.*pip install 'edgeau\[train\]'"):
        read_crops("synthetic:subjects=1", SPEC)


def test_a_source_whose_library_is_missing_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> Any:
        raise ModuleNotFoundError("No module named 'cv9'", name="cv9")

    register(monkeypatch, synthetic=load)
    with pytest.raises(InputError, match=r"cv9 is not installed.*edgeau\[train\]"):
        read_crops("synthetic:", SPEC)


def test_an_unknown_source_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no source called sythetic, expected .*own:\.\.\., synthetic:\.\.\."):
        read_crops("sythetic:subjects=1", SPEC)


def test_rendering_on_an_old_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeau.train.faces import source

    monkeypatch.setattr(source.sys, "version_info", (3, 8, 18))
    with pytest.raises(InputError, match=r"got Python 3\.8, expected 3\.10 or newer"):
        source.crops("subjects=1,frames=2", SPEC, limit=None, seed=0)


def test_a_folder_with_a_colon_in_its_name_is_read_as_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("synthetic:x").mkdir()
    with pytest.raises(InputError, match="no images"):
        read_crops("synthetic:x", SPEC)
