"""Nobody learns from an import that edgeau was used."""

import importlib.util
import subprocess
import sys

import pytest

FORKS = """
import os, sys, threading
os.register_at_fork(before=lambda: os._exit(3))
{imports}
for thread in threading.enumerate():
    if thread is not threading.main_thread() and not thread.daemon:
        thread.join(5)
assert sys.modules["openvino_telemetry"] is None
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "imports"),
    [
        ("openvino", "import edgeau.runtime.backends.openvino"),
        ("nncf", "import edgeau.optimize.quantization.nncf_quantize, nncf"),
    ],
)
def test_importing_what_reports_its_use_starts_no_process_that_does(library, imports):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    done = subprocess.run([sys.executable, "-c", FORKS.format(imports=imports)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_somebody_else_imported_is_left(monkeypatch):
    from edgeau.runtime.privacy import send_no_telemetry

    theirs = object()
    monkeypatch.setitem(sys.modules, "openvino_telemetry", theirs)
    send_no_telemetry()
    assert sys.modules["openvino_telemetry"] is theirs
