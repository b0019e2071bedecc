"""Nobody learns from an import that edgeau was used."""

import importlib.util
import os
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


SESSION = """
from edgeau.runtime.backends import open_backend
from edgeau.runtime.package import Package, shipped_package
package = Package.open(shipped_package())
open_backend("onnxruntime", package.read(package.variant("fp32"))).close()
"""


def test_onnx_runtime_keeps_no_events_to_send(tmp_path):
    """ONNX Runtime 1.31.1 writes a device ID and a database of events below the home folder for a session."""
    pytest.importorskip("onnxruntime")
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    environment.update(HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache"))
    subprocess.run([sys.executable, "-c", SESSION], env=environment, check=True)
    assert not [file for file in tmp_path.rglob("*") if "onnxruntime" in str(file).lower()]


def test_what_somebody_else_imported_is_left(monkeypatch):
    from edgeau.runtime.privacy import send_no_telemetry

    theirs = object()
    monkeypatch.setitem(sys.modules, "openvino_telemetry", theirs)
    send_no_telemetry()
    assert sys.modules["openvino_telemetry"] is theirs
