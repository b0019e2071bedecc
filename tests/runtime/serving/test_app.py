import json
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from fakes.serving import ask, ask_whole, bright_analyzer

from edgeau.runtime.errors import BackendError


def test_a_photo_gives_the_same_face_as_the_analyzer(serve, photo):
    status, answer = ask(serve(), "POST", "/analyze", photo)
    assert status == 200
    (face,) = answer["faces"]
    (known,) = bright_analyzer().still(cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR))
    assert face["au"] == pytest.approx(dict(known.au), abs=1e-5)
    assert face["present"] == {"AU01": True, "AU12": False}
    assert face["box_xyxy"] == pytest.approx(known.box_xyxy, abs=0.1)
    assert answer["ms"] > 0


def test_a_picture_without_a_face_gives_an_empty_list(serve):
    blank = cv2.imencode(".png", np.full((80, 80, 3), 127, np.uint8))[1].tobytes()
    assert ask(serve(), "POST", "/analyze", blank)[1]["faces"] == []


def test_a_picture_can_be_uploaded_as_a_form_file(serve, photo):
    boundary, text = "----ü".encode().hex(), b'Content-Disposition: form-data; name="note"\r\n\r\nany text'
    head = b'Content-Disposition: form-data; name="p"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    line = f"--{boundary}".encode()
    body = line + b"\r\n" + text + b"\r\n" + line + b"\r\n" + head + photo + b"\r\n" + line + b"--\r\n"
    port = serve()
    raw = ask(port, "POST", "/analyze", photo)[1]["faces"]
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert ask(port, "POST", "/analyze", body, kind) == (200, {"faces": raw, "ms": pytest.approx(1e5, abs=1e5)})
    two = body.replace(line + b"--", line + b"\r\n" + head + photo + b"\r\n" + line + b"--")
    assert "2 files, expected one" in ask(port, "POST", "/analyze", two, kind)[1]["error"]
    assert ask(port, "POST", "/analyze", body[:-60], kind)[0] in (200, 400)
    assert ask(port, "POST", "/analyze", b"no parts", kind)[0] == 400


def test_video_frames_keep_their_track_ids(serve, photo):
    port = serve(video=True)
    numbers = [ask(port, "POST", "/analyze", photo)[1]["faces"][0]["track_id"] for _ in range(3)]
    assert len(set(numbers)) == 1


def test_sessions_have_independent_track_ids(serve, photo):
    port = serve(bright_analyzer(), bright_analyzer())
    flipped = cv2.imencode(".jpg", cv2.imdecode(np.frombuffer(photo, np.uint8), 1)[:, ::-1])[1].tobytes()

    def number(session, picture):
        return ask(port, "POST", f"/analyze?session={session}", picture)[1]["faces"][0]["track_id"]

    assert [number("a", photo), number("b", photo)] == [0, 0]
    moved = number("a", flipped)
    assert (moved, number("b", photo), number("a", flipped)) == (1, 0, 1)
    assert ask(port, "POST", "/analyze?session=../x", photo)[0] == 400


@pytest.mark.parametrize("body", [b"not a picture", b"\xff\xd8\xff\xe0 truncated", b"\0"])
def test_an_undecodable_picture_is_400_with_one_line(serve, body):
    status, answer = ask(serve(), "POST", "/analyze", body)
    assert status == 400
    assert "can't decode" in answer["error"]
    assert "\n" not in answer["error"]


def test_a_truncated_photo_is_400(serve, photo):
    assert ask(serve(), "POST", "/analyze", photo[:200])[0] == 400


def test_an_empty_body_and_a_missing_length_are_refused(serve):
    port = serve()
    assert ask(port, "POST", "/analyze", b"")[0] == 400
    assert ask(port, "POST", "/analyze", iter([b"x"]), {"Transfer-Encoding": "chunked"})[0] == 411
    assert ask(port, "POST", "/analyze", b"x", {"Content-Length": "-1"})[0] == 400


