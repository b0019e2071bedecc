"""What TensorRT-RTX's ONNX importer says about a file; it needs no GPU."""

from __future__ import annotations

import functools
from typing import Any

import onnx


def importer_warnings(model: onnx.ModelProto) -> dict[str, Any]:
    """Whether a file parses, the number of warnings, and the text of each distinct warning and error.

    ``parsed`` and ``warnings`` are None if tensorrt-rtx is not installed.
    """
    try:
        import tensorrt_rtx as trt
    except ImportError:
        return {"parsed": None, "warnings": None, "texts": ["tensorrt-rtx is not installed"]}

    collector = _collector(trt)
    collector.lines.clear()
    network = trt.Builder(collector).create_network(0)
    parser = trt.OnnxParser(network, collector)
    parsed = bool(parser.parse(model.SerializeToString()))
    errors = [parser.get_error(i).desc() for i in range(parser.num_errors)]
    texts = sorted({text.strip().splitlines()[0][:200] for text in (*collector.lines, *errors)})
    uint8 = sum("UINT8" in text for text in collector.lines)
    return {"parsed": parsed, "warnings": len(collector.lines), "uint8_warnings": uint8, "texts": texts}


@functools.cache
def _collector(trt: Any) -> Any:
    """A logger that keeps warnings and errors. One per process: TensorRT keeps the first one it is given."""

    class Collector(trt.ILogger):
        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if severity <= trt.ILogger.Severity.WARNING:
                self.lines.append(text)

    return Collector()
