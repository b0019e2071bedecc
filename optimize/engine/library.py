"""TensorRT as a Python module: importing it, and reading off what it has.

Nothing here compares versions: from 8.5 to 11 names came and went, and a name that is there may be used.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, List, Optional

from edgeau.runtime.errors import EngineError, InputError

#: Names another module with TensorRT's API, such as ``tensorrt_rtx``, which parses and builds without a GPU.
MODULE_VARIABLE = "EDGEAU_TENSORRT"
HOW_ON_DEVICE = (
    "on the device type `edgeau build PACKAGE`, or send it there: `edgeau build PACKAGE --host user@jetson`, "
    "or `--target BOARD` for a bundle to carry over"
)


class BuildFailedError(EngineError):
    """TensorRT can't parse or build this graph at this precision here; another precision may work."""


def load_tensorrt(name: Optional[str] = None) -> Any:
    """Import TensorRT.

    Args:
        name: the module; by default what the environment variable EDGEAU_TENSORRT says, else ``tensorrt``.

    Raises:
        EngineError: it is not installed or can't be imported here; the message says how to build on the device.
    """
    name = name or os.environ.get(MODULE_VARIABLE) or "tensorrt"
    try:
        return importlib.import_module(name)
    except ImportError as error:
        hint = (
            "; on a Jetson it comes with JetPack: sudo apt-get install python3-libnvinfer" if name == "tensorrt" else ""
        )
        reason = "not installed" if isinstance(error, ModuleNotFoundError) else f"not importable ({error})"
        raise EngineError(f"{name} is {reason} here, so no engine can be built{hint}; {HOW_ON_DEVICE}") from error


def flavour(trt: Any) -> str:
    """``tensorrt`` or ``tensorrt_rtx``: which family's plans the module writes."""
    return "tensorrt_rtx" if str(trt.__name__).startswith("tensorrt_rtx") else "tensorrt"


def version(trt: Any) -> str:
    """The library's version, such as ``10.3.0.30``."""
    return str(trt.__version__)


def member(enum: Any, name: str) -> Optional[Any]:
    """A member of an enumeration; None if this TensorRT lacks the enumeration or the member."""
    return None if enum is None else getattr(enum, name, None)


def members(enum: Any) -> List[str]:
    """Names of an enumeration's members."""
    known = getattr(enum, "__members__", None)
    return sorted(known) if known is not None else [n for n in dir(enum) if n.isupper()]


def bit(flag: Any) -> int:
    """An enumeration member as a bit of a flag word."""
    return 1 << int(flag)


def tactic_word(trt: Any, names: List[str]) -> int:
    """The flag word of these tactic sources. Raises InputError naming those that this TensorRT has."""
    sources = getattr(trt, "TacticSource", None)
    word = 0
    for name in names:
        source = member(sources, name.upper())
        if source is None:
            have = ", ".join(members(sources)) if sources is not None else "none"
            raise InputError("tactic source", got=name, expected=f"one of {have} (TensorRT {version(trt)})")
        word |= bit(source)
    return word
