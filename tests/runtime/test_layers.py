"""What the architecture promises, held by tests besides the lint rule."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_importing_the_runtime_loads_neither_torch_nor_onnx_nor_a_backend() -> None:
    code = (
        "import sys, edgeau.runtime, edgeau.runtime.cli;"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'openvino', 'tensorrt', 'nncf', 'cv2'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", ["runtime", "optimize/engine"])
def test_what_runs_on_a_device_keeps_to_python_3_8(folder: str) -> None:
    files = [str(p) for p in sorted((ROOT / folder).rglob("*.py"))]
    command = [str(Path(sys.executable).parent / "vermin"), "--no-tips", "-t=3.8-", "--violations", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_lint_rule_refuses_an_import_that_points_up(tmp_path: Path) -> None:
    for folder, line in [
        ("runtime", "import torch"),
        ("runtime", "from edgeau.train import models"),
        ("optimize", "from edgeau.benchmarks import harness"),
        ("train", "import edgeau.export"),
    ]:
        command = [sys.executable, "-m", "ruff", "check", "--select", "TID", "--no-cache",
                   "--stdin-filename", str(ROOT / folder / "sample.py"), "-"]  # fmt: skip
        done = subprocess.run(command, input=line + "\n", capture_output=True, text=True, check=False)
        assert "TID251" in done.stdout, (folder, line, done.stdout)
