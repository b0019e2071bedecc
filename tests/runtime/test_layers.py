"""The architecture: imports point down only, in every form that Python has, including module names in strings."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Layer -> the other layers that it may refer to.
BELOW = {
    "runtime": set(),
    "train": {"runtime"},
    "export": {"train", "runtime"},
    "optimize": {"runtime"},
    "benchmarks": {"optimize", "runtime"},
}
# Folders that are not part of the product: results, and the studies that made them.
APART = {"results", "studies"}
_MODULE = re.compile(r"edgeau\.\w+(\.\w+)*(:\w+)?")
_ANY_LAYER = "any layer"


def upward_references(source: str, file: str) -> list[str]:
    """Modules of higher layers that a file names, in imports of any form or in a string that is a module's name.

    Args:
        source: the file's text.
        file: its path in the repository, such as ``runtime/cli.py``.
    """
    layer = file.split("/", 1)[0]
    above = set(BELOW) - BELOW[layer] - {layer} | {_ANY_LAYER}
    return [name for name in _named_modules(ast.parse(source), file) if name.split(".")[1] in above]


def _named_modules(tree: ast.AST, file: str) -> Iterator[str]:
    package = ["edgeau", *file.split("/")[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("edgeau."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module.split(".")[0] == "edgeau":
                yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _MODULE.fullmatch(node.value):
            yield node.value.replace(":", ".")
        elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            start = str(node.values[0].value)
            if start == "edgeau.":  # f"edgeau.{layer}"
                yield f"edgeau.{_ANY_LAYER}"
            elif re.fullmatch(r"edgeau\.\w+\..*", start):
                yield start


def test_no_file_refers_upwards() -> None:
    files = [path for layer in BELOW for path in sorted((ROOT / layer).rglob("*.py")) if not APART & {*path.parts}]
    names = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in files}
    assert len(names) > 150
    upward = {name: upward_references(text, name) for name, text in names.items()}
    assert {name: references for name, references in upward.items() if references} == {}


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("runtime/crop_set.py", "import edgeau.train.data"),
        ("runtime/backends/base.py", "from edgeau import optimize"),
        ("runtime/backends/base.py", "from ...optimize import lint"),
        ("runtime/commands/run.py", "def f():\n    from edgeau.train.faces import source"),
        ("runtime/cli.py", "importlib.import_module('edgeau.optimize.lint')"),
        ("runtime/cli.py", "__import__('edgeau.benchmarks')"),
        ("runtime/cli.py", "TABLE = {'synthetic': 'edgeau.train.faces.source'}"),
        ("runtime/cli.py", "TABLE = ['edgeau.train.faces.source:crops']"),
        ("runtime/cli.py", "importlib.import_module(f'edgeau.{layer}')"),
        ("optimize/engine/wheel.py", "importlib.import_module(f'edgeau.train.{name}')"),
        ("optimize/search/search.py", "from edgeau.benchmarks.harness import measure"),
        ("train/qat.py", "import edgeau.export.graph as graph"),
        ("export/package.py", "from edgeau.optimize import lint"),
        ("benchmarks/demo.py", "import_module('edgeau.train.faces')"),
    ],
)
def test_an_upward_reference_is_detected(file: str, line: str) -> None:
    assert upward_references(line + "\n", file) != []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("runtime/cli.py", "from .commands import run"),
        ("runtime/cli.py", "MODULE = 'edgeau.runtime.commands.run'"),
        ("runtime/cli.py", "GROUP = 'edgeau.verbs'"),
        ("optimize/commands/build.py", "from edgeau.runtime.cli import say"),
        ("export/package.py", "from edgeau.train.models import AuModel"),
        ("runtime/cli.py", "'A sentence that names edgeau.train says where something is.'"),
    ],
)
def test_downward_references_are_allowed(file: str, line: str) -> None:
    assert upward_references(line + "\n", file) == []


def test_importing_the_runtime_loads_neither_torch_nor_onnx_nor_a_backend() -> None:
    code = (
        "import sys, edgeau.runtime, edgeau.runtime.cli;"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'openvino', 'tensorrt', 'nncf', 'cv2'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


DEVICE_FILES = ["runtime/**/*.py", "optimize/engine/**/*.py", "*/verbs.py"]


@pytest.mark.parametrize("pattern", [*DEVICE_FILES, "tests/runtime/**/*.py", "tests/optimize/engine/**/*.py"])
def test_code_that_runs_on_a_device_and_its_tests_support_python_3_8(pattern: str) -> None:
    vermin = Path(sys.executable).parent / "vermin"
    if not vermin.exists():
        pytest.skip("vermin is not installed")
    files = [str(path) for path in sorted(ROOT.glob(pattern))]
    assert len(files) >= 4
    command = [str(vermin), "--no-tips", "-t=3.8-", "--violations", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_linter_refuses_an_upward_import() -> None:
    pytest.importorskip("ruff", reason="ruff is not installed")
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
