"""No library that edgeau imports reports its use."""

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
def test_importing_openvino_or_nncf_forks_no_telemetry_process(library, imports):
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


def test_onnx_runtime_stores_no_telemetry_events(tmp_path):
    """By default a session of ONNX Runtime 1.31.1 stores a device ID and a database of events in the home folder."""
    pytest.importorskip("onnxruntime")
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    environment.update(HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache"))
    subprocess.run([sys.executable, "-c", SESSION], env=environment, check=True)
    assert not [file for file in tmp_path.rglob("*") if "onnxruntime" in str(file).lower()]


def test_a_telemetry_module_imported_by_other_code_is_left_alone(monkeypatch):
    from edgeau.runtime.privacy import send_no_telemetry

    theirs = object()
    monkeypatch.setitem(sys.modules, "openvino_telemetry", theirs)
    send_no_telemetry()
    assert sys.modules["openvino_telemetry"] is theirs
