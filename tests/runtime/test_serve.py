import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from edgeau.runtime.analyzer import Analyzer
from edgeau.runtime.backends import FakeBackend
from edgeau.runtime.cli import main
from edgeau.runtime.errors import BackendError
from edgeau.runtime.manifest import CropSpec, InputSpec, Manifest
from edgeau.runtime.server import AnalysisServer, ServerOptions

skimage_data = pytest.importorskip("skimage.data", reason="scikit-image is not installed, and has the photo")


def make_analyzer():
    """The real detector and crop, with a backend that gives the crop's brightness."""
    from edgeau.runtime.detect import HaarDetector

    manifest = Manifest(
        name="bright", family="imported", aus=("AU01", "AU12"), thresholds=(0.1, 0.9),
        inputs=(InputSpec("face", 64, 64),), crop=CropSpec(size_px=64),
    )  # fmt: skip
    return Analyzer(manifest, FakeBackend({"face": (64, 64, 3)}, 2), HaarDetector())


@pytest.fixture
def serve():
    """A function that starts a server on a free port, and stops it after the test."""
    started = []

    def start(analyzer=None, report=print, **options):
        server = AnalysisServer(("127.0.0.1", 0), analyzer or make_analyzer(), ServerOptions(**options), report)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started.append((server, thread))
        return server.server_address[1]

    yield start
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, (json.loads(data) if "json" in answer.getheader("Content-Type", "") else data.decode())


@pytest.fixture(scope="module")
def photo():
    """The astronaut as JPEG."""
    return cv2.imencode(".jpg", cv2.cvtColor(skimage_data.astronaut(), cv2.COLOR_RGB2BGR))[1].tobytes()


def test_a_photo_gives_its_face_as_the_analyzer_does(serve, photo):
    status, answer = ask(serve(), "POST", "/analyze", photo)
    assert status == 200
    (face,) = answer["faces"]
    (known,) = make_analyzer().still(cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR))
    assert face["au"] == pytest.approx(dict(known.au), abs=1e-5)
    assert face["present"] == {"AU01": True, "AU12": False}
    assert face["box_xyxy"] == pytest.approx(known.box_xyxy, abs=0.1)
    assert answer["ms"] > 0


def test_a_picture_without_a_face_is_an_empty_list(serve):
    blank = cv2.imencode(".png", np.full((80, 80, 3), 127, np.uint8))[1].tobytes()
    assert ask(serve(), "POST", "/analyze", blank)[1]["faces"] == []


def test_frames_of_one_camera_keep_their_face_numbers(serve, photo):
    port = serve(video=True)
    numbers = [ask(port, "POST", "/analyze", photo)[1]["faces"][0]["track_id"] for _ in range(3)]
    assert len(set(numbers)) == 1


@pytest.mark.parametrize("body", [b"not a picture", b"\xff\xd8\xff\xe0 truncated", b"\0"])
def test_what_is_no_picture_is_400_with_one_line(serve, body):
    status, answer = ask(serve(), "POST", "/analyze", body)
    assert status == 400
    assert "can't decode" in answer["error"]
    assert "\n" not in answer["error"]


def test_a_truncated_photo_is_400_or_its_readable_part(serve, photo):
    assert ask(serve(), "POST", "/analyze", photo[:200])[0] == 400


def test_an_empty_body_and_a_missing_length_are_refused(serve):
    port = serve()
    assert ask(port, "POST", "/analyze", b"")[0] == 400
    assert ask(port, "POST", "/analyze", iter([b"x"]), {"Transfer-Encoding": "chunked"})[0] == 411
    assert ask(port, "POST", "/analyze", b"x", {"Content-Length": "-1"})[0] == 400


def test_too_large_a_picture_is_refused_before_it_is_read(serve):
    port = serve(max_bytes=1000)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(
            b"POST /analyze HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\nExpect: 100-continue\r\n\r\n"
        )
        answer = client.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 413")
    assert "--max-mb" in answer


