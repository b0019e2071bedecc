"""Variants made for a search: within its time, with its crops, and without leaving files behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time

import numpy as np
import pytest

from edgeau.optimize.search import missing_variants as variants
from edgeau.optimize.search.missing_variants import MissingVariants, add_variants, missing_variants
from edgeau.runtime.crop_set import spread
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.package import Package


class _Clock:
    """Replaces the module `time`: time stands still until a condition holds and is then up."""

    def __init__(self, over):
        self._over = over

    def monotonic(self):
        return float("inf") if self._over() else 0.0


@pytest.fixture
def lacking(calibration, evaluation):
    return MissingVariants(str(calibration), str(evaluation), ("onnxruntime", "openvino"), False, 12, 20, 0)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files of this process and its children."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def instead_of_nncf(tmp_path, monkeypatch):
    """A function that replaces NNCF by code that a worker runs on import."""

    def write(code):
        library = tmp_path / "library"
        library.mkdir()
        (library / "nncf.py").write_text(code)
        monkeypatch.syspath_prepend(str(library))

    return write


def test_only_variants_that_the_search_can_run_are_made(package, calibration, monkeypatch):
    monkeypatch.setattr(variants, "missing", lambda backend: None)
    flavours = missing_variants(package, str(calibration), None, 12, 20, 0).flavours
    assert flavours == ("onnxruntime", "openvino", "tensorrt")


def test_evaluation_samples_of_the_search_include_a_rare_au(package, calibration, make_data, tmp_path):
    data = make_data(60, seed=4)
    rare = next(row for row in spread(60, 40) if row not in spread(60, 20))
    data["au"][:, 3] = np.where(np.arange(60) == rare, 5.0, 0.0)
    np.savez(tmp_path / "rare.npz", **data)
    lacking = MissingVariants(str(calibration), str(tmp_path / "rare.npz"), (), True, 20, 40, 0)
    extended, left_out = add_variants(package, lacking, time.monotonic() + 300, lambda _: None)
    assert [variant.name for variant in extended.manifest.variants] == ["fp32", "fp16"]
    assert left_out == {}


@pytest.mark.slow
def test_variants_finished_before_the_deadline_are_kept(package, lacking, monkeypatch):
    lines = []
    monkeypatch.setattr(variants, "time", _Clock(lambda: "finishing for openvino" in lines))
    extended, left_out = add_variants(package, lacking, 1.0, lines.append)
    assert [variant.name for variant in extended.manifest.variants] == ["fp32", "int8-ort"]
    assert set(left_out) == {"int8-openvino"}
    extended.verify()


@pytest.mark.slow
def test_a_terminated_worker_leaves_no_files(package, lacking, temporary, monkeypatch):
    monkeypatch.setattr(variants, "_POLL_S", 0.001)
    monkeypatch.setattr(variants, "time", _Clock(lambda: any(temporary.rglob("model.onnx"))))
    _, left_out = add_variants(package, lacking, 1.0, lambda _: None)
    assert set(left_out) == {"int8-ort", "int8-openvino"}
    assert list(temporary.glob("edgeau-*")) == []


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        ("OSError(28, 'No space left on device')", r"OSError: .*No space left on device"),
        ("ModuleNotFoundError('No module', name='nncf')", r"needs nncf, .* pip install 'edgeau\[optimize\]'"),
        ("ValueError('first\\nsecond')", r"ValueError: first second"),
    ],
)
def test_any_error_of_a_worker_is_one_line(package, lacking, instead_of_nncf, capfd, raised, words):
    instead_of_nncf(f"raise {raised}\n")
    with pytest.raises(EdgeauError, match=words) as failed:
        add_variants(package, lacking, time.monotonic() + 300, lambda _: None)
    assert "\n" not in str(failed.value)
    assert capfd.readouterr().err == ""
    assert len(Package.open(package.path).manifest.variants) == 1


def test_ctrl_c_is_ignored_by_workers(package, lacking, instead_of_nncf):
    instead_of_nncf("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise OSError('went on')\n")
    with pytest.raises(EdgeauError, match="went on"):
        add_variants(package, lacking, time.monotonic() + 300, lambda _: None)


def test_ctrl_c_is_one_line_and_leaves_nothing(package, calibration, temporary, interruptible_edgeau, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    command = [*interruptible_edgeau, "optimize", str(package.path), "--calib", str(calibration), "--minutes", "2"]
    running = subprocess.Popen(
        [*command, "-o", str(out / "tuned.edgeau")], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    lines = iter(running.stderr.readline, "")
    assert any("calibrating" in line for line in lines)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the parent and its worker
    errors = running.communicate(timeout=30)[1]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 130
    assert errors.splitlines()[-1] == "edgeau: interrupted; nothing half-written was left behind"
    assert "Traceback" not in errors
    assert list(out.iterdir()) == []
    assert list(temporary.glob("edgeau-*")) == []
