from __future__ import annotations

import warnings
from typing import List

import numpy as np
import pytest

from edgeau.runtime.analyzer import Analyzer
from edgeau.runtime.backends import FakeBackend
from edgeau.runtime.detection import Detection
from edgeau.runtime.errors import EdgeauWarning, InputError
from edgeau.runtime.manifest import InputSpec, Manifest, NeutralSpec
from edgeau.runtime.people import People, Person

RUNNING = NeutralSpec("running", 3)
LEFT, RIGHT = np.array([0, 0, 100, 100]), np.array([200, 0, 300, 100])


def is_given(person: Person, given: np.ndarray) -> bool:
    return person.reference.image is not None and np.array_equal(person.reference.image, given)


def test_with_several_faces_the_neutral_goes_to_the_most_similar_one(two_people: List[np.ndarray]) -> None:
    me, stranger = two_people
    people = People(RUNNING, me)
    with pytest.warns(EdgeauWarning, match="several faces, one neutral picture"):
        left, right = people.next([LEFT, RIGHT], [stranger, me])
    assert (is_given(left, me), is_given(right, me)) == (False, True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the warning is given once only
        left, right = people.next([LEFT, RIGHT], [stranger, me])
    assert left.reference.image is None


def test_a_single_stranger_does_not_get_the_neutral_and_a_warning_is_given(two_people: List[np.ndarray]) -> None:
    me, stranger = two_people
    people = People(RUNNING, me)
    with pytest.warns(EdgeauWarning, match="doesn't look like the one in the neutral picture.*similarity"):
        given = [is_given(people.next([LEFT], [stranger])[0], me) for _ in range(30)]
    assert not any(given)


def test_a_stranger_who_comes_later_does_not_get_the_neutral(two_people: List[np.ndarray]) -> None:
    me, stranger = two_people
    people = People(RUNNING, me)
    assert is_given(people.next([LEFT], [me])[0], me)
    for _ in range(300):
        people.next([], [])
    assert not is_given(people.next([LEFT], [stranger])[0], me)
    with pytest.warns(EdgeauWarning, match="several faces"):
        returned = people.next([RIGHT, LEFT], [me, stranger])[0]
    assert is_given(returned, me)


def test_the_same_face_keeps_the_neutral_without_a_warning(two_people: List[np.ndarray]) -> None:
    people = People(RUNNING, two_people[0])
    assert all(is_given(people.next([LEFT], [two_people[0]])[0], two_people[0]) for _ in range(60))


def test_a_still_of_someone_else_is_compared_with_itself_with_a_warning(two_people: List[np.ndarray]) -> None:
    me, stranger = two_people
    people = People(RUNNING, me)
    assert is_given(people.alone([me])[0], me)
    with pytest.warns(EdgeauWarning, match="doesn't look like"):
        assert people.alone([stranger])[0].reference.image is None
    with pytest.warns(EdgeauWarning, match="several faces"):
        assert [is_given(person, me) for person in people.alone([stranger, me])] == [False, True]


def test_a_running_neutral_survives_a_short_loss_and_is_not_passed_on(two_people: List[np.ndarray]) -> None:
    me, stranger = two_people
    people = People(RUNNING)
    for _ in range(3):
        people.next([LEFT], [me])[0].reference.add(me, 0.1)
    for _ in range(10):
        people.next([], [])
    other = people.next([LEFT], [stranger])[0]
    assert other.reference.image is None
    returned = people.next([LEFT, RIGHT], [stranger, me])[1]
    assert (returned.track_id, other.track_id) == (0, 1)
    assert is_given(returned, me)


def test_the_chosen_face_does_not_alternate_between_faces_of_equal_size(two_people: List[np.ndarray]) -> None:
    people = People(RUNNING)
    first = people.next([LEFT, RIGHT], two_people)
    assert people.choose(first, 1) == [0]
    swapped = people.next([RIGHT, LEFT], two_people[::-1])  # the other one is larger now
    assert people.choose(swapped, 1) == [1]
    assert people.choose(swapped, None) == [0, 1]


class Places:
    """A detector that gives fixed faces."""

    name = "places"

    def __init__(self, lefts: List[float], widths: List[float]) -> None:
        self.faces = []
        for left, width in zip(lefts, widths):
            unit = np.array([[0.33, 0.36], [0.67, 0.36], [0.5, 0.55], [0.36, 0.75], [0.64, 0.75]])
            points = (unit * width + (left, 0)).astype(np.float32)
            self.faces.append(Detection(np.array([left, 0, left + width, width], np.float32), points, 1.0))

    def detect(self, image_bgr: np.ndarray) -> List[Detection]:
        return self.faces


def analyzer(places: Places, **options: object) -> Analyzer:
    manifest = Manifest(
        name="fake",
        family="cednn",
        aus=("AU06",),
        thresholds=(0.5,),
        inputs=(InputSpec("face", 112, 112), InputSpec("neutral", 112, 112)),
        neutral=RUNNING,
    )
    return Analyzer(manifest, FakeBackend({"face": (112, 112, 3), "neutral": (112, 112, 3)}, 1), places, **options)  # type: ignore[arg-type]


def test_a_neutral_image_of_two_people_is_refused_but_a_small_second_face_is_not(photo_bgr: np.ndarray) -> None:
    with pytest.raises(InputError, match="neutral image: got 2 faces, expected one face, at rest; crop"):
        analyzer(Places([0, 200], [150, 140]), neutral_image_bgr=photo_bgr)
    analyzer(Places([0, 200], [150, 60]), neutral_image_bgr=photo_bgr)


def test_max_faces_limits_frames_and_stills(photo_bgr: np.ndarray) -> None:
    limited = analyzer(Places([0, 200, 350], [150, 140, 100]), max_faces=2)
    assert [len(limited(photo_bgr)), len(limited.still(photo_bgr))] == [2, 2]
