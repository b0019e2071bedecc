"""Nothing that edgeau loads reports on its user."""

from __future__ import annotations

import sys
from typing import Any, cast


def send_no_telemetry() -> None:
    """Call before importing OpenVINO or NNCF: both report their use over the network, from processes forked for it.

    Without the package ``openvino_telemetry`` they report nothing, so it is made unimportable. Where it was imported
    before, that was somebody else's choice, and it is left.
    """
    cast(Any, sys.modules).setdefault("openvino_telemetry", None)
