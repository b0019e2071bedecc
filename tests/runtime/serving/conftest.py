import contextlib

import cv2
import pytest

pytest.importorskip("starlette", reason="starlette, of the extra serve, is not installed")
pytest.importorskip("uvicorn", reason="uvicorn, of the extra serve, is not installed")
pytest.importorskip("prometheus_client", reason="prometheus_client, of the extra serve, is not installed")
pytest.importorskip("python_multipart", reason="python_multipart, of the extra serve, is not installed")

from fakes.serving import running


@pytest.fixture
def serve():
    """A function that starts a server on a free port and gives the port; it is stopped after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *analyzers, **limits: stack.enter_context(running(list(analyzers) or None, **limits)).address[1]


@pytest.fixture(scope="session")
def photo(photo_bgr):
    """The portrait as JPEG."""
    return cv2.imencode(".jpg", photo_bgr)[1].tobytes()
