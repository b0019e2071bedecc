"""Small changes to valid bytes: flipped bits, removed and repeated parts, odd numbers and words, other JSON values."""

from __future__ import annotations

import json
import random
from typing import Any

_WORDS = (b"null", b"NaN", b"-1", b"1e999", b"[]", b"{}", b'""', b"\x00", b"\xff" * 8, b"../", b"9" * 40, b"\r\n", b'"')
_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1e308, -0.5, "", "../../etc/passwd", "x\x1b[31m", "\ud800", [], {}, [[]], {"": None},
    "9" * 99,
)  # fmt: skip


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return a changed copy of ``data``; most changes to JSON keep it valid JSON."""
    if data[:1] in (b"{", b"[") and rng.random() < 0.7:
        try:
            value = json.loads(data)
        except ValueError:
            return _mutate_bytes(data, rng)
        for _ in range(rng.choice((1, 1, 2, 4))):
            value = _mutate_value(value, rng)
        try:
            return json.dumps(value).encode()
        except RecursionError:
            return b"[" * 5000
    return _mutate_bytes(data, rng)


def _mutate_value(value: Any, rng: random.Random) -> Any:
    """Change one value of a JSON tree: replace it, drop it, repeat it or nest it."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(list(value))
        changed = dict(value)
        action = rng.random()
        if action < 0.1:
            del changed[name]
        elif action < 0.15:
            changed[rng.choice(("", "x", "schema_version", name + "x"))] = value[name]
        else:
            changed[name] = _mutate_value(value[name], rng)
        return changed
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        changed_list = list(value)
        action = rng.random()
        if action < 0.15:
            del changed_list[place]
        elif action < 0.3:
            changed_list.insert(place, value[place])
        else:
            changed_list[place] = _mutate_value(value[place], rng)
        return changed_list
    if rng.random() < 0.05:
        for _ in range(rng.choice((10, 150))):
            value = [value]
        return value
    if isinstance(value, (int, float)) and rng.random() < 0.4:
        return rng.choice((value + 1, -value, value * 1000, float(value), str(value)))
    return rng.choice(_VALUES)


def _mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(len(changed) + 1)
        action = rng.randrange(6)
        if action == 0 and changed:
            changed[place % len(changed)] ^= 1 << rng.randrange(8)
        elif action == 1 and changed:
            changed[place % len(changed)] = rng.randrange(256)
        elif action == 2:
            del changed[place : place + rng.choice((1, 4, 40))]
        elif action == 3:
            changed[place:place] = changed[place : place + rng.choice((1, 8, 64))]
        elif action == 4:
            changed[place : place + rng.choice((0, 1, 4))] = rng.choice(_WORDS)
        else:
            del changed[place:]
    return bytes(changed)
