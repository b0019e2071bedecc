from __future__ import annotations

import argparse
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeau.runtime import arguments
from edgeau.runtime.errors import InputError

TYPES: dict[str, tuple[Any, list[str], list[str]]] = {
    "positive_int": (arguments.positive_int, ["1", "8"], ["0", "-1", "1.5", "nan", "x", "", "1e3", "9" * 30]),
    "count": (arguments.count, ["0"], ["-1", "inf"]),
    "seed": (arguments.seed, ["0", str(2**32 - 1)], ["-1", str(2**32)]),
    "port": (arguments.port, ["0", "65535"], ["65536", "-1"]),
    "share": (arguments.share, ["0", "1", "0.5"], ["1.01", "-0.1", "nan", "inf", "x"]),
    "share_below_1": (arguments.share_below_1, ["0"], ["1", "nan"]),
    "probability": (arguments.probability, ["0.5"], ["0", "1"]),
    "positive": (arguments.positive, ["1e-9"], ["0", "-1", "inf", "1e300"]),
    "seconds": (arguments.seconds, ["0.1"], ["0", "1e9"]),
    "name": (arguments.name, [" a "], ["", " "]),
    "aus": (arguments.aus, ["1,2", "bp4d"], ["", "smile", "1,1"]),
    "values": (arguments.values(arguments.positive_int, (1, 3)), ["4", "1,1,8"], ["1,2", "", "1,x,2", "1,,2"]),
}


@pytest.mark.parametrize("name", TYPES)
def test_each_type_accepts_only_values_in_its_range(name: str) -> None:
    parse, right, wrong = TYPES[name]
    for text in right:
        parse(text)
    for text in wrong:
        with pytest.raises(argparse.ArgumentTypeError):
            parse(text)


@given(st.text() | st.floats().map(str) | st.integers().map(str))
def test_any_accepted_number_is_finite_and_in_range(text: str) -> None:
    for parse, low, high in ((arguments.number(-1, 5), -1, 5), (arguments.whole(2, 7), 2, 7)):
        try:
            value = parse(text)
        except argparse.ArgumentTypeError:
            continue
        assert math.isfinite(value)
        assert low <= value <= high


def test_a_parser_error_is_a_one_line_input_error() -> None:
    parser = arguments.Parser(prog="edgeau x")
    parser.add_argument("--n", type=arguments.positive_int)
    with pytest.raises(
        InputError, match=r"^argument --n: got '0', expected a whole number from 1; see edgeau x --help$"
    ):
        parser.parse_args(["--n", "0"])
