"""Workers that are processes, with the shipped package: the same answers as in threads, whatever dies meanwhile."""

from __future__ import annotations

import json
import os
import signal

import cv2
import numpy as np
import pytest
from fakes.serving import ask

from edgeau.runtime import load
from edgeau.runtime.errors import BackendError, InputError, PackageError
from edgeau.runtime.serving.pictures import check_picture
from edgeau.runtime.serving.process import ProcessAnalyzer

pytest.importorskip("onnxruntime")
HAAR = {"package": None, "detector": "haar", "threads": 1}


@pytest.fixture(scope="module")
def process():
    with ProcessAnalyzer(HAAR, most_videos=2) as analyzer:
        yield analyzer


@pytest.fixture(scope="module")
def encoded(photo):
    return check_picture(photo, 10**7)


def _values(faces):
    return [(face.track_id, face.au, face.box_xyxy) for face in faces]


def test_a_process_finds_what_an_analyzer_here_finds(process, encoded):
    with load(detector="haar", threads=1) as analyzer:
        image = cv2.imdecode(np.frombuffer(encoded.data, np.uint8), cv2.IMREAD_COLOR)
        (answer,) = process.still([encoded])
        assert _values(answer) == _values(analyzer.still(image))
        assert (process.manifest, process.detector.name) == (analyzer.manifest, "haar")
        crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
        np.testing.assert_array_equal(process.analyse_crops(crops)["au"], analyzer.analyse_crops(crops)["au"])


def test_a_damaged_picture_does_not_fail_the_others(process, encoded):
    damaged = check_picture(encoded.data[:300] + b"\0" * 300, 10**7)
    whole, error, again = process.still([encoded, damaged, encoded])
    assert isinstance(error, InputError)
    assert _values(whole) == _values(again)
    assert len(whole) == 1


def test_videos_keep_their_faces_apart_and_the_oldest_is_forgotten(process, encoded):
    first, second, third = (process.for_another_video() for _ in range(3))
    assert [first(encoded)[0].track_id for _ in range(2)] == [0, 0]
    mirrored = cv2.imdecode(np.frombuffer(encoded.data, np.uint8), cv2.IMREAD_COLOR)[:, ::-1]
    moved = check_picture(cv2.imencode(".jpg", mirrored)[1].tobytes(), 10**7)
    assert first(moved)[0].track_id == 1
    assert second(encoded)[0].track_id == 0
    third(encoded)
    assert first(moved)[0].track_id == 0


def test_a_process_that_dies_fails_its_request_and_is_started_again(encoded):
    with ProcessAnalyzer(HAAR, most_videos=2) as analyzer:
        os.kill(analyzer._process.pid, signal.SIGKILL)
        with pytest.raises(BackendError, match="started again"):
            analyzer.still([encoded])
        assert len(analyzer.still([encoded])[0]) == 1


def test_what_load_refuses_is_raised_here(tmp_path):
    with pytest.raises((InputError, PackageError), match=r"nowhere\.edgeau"):
        ProcessAnalyzer({"package": tmp_path / "nowhere.edgeau"}, most_videos=2)


def test_closing_ends_the_process(encoded):
    analyzer = ProcessAnalyzer(HAAR, most_videos=2)
    process = analyzer._process
    analyzer.close()
    assert not process.is_alive()


def test_a_server_of_processes_answers_pictures_sessions_crops_and_metrics(serve, photo):
    with ProcessAnalyzer(HAAR, 4) as one, ProcessAnalyzer(HAAR, 4) as other:
        port = serve(one, other)
        status, answer = ask(port, "POST", "/analyze", photo)
        assert (status, len(answer["faces"])) == (200, 1)
        for name in ("a", "b", "a", "b"):
            status, answer = ask(port, "POST", f"/analyze?session={name}", photo)
            assert (status, answer["faces"][0]["track_id"]) == (200, 0)
        assert ask(port, "POST", "/analyze", photo[:300] + b"\0" * 300)[0] == 400
        assert ask(port, "POST", "/analyze", b"\xff\xd8 no picture")[0] == 400
        assert ask(port, "GET", "/health")[1]["detector"] == "haar"
        name = one.manifest.name
        inputs = [
            {"name": spec.name, "datatype": "UINT8", "shape": [1, 112, 112, 3], "data": [128] * (112 * 112 * 3)}
            for spec in one.manifest.inputs
        ]
        status, answer = ask(port, "POST", f"/v2/models/{name}/infer", json.dumps({"inputs": inputs}).encode())
        assert status == 200
        assert len(answer["outputs"][0]["data"]) == len(one.manifest.aus)
        metrics = ask(port, "GET", "/metrics")[1]
        assert "edgeau_faces_total 5.0" in metrics
        assert 'edgeau_requests_total{status="400"} 2.0' in metrics


def test_a_process_that_cannot_be_started_again_is_started_for_the_next_request(encoded, monkeypatch):
    with ProcessAnalyzer(HAAR, most_videos=2) as analyzer:
        expected = _values(analyzer.still([encoded])[0])
        start = ProcessAnalyzer._start

        def fail(self):
            monkeypatch.setattr(ProcessAnalyzer, "_start", start)
            raise BlockingIOError(11, "Resource temporarily unavailable")

        monkeypatch.setattr(ProcessAnalyzer, "_start", fail)
        os.kill(analyzer._process.pid, signal.SIGKILL)
        with pytest.raises(BackendError, match="can't be started again"):
            analyzer.still([encoded])
        assert _values(analyzer.still([encoded])[0]) == expected
