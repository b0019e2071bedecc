"""What TensorRT says while it parses and builds, kept as single lines."""

from __future__ import annotations

from typing import Any, List


def make_logger(trt: Any) -> Any:
    """A logger that keeps errors and warnings in its lists ``errors`` and ``warnings`` and prints nothing."""

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: List[str] = []
            self.warnings: List[str] = []

        def log(self, severity: Any, message: str) -> None:
            levels = trt.ILogger
            if severity in (levels.INTERNAL_ERROR, levels.ERROR):
                self.errors.append(one_line(message))
            elif severity == levels.WARNING:
                line = one_line(message)
                if line not in self.warnings:
                    self.warnings.append(line)

    return Log()


def parser_errors(parser: Any) -> List[str]:
    """The ONNX parser's errors, one line each with the node where it happened."""
    return [_parser_error(parser.get_error(index)) for index in range(parser.num_errors)]


def one_line(text: str) -> str:
    """A message without line breaks and runs of spaces."""
    return " ".join(str(text).split())


def _parser_error(error: Any) -> str:
    name = error.node_name() if hasattr(error, "node_name") else ""
    kind = error.node_operator() if hasattr(error, "node_operator") else ""
    label = " ".join(part for part in (kind, repr(name) if name else "") if part)
    where = f"node {error.node()}" + (f" ({label})" if label else "")
    return f"{where}: {one_line(error.desc())}"