def test_a_body_too_large_is_413_even_for_a_client_that_sends_it_all_first(serve):
    status, answer = ask(serve(max_bytes=1000), "POST", "/analyze", bytes(20_000_000))
    assert status == 413
    assert "--max-mb" in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/analyze", 405, {"POST"}),
        ("DELETE", "/analyze", 405, {"POST"}),
        ("POST", "/health", 405, {"GET", "HEAD"}),
        ("PUT", "/", 405, {"GET", "HEAD"}),
        ("GET", "/v2/models/bright/infer", 405, {"POST"}),
        ("GET", "/nonsense", 404, None),
        ("POST", "/v2/models/other/infer", 404, None),
        ("GET", "/v2/models/bright/versions/2", 404, None),
    ],
)
def test_other_paths_and_methods_are_refused(serve, method, path, status, allowed):
    got, headers, body = ask_whole(serve(), method, path, b"x" if method == "POST" else None)
    assert got == status
    assert json.loads(body)["error"]
    assert allowed is None or set(headers["allow"].replace(" ", "").split(",")) == allowed


@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/v2", "/v2/models/bright"])
def test_head_gives_the_headers_of_get_without_a_body(serve, path):
    port = serve()
    status, headers, body = ask_whole(port, "HEAD", path)
    assert (status, body) == (200, b"")
    assert headers["content-type"] == ask_whole(port, "GET", path)[1]["content-type"]
    assert int(headers["content-length"]) > 0


def test_health_describes_the_package(serve):
    status, answer = ask(serve(), "GET", "/health")
    assert status == 200
    assert (answer["status"], answer["package"], answer["aus"]) == ("ok", "bright", ["AU01", "AU12"])
    assert answer["meanings"] == {"AU01": "inner brow raiser", "AU12": "lip corner puller"}
    assert answer["thresholds"] == {"AU01": 0.1, "AU12": 0.9}


def test_metrics_count_requests_and_faces_and_prometheus_parses_them(serve, photo):
    port = serve()
    ask(port, "POST", "/analyze", photo)
    ask(port, "POST", "/analyze", b"nonsense")
    text = ask(port, "GET", "/metrics")[1]
    assert 'edgeau_requests_total{status="200"} 1' in text
    assert 'edgeau_requests_total{status="400"} 1' in text
    assert "edgeau_faces_total 1" in text
    # Prometheus' own parser.
    from prometheus_client.parser import text_string_to_metric_families

    families = {family.name: family for family in text_string_to_metric_families(text)}
    counts = [s.value for s in families["edgeau_request_seconds"].samples if s.name.endswith("_count")]
    assert counts == [2.0]
    assert {s.labels["path"] for s in families["edgeau_request_seconds"].samples} == {"/analyze"}
    assert families["edgeau_queue"].samples[0].value == 0
    assert families["edgeau_analysis_seconds"].samples[0].value > 0


def test_many_clients_get_the_same_answer_from_every_worker(serve, photo):
    port = serve(bright_analyzer(), bright_analyzer(), bright_analyzer())
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: ask(port, "POST", "/analyze", photo)[1]["faces"], range(12)))
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0]) == 1


def test_a_backend_error_is_500_and_unhealthy_until_it_works_again(serve, photo):
    analyzer = bright_analyzer()

    def fail(inputs):
        raise BackendError("the GPU is lost to this process; start a new process")

    infer, analyzer.backend.infer = analyzer.backend.infer, fail
    reported = []
    port = serve(analyzer, report=reported.append)
    status, answer = ask(port, "POST", "/analyze", photo)
    assert reported == ["edgeau: the GPU is lost to this process; start a new process"]
    assert (status, answer["error"]) == (500, "the GPU is lost to this process; start a new process")
    # Health checks fail until the backend works again.
    assert ask(port, "GET", "/health")[0] == 503
    assert ask(port, "GET", "/v2/health/ready")[0] == 503
    assert ask(port, "GET", "/v2/health/live")[0] == 200
    analyzer.backend.infer = infer
    assert ask(port, "POST", "/analyze", photo)[0] == 200
    assert ask(port, "GET", "/health")[0] == 200
    assert ask(port, "GET", "/v2/health/ready")[0] == 200
