"""Which people a run trains on, and which it holds out."""

from pathlib import Path

import pytest

from edgeau.runtime.errors import InputError
from edgeau.train.data import Split
from edgeau.train.recipe import Recipe
from edgeau.train.sources import open_sources, split_of

PEOPLE = tuple(f"p{number}" for number in range(8))


def recipe(**changes):
    return Recipe(
        **{"models": ("cednn",), "data": ("faces",), "out": Path("out"), "val": 0.25, "test": 0.25, **changes}
    )


def test_people_who_are_held_out_by_name_are_the_test():
    split = split_of(recipe(held_out=("p0", "p1", "stranger")), PEOPLE)
    assert split.test == ("p0", "p1")
    assert {*split.train, *split.val} == set(PEOPLE[2:])


def test_people_held_out_by_name_stay_held_out_whatever_the_teacher_held_out():
    teacher = Split(train=("p2", "p3"), val=("p4",), test=("p0",))
    split = split_of(recipe(held_out=("p0", "p1"), split=teacher), PEOPLE)
    assert split.test == ("p0", "p1")
    assert split.val == ("p4",)
    assert set(split.train) == {"p2", "p3", "p5", "p6", "p7"}


def test_a_teachers_split_is_followed():
    split = split_of(recipe(split=Split((), ("p4",), ("p0",))), PEOPLE)
    assert (split.val, split.test) == (("p4",), ("p0",))


def test_holding_out_strangers_alone_is_refused():
    with pytest.raises(InputError, match="held-out subjects"):
        split_of(recipe(held_out=("stranger",)), PEOPLE)


def test_a_validation_set_does_not_change_who_is_held_out(make_crop_set):
    faces, val = make_crop_set("faces", subjects=6, frames=4), make_crop_set("val", subjects=2, frames=4)
    data = {"data": (str(faces),), "val_data": (str(val),)}
    known = open_sources(recipe(**data, test=0.0)).split
    held_out = known.train[:2]
    split = open_sources(recipe(**data, held_out=held_out)).split
    assert set(split.test) == set(held_out)
    assert set(split.val) == set(known.val)
    assert not set(split.train) & {*split.test, *split.val}
