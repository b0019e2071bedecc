"""Who is who in a video: the track number and the neutral reference of each face."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Set

import numpy as np

from .given_neutral import GivenNeutral
from .look import Looks
from .manifest import NeutralSpec
from .neutral import NeutralReference
from .tracks import Tracker


@dataclass(frozen=True)
class Person:
    """One face's identity.

    Attributes:
        track_id: as in ``Face``.
        reference: the face's neutral.
    """

    track_id: int
    reference: NeutralReference


class People:
    """Keeps track numbers and neutrals.

    Args:
        spec: where neutrals come from.
        given_rgb: uint8 [S, S, 3], the crop of a neutral picture. Faces that it doesn't belong to find their own by
            ``spec``.
    """

    def __init__(self, spec: NeutralSpec, given_rgb: Optional[np.ndarray] = None) -> None:
        self._arguments = (spec, given_rgb)
        given = given_rgb is not None
        self._spec = dataclasses.replace(spec, policy="running") if given and spec.policy == "given" else spec
        self._given = GivenNeutral(given_rgb) if given_rgb is not None else None
        self._tracker = Tracker()
        self._references: Dict[int, NeutralReference] = {}
        self._chosen: Set[int] = set()

    def reset(self) -> None:
        """Forget everybody, as before a new video."""
        self._tracker.reset()
        self._references, self._chosen = {}, set()
        if self._given is not None:
            self._given.reset()

    def for_another_video(self) -> People:
        """The same neutrals' source for a video of its own, with nobody known yet."""
        return People(*self._arguments)

    def next(self, boxes_xyxy: Sequence[np.ndarray], crops_rgb: Sequence[np.ndarray]) -> List[Person]:
        """Who the faces of the next frame are, in the same order.

        Args:
            boxes_xyxy: left, top, right, bottom of each face.
            crops_rgb: uint8 [S, S, 3] each.
        """
        looks = Looks(crops_rgb)
        numbers = self._tracker.update(boxes_xyxy, looks)
        alive = self._tracker.alive
        self._references = {n: r for n, r in self._references.items() if n in alive}
        owner = self._given.owner(numbers, looks, alive) if self._given is not None else None
        return [Person(n, self._given_reference() if n == owner else self._own_reference(n)) for n in numbers]

    def choose(self, people: Sequence[Person], most: Optional[int]) -> List[int]:
        """Positions of the faces to analyse, in order: those analysed before come first, so that equally large faces
        don't take turns.

        Args:
            people: from ``next``; the largest face first.
            most: how many; None for all.
        """
        numbers = [person.track_id for person in people]
        known_first = sorted(range(len(numbers)), key=lambda i: numbers[i] not in self._chosen)
        chosen = sorted(known_first[:most])
        self._chosen = (self._chosen & self._tracker.alive) | {numbers[i] for i in chosen}
        return chosen

    def alone(self, crops_rgb: Sequence[np.ndarray]) -> List[Person]:
        """Who the faces of a still are: numbered in order, and nothing is remembered."""
        count = len(crops_rgb)
        owner = self._given.closest(Looks(crops_rgb), count) if self._given is not None else None
        return [
            Person(i, self._given_reference() if i == owner else NeutralReference(self._spec)) for i in range(count)
        ]

    def _own_reference(self, number: int) -> NeutralReference:
        if number not in self._references:
            self._references[number] = NeutralReference(self._spec)
        return self._references[number]

    def _given_reference(self) -> NeutralReference:
        assert self._given is not None
        return NeutralReference(dataclasses.replace(self._spec, policy="given"), self._given.crop_rgb)
