"""The public API. Names that are added or removed here belong in CHANGELOG.md."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import edgeau.runtime
from edgeau.runtime import cli
from edgeau.runtime.version import UNKNOWN, installed_version

ROOT = Path(__file__).resolve().parent.parent

# Modules that are not in this table may change in any release.
PUBLIC_NAMES = {
    "edgeau.runtime": """
        Analyzer BackendError Choice CropSpec EdgeauError EngineError Face Faces HeadPose InputError Manifest
        MissingExtraError Package PackageError StageTimes __version__ crop_face load""",
    "edgeau.runtime.backends": "BACKEND_NAMES Backend BackendOptions FakeBackend lower_precisions missing open_backend",
    "edgeau.runtime.detect": """
        Detection Detector HaarDetector OpenCvYuNet YuNetDetector default_detector make_detector""",
    "edgeau.optimize.engine": "BuilderSettings MakeOptions build_on_host make_bundle make_engine",
    "edgeau.optimize.finish": "FinishError FinishResult Note PassReport finish passes_for stages",
    "edgeau.optimize.importing": "ImportOptions Wrapping import_model",
    "edgeau.optimize.lint": "RULES Finding FixResult Rule describe fix lint read_onnx render report",
    "edgeau.optimize.quantization.quantize": "QuantizeOptions quantize_package",
    "edgeau.export.package": "ExportOptions export_package",
    "edgeau.train.models": "FAMILIES PRESETS AuModel ModelConfig ModelOutput build_model resolve_model",
}


@pytest.mark.parametrize("module_name", PUBLIC_NAMES)
def test_a_public_module_has_exactly_its_public_names(module_name: str) -> None:
    module = importlib.import_module(module_name)
    assert sorted(module.__all__) == sorted(PUBLIC_NAMES[module_name].split())
    for name in module.__all__:
        assert hasattr(module, name), name


def test_every_module_with_all_is_in_the_table() -> None:
    layers = ("runtime", "optimize", "export", "train", "benchmarks")
    files = [path for layer in layers for path in sorted((ROOT / layer).rglob("*.py")) if "results" not in path.parts]
    listing = [path for path in files if re.search(r"^__all__ =", path.read_text(encoding="utf-8"), re.MULTILINE)]
    modules = (path.relative_to(ROOT).with_suffix("").parts for path in listing)
    assert {".".join(("edgeau", *parts)).replace(".__init__", "") for parts in modules} == set(PUBLIC_NAMES)


def test_the_version_is_that_of_pyproject(capsys: pytest.CaptureFixture[str]) -> None:
    assert edgeau.runtime.__version__ == pyproject_version()
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"edgeau {pyproject_version()}\n"


def test_the_version_without_an_installation_is_unknown() -> None:
    assert installed_version("no-such-distribution") == UNKNOWN


def test_changelog_and_citation_have_the_current_version() -> None:
    newest = re.search(r"^## \[(.+?)\] - (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == pyproject_version()
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited is not None
    assert cited[1] == pyproject_version()


def pyproject_version() -> str:
    match = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert match is not None
    return match[1]
