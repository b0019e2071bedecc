"""Prevent telemetry by the libraries that edgeau loads."""

from __future__ import annotations

import sys
from typing import Any, cast


def send_no_telemetry() -> None:
    """Call before importing OpenVINO or NNCF, which report their use over the network from forked processes.

    Without the package ``openvino_telemetry`` they report nothing, so importing it is blocked. If the application has
    already imported it, that was the application's choice, and it is left alone.
    """
    cast(Any, sys.modules).setdefault("openvino_telemetry", None)
