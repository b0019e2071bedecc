from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

import pytest

from edgeau.runtime.decode import MAX_DEPTH, decode, parse_json
from edgeau.runtime.errors import PackageError


@dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0


@dataclass(frozen=True)
class Drawing:
    name: str
    points: Tuple[Point, ...]
    size: Tuple[int, int] = (1, 1)
    centre: Optional[Point] = None
    layers: Dict[str, Point] = field(default_factory=dict)
    notes: Dict[str, Any] = field(default_factory=dict)
    filled: bool = False


DRAWING = Drawing("square", (Point(1.0), Point(0.5, 2.0)), (3, 4), Point(0.0), {"top": Point(1.0)}, {"by": [1]}, True)


def test_a_dataclass_survives_a_round_trip_through_json() -> None:
    data = json.dumps(dataclasses.asdict(DRAWING)).encode()
    assert decode(Drawing, parse_json(data, "a.json"), "a.json") == DRAWING


def test_integers_become_floats_in_float_fields() -> None:
    point = decode(Point, {"x": 3}, "a.json")
    assert isinstance(point.x, float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "name: expected str, got 3"),
        ({"nmae": "x"}, "unknown field 'nmae'"),
        ({"points": {}}, "points: expected a list, got dict"),
        ({"points": [{"y": 1}]}, r"points\[0\]: field 'x' is missing"),
        ({"points": [{"x": True}]}, "expected float, got True"),
        ({"points": [{"x": float("nan")}]}, "expected a finite number, got nan"),
        ({"points": [{"x": 10**400}]}, "expected a finite number"),
        ({"size": [1, 2, 3]}, "size: expected 2 items, got 3"),
        ({"size": [1, 2.0]}, r"size\[1\]: expected int, got 2.0"),
        ({"layers": {"top": 1}}, r"layers\['top'\]: expected an object, got int"),
        ({"filled": 1}, "filled: expected bool, got 1"),
    ],
)
def test_errors_name_the_invalid_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(PackageError, match=message):
        decode(Drawing, {**dataclasses.asdict(DRAWING), **change}, "a.json")


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff\xfe", b"[NaN]", b"[-Infinity]", b"[" * 200_000, b"[" * 200 + b"]" * 200, b"1" * 10_000 + b"x"],
    ids=["empty", "open", "not UTF-8", "NaN", "infinity", "deep and open", "deep", "digits"],
)
def test_invalid_json_is_a_one_line_error(data: bytes) -> None:
    with pytest.raises(PackageError, match=r"a\.json is not readable JSON") as caught:
        parse_json(data, "a.json")
    assert len(str(caught.value).splitlines()) == 1


def test_json_at_the_maximum_depth_is_read() -> None:
    inner = MAX_DEPTH - 1
    assert parse_json(b"[" * inner + b"]" * inner, "a.json")