def test_a_client_that_waits_for_100_is_told_to_go_on(serve, photo):
    with socket.create_connection(("127.0.0.1", serve()), timeout=10) as client:
        head = f"POST /analyze HTTP/1.1\r\nHost: x\r\nContent-Length: {len(photo)}\r\nExpect: 100-continue\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(photo)
        assert client.makefile("rb").readline().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/analyze", 405), ("GET", "/", 404), ("POST", "/health", 404), ("DELETE", "/analyze", 501)],
)
def test_other_paths_and_methods_are_refused(serve, method, path, status):
    assert ask(serve(), method, path, b"x" if method == "POST" else None)[0] == status


def test_health_says_what_runs(serve):
    status, answer = ask(serve(), "GET", "/health")
    assert status == 200
    assert (answer["status"], answer["package"], answer["aus"]) == ("ok", "bright", ["AU01", "AU12"])


def test_metrics_count_answers_and_faces(serve, photo):
    port = serve()
    ask(port, "POST", "/analyze", photo)
    ask(port, "POST", "/analyze", b"nonsense")
    text = ask(port, "GET", "/metrics")[1]
    assert 'edgeau_requests_total{status="200"} 1' in text
    assert 'edgeau_requests_total{status="400"} 1' in text
    assert "edgeau_faces_total 1" in text


def test_many_clients_get_the_same_answer(serve, photo):
    port = serve()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(port, "POST", "/analyze", photo)[1]["faces"], range(6)))
    assert all(answer == answers[0] for answer in answers)


def test_a_client_that_goes_away_does_not_stop_the_server(serve, photo):
    port = serve(timeout_s=0.2)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST /analyze HTTP/1.1\r\nContent-Length: 5000\r\n\r\nonly this")
    assert ask(port, "POST", "/analyze", photo)[0] == 200


def test_a_backend_that_fails_is_500_with_one_line(serve, photo):
    analyzer = make_analyzer()

    def fail(inputs):
        raise BackendError("the GPU is lost to this process; start a new process")

    infer, analyzer.backend.infer = analyzer.backend.infer, fail
    reported = []
    port = serve(analyzer, report=reported.append)
    status, answer = ask(port, "POST", "/analyze", photo)
    assert reported == ["edgeau: the GPU is lost to this process; start a new process"]
    assert (status, answer["error"]) == (500, "the GPU is lost to this process; start a new process")
    # Whoever watches over the process sees it, until the backend works again.
    assert ask(port, "GET", "/health")[0] == 503
    analyzer.backend.infer = infer
    assert ask(port, "POST", "/analyze", photo)[0] == 200
    assert ask(port, "GET", "/health")[0] == 200


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--max-mb", "0"], "more than 0"),
        (["-p", "/no/such.edgeau"], "no such folder"),
        (["--neutral", "/no/such.jpg"], "image /no/such.jpg"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(capsys, arguments, says):
    assert main(["serve", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


PROGRAM = """
import sys
import edgeau.runtime, edgeau.runtime.choose
from types import SimpleNamespace
def load(*a, **k):
    sys.path.insert(0, {folder!r})
    from test_serve import make_analyzer
    analyzer = make_analyzer()
    analyzer.choice = SimpleNamespace(variant="fp32", backend="fake")
    return analyzer
edgeau.runtime.load = load
from edgeau.runtime.cli import main
sys.exit(main(["serve", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_code_0(photo, number):
    program = PROGRAM.format(folder=os.path.dirname(__file__))
    with subprocess.Popen(
        [sys.executable, "-c", program, "--port", "0"], stderr=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        lines = iter(process.stderr.readline, "")
        port = next(int(m.group(1)) for m in (re.search(r"http://127\.0\.0\.1:(\d+)", line) for line in lines) if m)
        assert ask(port, "POST", "/analyze", photo)[0] == 200
        # Small to send and large to hold: refused before it is unpacked.
        vast = cv2.imencode(".png", np.zeros((8200, 8200), np.uint8))[1].tobytes()
        assert ask(port, "POST", "/analyze", vast)[0] == 400
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_port_that_is_taken_names_the_hint(serve, monkeypatch, capsys):
    port = serve()
    import edgeau.runtime

    monkeypatch.setattr(edgeau.runtime, "load", lambda *_, **__: make_analyzer())
    assert main(["serve", "--port", str(port)]) == 2
    assert "--port" in capsys.readouterr().err
