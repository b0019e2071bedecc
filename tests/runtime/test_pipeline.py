from __future__ import annotations

import threading
from typing import Iterator, List

import pytest

from edgeau.runtime.pipeline import ahead


def test_items_keep_their_order() -> None:
    assert list(ahead(range(100))) == list(range(100))


def test_at_most_depth_items_are_computed_ahead() -> None:
    taken: List[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    for number in ahead(items(), depth=3):
        # The items before this one, this one, three in the queue, and one waiting for a place in it.
        assert len(taken) <= number + 1 + 3 + 1


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("third")

    seen = []
    with pytest.raises(KeyError, match="third"):
        for item in ahead(items()):
            seen.append(item)
    assert seen == [1, 2]


def test_closing_early_ends_the_thread_and_closes_the_iterator_there() -> None:
    closed_in: List[threading.Thread] = []

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed_in.append(threading.current_thread())

    before = threading.active_count()
    stage = ahead(items(), depth=1)
    next(stage)
    stage.close()
    assert threading.active_count() == before
    assert len(closed_in) == 1
    assert closed_in[0] is not threading.current_thread()


def test_stages_can_be_stacked_and_are_all_closed() -> None:
    before = threading.active_count()
    outer = ahead(number * 2 for number in ahead(range(1000)))
    assert [next(outer) for _ in range(5)] == [0, 2, 4, 6, 8]
    outer.close()
    assert threading.active_count() == before
