import contextlib

import cv2
import pytest


@pytest.fixture
def serve():
    """A function that starts a server on a free port and gives the port; it is stopped after the test."""
    from fakes.serving import running

    with contextlib.ExitStack() as stack:
        yield lambda *analyzers, **limits: stack.enter_context(running(list(analyzers) or None, **limits)).address[1]


@pytest.fixture(scope="session")
def photo(photo_bgr):
    """The portrait as JPEG."""
    return cv2.imencode(".jpg", photo_bgr)[1].tobytes()
