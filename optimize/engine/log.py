"""The errors of TensorRT's ONNX parser, kept as single lines."""

from __future__ import annotations

from typing import Any, List

from edgeau.runtime.backends.tensorrt_log import one_line


def parser_errors(parser: Any) -> List[str]:
    """The ONNX parser's errors, one line each with the node where it happened."""
    return [_parser_error(parser.get_error(index)) for index in range(parser.num_errors)]


def _parser_error(error: Any) -> str:
    name = error.node_name() if hasattr(error, "node_name") else ""
    kind = error.node_operator() if hasattr(error, "node_operator") else ""
    label = " ".join(part for part in (kind, repr(name) if name else "") if part)
    where = f"node {error.node()}" + (f" ({label})" if label else "")
    return f"{where}: {one_line(error.desc())}"
