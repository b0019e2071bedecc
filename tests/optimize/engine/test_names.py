"""Safe file names from arbitrary text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeau.optimize.engine.names import is_safe_file_name, slug


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cednn", "cednn"),
        ("x$(touch HACKED)", "x-touch-HACKED"),
        ('it\'s "quoted"', "it-s-quoted"),
        ("-rf", "rf"),
        ("..", "package"),
        ("", "package"),
        ("über", "ber"),
    ],
)
def test_a_slug_keeps_the_safe_characters(text, name):
    assert slug(text) == name


@given(st.text())
def test_any_slug_is_a_safe_file_name(text):
    assert is_safe_file_name(slug(text) + ".engine")


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "-o", "a b", "a/b", "a\n", "$(x)", "a\x1b"])
def test_unsafe_names_are_detected(name):
    assert not is_safe_file_name(name)
