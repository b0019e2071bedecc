"""The exceptions of edgeau.

EdgeauError                 anything that edgeau reports in one line
├── InputError              a file, folder, option or array that can't be used
├── PackageError            a model package that is incomplete, altered or of another schema
├── BackendError            an inference backend that failed or can't run here
│   └── EngineError         a TensorRT engine that doesn't fit this machine, or a build that failed
└── MissingExtraError       an optional dependency that is not installed
"""

from __future__ import annotations

from typing import Any, Optional, Tuple


class EdgeauError(Exception):
    """Base of everything that edgeau raises on purpose. The command line prints its text and exits with 2."""


class InputError(EdgeauError):
    """Input from the user can't be used.

    Args:
        what: what is wrong, named so that the user can find it.
        got: its actual value.
        expected: what would be valid.
        hint: what to do, preferably a command.
    """

    def __init__(
        self, what: str, *, got: Optional[str] = None, expected: Optional[str] = None, hint: Optional[str] = None
    ) -> None:
        self.what, self.got, self.expected, self.hint = what, got, expected, hint
        super().__init__(one_line(what, got=got, expected=expected, hint=hint))


class PackageError(EdgeauError):
    """A model package is incomplete, altered, or written by a newer edgeau."""


class BackendError(EdgeauError):
    """An inference backend can't run a variant on this machine, or failed while running it."""


class EngineError(BackendError):
    """A TensorRT engine doesn't fit this machine, or could not be built."""


class MissingExtraError(EdgeauError):
    """An optional dependency is not installed.

    Args:
        module: the import that failed, such as ``onnxruntime``.
        extra: the extra of edgeau that installs it, such as ``cpu``.
        purpose: what needs it.
        command: the command that installs it, if not the extra.
    """

    def __init__(self, module: str, extra: str, purpose: str, command: Optional[str] = None) -> None:
        self.module, self.extra, self._parts = module, extra, (module, extra, purpose, command)
        install = command or f"pip install 'edgeau[{extra}]'"
        super().__init__(f"{purpose} needs {module}, which is not installed; type: {install}")

    def __reduce__(self) -> Tuple[Any, ...]:
        """For worker processes, whose errors reach their parent pickled."""
        return MissingExtraError, self._parts


class EdgeauWarning(UserWarning):
    """A problem that does not stop the work."""


def one_line(
    what: str, *, got: Optional[str] = None, expected: Optional[str] = None, hint: Optional[str] = None
) -> str:
    """Join the parts of a message in edgeau's usual form: what, got, expected, hint."""
    parts = [what]
    if got is not None:
        parts.append(f"got {got}")
    if expected is not None:
        parts.append(f"expected {expected}")
    text = ": ".join(parts[:1]) + (": " + ", ".join(parts[1:]) if len(parts) > 1 else "")
    text = f"{text}; {hint}" if hint else text
    return " ".join(text.split())
