"""TensorRT's messages, kept as single lines.

TensorRT keeps the first logger that a process gives it and ignores later ones (TensorRT for RTX 1.7 warns that "The
logger passed into createInferBuilder differs from one already registered"). So each TensorRT module has one logger per
process, which passes every message on to all that listen.
"""

from __future__ import annotations

import weakref
from typing import Any, List

# Enough for any one build or load; a listener lives as long as its engine.
_MOST_LINES = 1000
_LOGGERS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class Messages:
    """What TensorRT has said since this was made; the newest line is last.

    Attributes:
        logger: to be handed to TensorRT.
        errors, warnings: one line each; a warning that is repeated is kept once.
    """

    def __init__(self, logger: Any) -> None:
        self.logger = logger
        self.errors: List[str] = []
        self.warnings: List[str] = []


def listen(trt: Any) -> Messages:
    """Start to collect the messages of a TensorRT module."""
    if trt not in _LOGGERS:
        _LOGGERS[trt] = _make_logger(trt)
    logger = _LOGGERS[trt]
    messages = Messages(logger)
    logger.listeners.add(messages)
    return messages


def one_line(text: str) -> str:
    """A message without line breaks and runs of spaces."""
    return " ".join(str(text).split())


def _make_logger(trt: Any) -> Any:
    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.listeners: weakref.WeakSet = weakref.WeakSet()

        def log(self, severity: Any, message: str) -> None:
            levels, line = trt.ILogger, one_line(message)
            for messages in list(self.listeners):
                if severity in (levels.INTERNAL_ERROR, levels.ERROR):
                    messages.errors.append(line)
                    del messages.errors[:-_MOST_LINES]
                elif severity == levels.WARNING and line not in messages.warnings[-_MOST_LINES:]:
                    messages.warnings.append(line)

    return Logger()
