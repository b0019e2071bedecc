"""Limits for untrusted clients: memory, threads, connections and time are bounded."""

import re
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.serving import ask, ask_whole, bright_analyzer, running

from edgeau.runtime.errors import InputError
from edgeau.runtime.serving.pictures import decode_picture, picture_size


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def post(port, length, *extra):
    head = f"POST /analyze HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n" + "".join(f"{e}\r\n" for e in extra)
    client = connect(port)
    client.sendall(head.encode() + b"\r\n")
    return client


def held():
    """A blocked analyzer, the event that unblocks it, and the event that it sets when a job has begun."""
    analyzer, go_on, begun = bright_analyzer(), threading.Event(), threading.Event()
    detect = analyzer.detector.detect

    def wait(image):
        begun.set()
        assert go_on.wait(20)
        return detect(image)

    analyzer.detector.detect = wait
    return analyzer, go_on, begun


def png_bomb(width, height):
    """A small PNG file that needs much memory when decoded."""
    import struct

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("extension", [".png", ".jpg"])
@pytest.mark.parametrize("shape", [(1, 1), (37, 211), (480, 640)])
def test_picture_size_reads_the_size_from_the_header(extension, shape):
    data = cv2.imencode(extension, np.zeros(shape, np.uint8))[1].tobytes()
    assert picture_size(data) == shape[::-1]
    # A comment, fill bytes, and an application segment before the frame.
    if extension == ".jpg":
        longer = data[:2] + b"\xff\xfe\x00\x06ab\xff\xc0" + b"\xff\xff\xff" + data[3:]
        assert picture_size(longer) == shape[::-1]
        assert cv2.imdecode(np.frombuffer(longer, np.uint8), 0).shape == shape


def test_picture_size_agrees_with_opencv_for_files_of_other_encoders():
    skimage = pytest.importorskip("skimage", reason="scikit-image is not installed, and has the pictures")
    files = sorted(Path(skimage.__file__).parent.joinpath("data").glob("*.[jp][pn]g"))
    assert len(files) > 2
    for file in files:
        data = file.read_bytes()
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert picture_size(data) == decoded.shape[1::-1]


@pytest.mark.parametrize("rest", [b"", b"\xff", b"\xff" * 10**6, b"\xff\xc0", b"\xff\xe0\xff\xff"])
def test_picture_size_of_a_header_without_a_size_is_none(rest):
    assert picture_size(b"\xff\xd8" + rest) in (None, (0, 0))


def test_a_picture_with_too_many_pixels_is_refused_without_being_decoded(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(InputError, match="8192 x 8191 pixels, expected at most 25 million"):
        decode_picture(png_bomb(8192, 8191), 25_000_000)


def test_decompression_bombs_of_many_clients_use_little_memory(serve):
    port = serve()
    before = peak_mb()
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: ask(port, "POST", "/analyze", png_bomb(8000, 8000))[0], range(16)))
    assert statuses == [400] * 16
    assert peak_mb() - before < 100  # decoded they have 192 MB each


def peak_mb():
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024


def test_a_body_too_large_is_refused_before_it_is_read(serve):
    with post(serve(max_bytes=1000), 999999999, "Expect: 100-continue") as client:
        answer = client.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 413")
    assert "--max-mb" in answer


def test_expect_100_continue_is_answered(serve, photo):
    with post(serve(), len(photo), "Expect: 100-continue") as client:
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(photo)
        assert client.makefile("rb").readline().startswith(b"HTTP/1.1 200")


def test_a_client_that_disconnects_does_not_stop_the_server(serve, photo):
    port = serve()
    with post(port, 5000) as client:
        client.sendall(b"only this")
    assert ask(port, "POST", "/analyze", photo)[0] == 200


def test_a_queued_request_whose_client_disconnected_is_not_analysed(serve, photo):
    analyzer, go_on, begun = held()
    port = serve(analyzer)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, port, "POST", "/analyze", photo)
        assert begun.wait(20)
        with post(port, len(photo)) as client:
            client.sendall(photo)
            until(lambda: metric(port, "edgeau_queue") == 1)
        until(lambda: 'status="499"' in ask(port, "GET", "/metrics")[1])
        go_on.set()
        assert first.result()[0] == 200
    assert ask(port, "POST", "/analyze", photo)[0] == 200
    assert metric(port, "edgeau_faces_total") == 2


