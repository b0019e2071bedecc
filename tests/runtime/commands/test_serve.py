import os
import re
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from fakes.serving import ask, bright_analyzer, running

from edgeau.runtime.cli import main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--max-mb", "0"], "more than 0"),
        (["-p", "/no/such.edgeau"], "no such folder"),
        (["--neutral", "/no/such.jpg"], "image /no/such.jpg"),
        (["--host", "no such host.invalid"], "address no such host.invalid:0"),
    ],
)
def test_invalid_arguments_are_a_one_line_error_with_exit_code_2(capsys, arguments, says):
    assert main(["serve", "--port", "0", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


@pytest.mark.parametrize("module", ["starlette", "uvicorn", "prometheus_client", "python_multipart"])
def test_a_missing_library_names_the_extra_to_install(module):
    code = (
        f"import sys; sys.modules[{module!r}] = None;"
        "from edgeau.runtime.cli import main; sys.exit(main(['serve', '--port', '0']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    expected = f"edgeau: `edgeau serve` needs {module}, which is not installed; type: pip install 'edgeau[serve]'\n"
    assert done.stderr == expected


def test_a_port_in_use_is_refused_with_a_hint(monkeypatch, capsys):
    import edgeau.runtime

    analyzer = bright_analyzer()
    analyzer.choice = NAMED
    monkeypatch.setattr(edgeau.runtime, "load", lambda *_, **__: analyzer)
    with running() as server:
        assert main(["serve", "--port", str(server.address[1])]) == 2
    assert "--port" in capsys.readouterr().err


class NAMED:
    variant, backend = "fp32", "fake"


PROGRAM = """
import sys
from types import SimpleNamespace
sys.path.insert(0, {folder!r})
import edgeau.runtime
from fakes.serving import bright_analyzer
def load(*_, **__):
    analyzer = bright_analyzer()
    analyzer.choice = SimpleNamespace(variant="fp32", backend="fake", reading="fp32 on fake")
    return analyzer
edgeau.runtime.load = load
from edgeau.runtime.cli import main
sys.exit(main(["serve", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_with_exit_code_0(photo_bgr, number):
    program = PROGRAM.format(folder=os.path.join(os.path.dirname(__file__), "..", ".."))
    command = [sys.executable, "-c", program, "--port", "0", "--workers", "2"]
    photo = cv2.imencode(".jpg", photo_bgr)[1].tobytes()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        lines = iter(process.stderr.readline, "")
        port = next(int(m.group(1)) for m in (re.search(r"http://127\.0\.0\.1:(\d+)", line) for line in lines) if m)
        assert ask(port, "POST", "/analyze", photo)[0] == 200
        # A small file that needs much memory when decoded: refused before that.
        vast = cv2.imencode(".png", np.zeros((8200, 8200), np.uint8))[1].tobytes()
        assert ask(port, "POST", "/analyze", vast)[0] == 400
        process.send_signal(number)
        assert process.wait(timeout=30) == 0
        assert process.stderr.read().splitlines()[-1:] == ["finishing requests in progress"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_ends_a_server_of_processes_with_exit_code_0(photo_bgr, number):
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from edgeau.runtime.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--workers", "2", "--processes"]
    photo = cv2.imencode(".jpg", photo_bgr)[1].tobytes()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        lines = iter(process.stderr.readline, "")
        port = next(int(m.group(1)) for m in (re.search(r"http://127\.0\.0\.1:(\d+)", line) for line in lines) if m)
        assert ask(port, "POST", "/analyze", photo)[0] == 200
        os.killpg(process.pid, number)
        assert process.wait(timeout=30) == 0
        assert process.stderr.read().splitlines()[-1:] == ["finishing requests in progress"]
    assert _is_gone(process.pid)


def _is_gone(group: int, within_s: float = 20) -> bool:
    """Whether no process of a group is left; Python's own helper ends a little after the process that it helps."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
