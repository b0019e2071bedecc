"""Facial action units: their names, and the sets that public protocols use.

Names are ``AU`` and two digits, as in ``AU04``; users may write ``4``, ``au4`` or ``AU04``.
Meanings follow the Facial Action Coding System (Ekman, Friesen and Hager, 2002).
"""

from __future__ import annotations

import re
from typing import Iterable, Tuple, Union

from .errors import InputError

MEANINGS = {
    "AU01": "inner brow raiser",
    "AU02": "outer brow raiser",
    "AU04": "brow lowerer",
    "AU05": "upper lid raiser",
    "AU06": "cheek raiser",
    "AU07": "lid tightener",
    "AU09": "nose wrinkler",
    "AU10": "upper lip raiser",
    "AU12": "lip corner puller",
    "AU14": "dimpler",
    "AU15": "lip corner depressor",
    "AU17": "chin raiser",
    "AU20": "lip stretcher",
    "AU23": "lip tightener",
    "AU24": "lip pressor",
    "AU25": "lips part",
    "AU26": "jaw drop",
}

BP4D: Tuple[str, ...] = (
    "AU01", "AU02", "AU04", "AU06", "AU07", "AU10", "AU12", "AU14", "AU15", "AU17", "AU23", "AU24",
)  # fmt: skip
DISFA: Tuple[str, ...] = ("AU01", "AU02", "AU04", "AU06", "AU09", "AU12", "AU25", "AU26")
UNION: Tuple[str, ...] = tuple(sorted(set(BP4D) | set(DISFA)))

EXPRESSIONS: Tuple[str, ...] = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")

_SETS = {"bp4d": BP4D, "disfa": DISFA, "union": UNION}


def au_name(text: Union[str, int]) -> str:
    """``AU04`` for ``4``, ``"4"``, ``"au4"`` or ``"AU04"``. Raises InputError for anything else."""
    match = re.fullmatch(r"(?:AU)?0*(\d{1,2})", str(text).strip(), re.IGNORECASE)
    if not match or int(match.group(1)) == 0:
        raise InputError("action unit", got=repr(text), expected="a number such as 12, or AU12")
    return f"AU{int(match.group(1)):02d}"


def is_au(name: str) -> bool:
    """Whether a name is that of an action unit, as edgeau writes it: ``AU04``."""
    try:
        return au_name(name) == name
    except InputError:
        return False


def parse_aus(text: str) -> Tuple[str, ...]:
    """AU names from ``"1,2,4"`` or the name of a set (``bp4d``, ``disfa``, ``union``), in the order given."""
    if text.strip().lower() in _SETS:
        return _SETS[text.strip().lower()]
    names = tuple(au_name(part) for part in text.replace(" ", ",").split(",") if part)
    if not names or len(set(names)) != len(names):
        raise InputError("list of action units", got=repr(text), expected="distinct numbers such as 1,2,4")
    return names


def require_aus(wanted: Iterable[str], available: Iterable[str], owner: str) -> Tuple[str, ...]:
    """The wanted names, all of which must be among the available ones. Raises InputError naming those that aren't."""
    have = tuple(available)
    names = tuple(au if au in have else au_name(au) for au in wanted)
    missing = [au for au in names if au not in have]
    if missing:
        raise InputError(f"{owner} does not have {', '.join(missing)}", expected=f"some of {', '.join(have)}")
    return names
