"""Reading files of tensors, without running what they hold."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from edgeau.runtime.errors import InputError
from edgeau.runtime.files import PathLike


def read_tensors(path: PathLike, what: str, expected: str) -> Any:
    """What ``torch.save`` wrote, all tensors on the CPU.

    Args:
        path: the file.
        what, expected: how an error names the file, and what it should have been.

    Raises:
        InputError: the file is missing, truncated, foreign, or would run code.
    """
    if not Path(path).is_file():
        raise InputError(what, got="no such file", expected=expected)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # On damaged bytes the unpickler raises whatever it stumbles over.
        raise InputError(what, got="a truncated or foreign file", expected=expected) from error
