"""Types for command-line options, which check values as they are parsed.

Use these as ``type=`` of options. Every numeric option in every layer uses one of them.
"""

from __future__ import annotations

import argparse
import math
from typing import Callable, NoReturn, Optional, Sequence, Tuple, TypeVar

from .action_units import parse_aus
from .errors import InputError

U = TypeVar("U")

# Larger counts are typing errors: nothing here has a billion of anything.
MOST = 10**9
# The largest that numpy's generators accept.
LARGEST_SEED = 2**32 - 1


class Parser(argparse.ArgumentParser):
    """A parser that raises InputError, in one line like every other error."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError."""
        raise InputError(message, hint=f"see {self.prog} --help")


def whole(lowest: int = 0, highest: int = MOST) -> Callable[[str], int]:
    """A whole number from ``lowest`` to ``highest``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if not lowest <= value <= highest:
            _refuse(text, f"a whole number from {lowest}" + (f" to {highest}" if highest < MOST else ""))
        return value

    return parse


def number(
    lowest: float = 0.0, highest: float = float(MOST), *, above: bool = False, below: bool = False
) -> Callable[[str], float]:
    """A finite number from ``lowest`` to ``highest``; ``above`` and ``below`` exclude the limits."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        low_enough = value < highest if below else value <= highest
        if not (low_enough and (value > lowest if above else value >= lowest)):
            _refuse(text, _range(lowest, highest, above, below))
        return value

    return parse


positive_int = whole(1)
count = whole(0)
seed = whole(0, LARGEST_SEED)
threads = whole(1, 1024)
port = whole(0, 65535)
positive = number(0, above=True)
not_negative = number(0)
share = number(0, 1)
share_below_1 = number(0, 1, below=True)
probability = number(0, 1, above=True, below=True)
intensity = number(0, 5, above=True)
seconds = number(0, 7 * 24 * 3600, above=True)


def values(parse: Callable[[str], U], length: Optional[Sequence[int]] = None) -> Callable[[str], Tuple[U, ...]]:
    """Values separated by commas; their number must be in ``length``, if set."""

    def parse_all(text: str) -> Tuple[U, ...]:
        parts = tuple(parse(part.strip()) for part in text.split(","))
        if length is not None and len(parts) not in length:
            _refuse(text, f"{' or '.join(map(str, length))} values separated by commas")
        return parts

    return parse_all


def name(text: str) -> str:
    """A non-empty name."""
    if not text.strip():
        _refuse(text, "a name")
    return text.strip()


def aus(text: str) -> Tuple[str, ...]:
    """Action units such as ``1,2,12`` or ``bp4d``."""
    try:
        return parse_aus(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _range(lowest: float, highest: float, above: bool, below: bool) -> str:
    start = f"more than {lowest:g}" if above else f"at least {lowest:g}"
    if highest >= MOST:
        return f"a number, {start}"
    return f"a number, {start} and " + (f"less than {highest:g}" if below else f"at most {highest:g}")


def _refuse(text: str, expected: str) -> NoReturn:
    raise argparse.ArgumentTypeError(f"got {text!r}, expected {expected}")