def test_a_body_that_does_not_arrive_in_time_is_408(serve):
    port = serve(timeout_s=2)
    with post(port, 5000) as client:
        assert client.makefile("rb").read().startswith(b"HTTP/1.1 408")
    assert ask(port, "GET", "/health")[0] == 200


def test_an_analysis_that_takes_too_long_is_503(serve, photo):
    analyzer, go_on, _ = held()
    status, headers, _ = ask_whole(serve(analyzer, timeout_s=2), "POST", "/analyze", photo)
    go_on.set()
    assert (status, headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Drip: "])
def test_a_connection_without_a_complete_request_is_closed(serve, sent):
    with connect(serve(timeout_s=2)) as client:
        client.sendall(sent)
        assert client.makefile("rb").read() == b""


def test_a_slow_second_request_on_a_connection_is_closed_too(serve):
    with connect(serve(timeout_s=2)) as client:
        client.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        client.sendall(b"GET /v2 HTTP/1.1\r\n")
        assert b"edgeau" in client.makefile("rb").read()


def test_too_many_connections_get_retry_after_and_idle_ones_use_no_threads(serve, photo):
    port = serve(max_connections=20)
    threads = threading.active_count()
    idle = [connect(port) for _ in range(20)]
    status, headers, _ = ask_whole(port, "POST", "/analyze", b"")
    assert (status, headers["retry-after"]) == (503, "1")
    assert threading.active_count() == threads
    for client in idle:
        client.close()
    until(lambda: ask(port, "POST", "/analyze", photo)[0] == 200)


def test_a_full_queue_is_503_with_retry_after(serve, photo):
    analyzer, go_on, begun = held()
    port = serve(analyzer, queue=2)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ask, port, "POST", "/analyze", photo)
        assert begun.wait(20)
        others = [pool.submit(ask, port, "POST", "/analyze", photo) for _ in range(2)]
        until(lambda: metric(port, "edgeau_queue") == 2)
        status, headers, body = ask_whole(port, "POST", "/analyze", photo)
        assert (status, headers["retry-after"]) == (503, "1")
        assert b"busy" in body
        go_on.set()
        assert [answer.result()[0] for answer in (first, *others)] == [200] * 3


def test_the_total_size_of_bodies_in_memory_is_bounded(serve, photo):
    port = serve(max_body_bytes=2 * len(photo) - 1)
    with post(port, len(photo)) as client:
        client.sendall(photo[:10])
        until(lambda: ask(port, "POST", "/analyze", photo)[0] == 503)
        client.sendall(photo[10:])
        assert client.recv(12) == b"HTTP/1.1 200"
    assert ask(port, "POST", "/analyze", photo)[0] == 200


def test_stop_finishes_requests_in_progress_without_waiting_for_idle_clients(photo):
    analyzer, go_on, begun = held()
    with ThreadPoolExecutor(1) as pool, running([analyzer], shutdown_s=20) as server:
        port = server.address[1]
        with connect(port) as idle, socket.create_connection(("127.0.0.1", port)) as drip:
            drip.sendall(b"POST /analyze HTTP/1.1\r\nX: ")
            answer = pool.submit(ask, port, "POST", "/analyze", photo)
            assert begun.wait(20)
            server.stop()
            assert idle.recv(1) == b""
            assert drip.recv(1) == b""
            go_on.set()
            assert answer.result()[0] == 200


def test_stop_does_not_wait_for_a_body_that_never_arrives():
    with running(shutdown_s=1) as server, post(server.address[1], 5000) as client:
        client.sendall(b"some")
        time.sleep(0.3)
        server.stop()
        client.makefile("rb").read()  # until the server has closed it


def until(condition):
    """Wait for a condition that becomes true soon."""
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not come")


def metric(port, name):
    return float(re.findall(rf"^{name} ([\d.]+)", ask(port, "GET", "/metrics")[1], re.MULTILINE)[0])
