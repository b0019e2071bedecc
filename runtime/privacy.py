"""Prevent telemetry by the libraries that edgeau loads."""

from __future__ import annotations

import os
import sys
from typing import Any, cast


def send_no_telemetry() -> None:
    """Call before importing ONNX Runtime, OpenVINO or NNCF, which report their use over the network.

    OpenVINO and NNCF do so from forked processes. Without the package ``openvino_telemetry`` they report nothing, so
    importing it is blocked. ONNX Runtime (1.31.1 on Linux) keeps a device ID and events for upload in
    ``~/.cache/Microsoft``, unless ORT_DISABLE_TELEMETRY is set when it is imported. If the application has already
    imported these, or set the variable, that was the application's choice, and it is left alone.
    """
    cast(Any, sys.modules).setdefault("openvino_telemetry", None)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
