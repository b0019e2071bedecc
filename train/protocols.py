"""Evaluation protocols common to publications: three subject-exclusive folds, named after the held-out part.

Publications number these folds differently, hence the names. The partition is the one in the public code of JAA-Net,
ME-GraphAU and AU-Net.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeau.runtime.action_units import BP4D, DISFA
from edgeau.runtime.errors import InputError


@dataclass(frozen=True)
class Protocol:
    """The reported AUs, and the subjects of each part."""

    aus: tuple[str, ...]
    parts: dict[str, tuple[str, ...]]


def _subjects(names: str) -> tuple[str, ...]:
    return tuple(names.split())


PROTOCOLS = {
    "bp4d": Protocol(
        BP4D,
        {
            "part1": _subjects("F001 F002 F008 F009 F010 F016 F018 F023 M001 M004 M007 M008 M012 M014"),
            "part2": _subjects("F003 F005 F011 F013 F020 F022 M002 M005 M010 M011 M013 M016 M017 M018"),
            "part3": _subjects("F004 F006 F007 F012 F014 F015 F017 F019 F021 M003 M006 M009 M015"),
        },
    ),
    "disfa": Protocol(
        DISFA,
        {
            "part1": _subjects("SN001 SN002 SN009 SN010 SN016 SN026 SN027 SN030 SN032"),
            "part2": _subjects("SN006 SN011 SN012 SN013 SN018 SN021 SN024 SN028 SN031"),
            "part3": _subjects("SN003 SN004 SN005 SN007 SN008 SN017 SN023 SN025 SN029"),
        },
    ),
}


def held_out_by(fold: str, data: tuple[str, ...]) -> tuple[Protocol, tuple[str, ...]]:
    """The protocol and the subjects that a fold holds out.

    Args:
        fold: ``part3``, or ``bp4d/part3`` if ``data`` does not name the data set.
        data: specifications; one such as ``bp4d:ROOT`` names the data set.

    Raises:
        InputError: unknown fold, or its data set is ambiguous.
    """
    name, _, part = fold.rpartition("/")
    named = [spec.partition(":")[0] for spec in data]
    candidates = [name] if name else [known for known in PROTOCOLS if known in named]
    if len(candidates) != 1 or candidates[0] not in PROTOCOLS or part not in PROTOCOLS[candidates[0]].parts:
        known = ", ".join(f"{n}/{p}" for n, protocol in PROTOCOLS.items() for p in protocol.parts)
        raise InputError("--fold", got=repr(fold), expected=f"part1, part2 or part3 with --data bp4d:ROOT, or {known}")
    protocol = PROTOCOLS[candidates[0]]
    return protocol, protocol.parts[part]
