"""The wheel: its contents, and analysing a photo with it in a clean environment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("build", reason="build is not installed")
ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("runtime", "optimize", "export", "train", "benchmarks")
# Folders of a layer that are not shipped: results, and the scripts that produced them.
NOT_SHIPPED = {"benchmarks/results", "benchmarks/studies"}
# One package and its parity crops: 1.9 MB; all code: 0.5 MB.
LARGEST_WHEEL_BYTES = 3_000_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel built from it, of a copy of this checkout."""
    copy = tmp_path_factory.mktemp("checkout") / "edgeau"
    unwanted = shutil.ignore_patterns("__pycache__", ".*", "build", "dist", "demo", "results", "*.egg-info")
    shutil.copytree(ROOT, copy, ignore=unwanted, symlinks=True)
    out = copy / "dist"
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, copy]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return out


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return next(dist.glob("*.whl"))


def test_the_wheel_contains_every_module_of_the_layers_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {f"edgeau/{file.relative_to(ROOT)}" for layer in LAYERS for file in (ROOT / layer).rglob("*.py")}
    left_out = {name for name in modules if "/".join(name.split("/")[1:3]) in NOT_SHIPPED}
    assert {name for name in names if name.endswith(".py")} == modules - left_out
    others = {Path(name).suffix for name in names if not name.endswith(".py")}
    assert others == {".typed", ".sh", ".json", ".onnx", ".npz", ".html"}
    assert wheel.stat().st_size < LARGEST_WHEEL_BYTES


def test_the_sdist_contains_what_a_packager_needs(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "tests/conftest.py", "docs/build.py"):
        assert name in names


def test_a_photo_is_analysed_in_a_clean_environment(wheel: Path, photo_bgr: np.ndarray, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment)
    python = environment / "bin" / "python"
    # Dependencies are linked instead of downloaded, so the test needs no network and takes seconds.
    installed = Path(np.__file__).parent.parent
    (site,) = environment.glob("lib/python*/site-packages")
    for pattern in ("numpy", "numpy.libs", "numpy-*.dist-info", "cv2", "opencv_python*.libs", "onnxruntime"):
        for folder in installed.glob(pattern):
            (site / folder.name).symlink_to(folder)
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-compile", wheel]
    subprocess.run(pip, check=True)

    def edgeau(*arguments: str) -> str:
        command = [str(environment / "bin" / "edgeau"), *arguments]
        clean = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}  # no PYTHONPATH
        done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert edgeau("--version") == f"edgeau {metadata.version('edgeau')}\n"
    cv2.imwrite(str(tmp_path / "photo.png"), photo_bgr)
    (face,) = (json.loads(line) for line in edgeau("run", "photo.png", "--format", "jsonl").splitlines())
    assert face["AU12"] > 0.5
