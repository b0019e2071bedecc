"""Fixtures shared by the tests of all layers: a real photo, and optional data beside the repository."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from edgeau.runtime.privacy import send_no_telemetry

send_no_telemetry()

# The result of a property test must not depend on the speed or load of the machine.
settings.register_profile("any-speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache, detector and board out of the tests."""
    monkeypatch.setenv("EDGEAU_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("EDGEAU_YUNET", raising=False)
    monkeypatch.delenv("EDGEAU_BOARD", raising=False)


@pytest.fixture(scope="session")
def photo_bgr() -> np.ndarray:
    """uint8 [512, 512, 3], BGR: one frontal, smiling woman (NASA, public domain)."""
    import skimage.data

    return np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Optional large test data: EDGEAU_DATA, or shared/data beside the repository."""
    folder = Path(os.environ.get("EDGEAU_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no test data: set EDGEAU_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def yunet_path(data_folder: Path) -> Path:
    file = data_folder / "models" / "face_detection_yunet_2023mar.onnx"
    if not file.is_file():
        pytest.skip(f"{file.name} is not in the test data")
    return file


@pytest.fixture(scope="session")
def clip_path(data_folder: Path) -> Path:
    file = data_folder / "video" / "woman_expressions_640x360.mp4"
    if not file.is_file():
        pytest.skip(f"{file.name} is not in the test data")
    return file


@pytest.fixture
def machine_tree(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """A function that writes files below a folder that serves as a machine's root."""

    def write(files: dict[str, str]) -> Path:
        root = tmp_path / "machine"
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return root

    return write


@pytest.fixture(scope="session")
def interruptible_edgeau() -> list[str]:
    """The command line in a separate process, which signals reach even if this process was started to ignore them."""
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "signal.signal(signal.SIGHUP, signal.SIG_DFL); signal.signal(signal.SIGTERM, signal.SIG_DFL); "
        "from edgeau.runtime.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    return [sys.executable, "-c", code]
