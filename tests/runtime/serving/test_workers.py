import contextlib
import threading

import numpy as np
import pytest
from fakes.serving import SIDE, bright_analyzer

from edgeau.runtime.errors import InputError
from edgeau.runtime.serving.options import ServerOptions
from edgeau.runtime.serving.workers import Crops, QueueFullError, Work, Workers

BLANK = np.zeros((100, 100, 3), np.uint8)


@pytest.fixture
def start():
    """A function that starts workers, of which each has begun a job that waits; and the event that lets them go on."""
    go_on = threading.Event()
    with contextlib.ExitStack() as stack:

        def begin(count=1, **limits):
            sizes = []
            workers = Workers(
                [bright_analyzer() for _ in range(count)],
                ServerOptions(batch_wait_ms=0, **limits),
                lambda size, *_: sizes.append(size),
            )
            stack.callback(workers.close)
            for _ in range(count):
                begun = threading.Event()
                workers.submit(Work(lambda begun=begun: begun.set() or (go_on.wait(20) and BLANK)))
                assert begun.wait(20)
            return workers, sizes

        yield begin, go_on
        go_on.set()


def crops_of(brightness):
    return Crops(np.full((len(brightness), SIDE, SIDE, 3), np.array(brightness).reshape(-1, 1, 1, 1), np.uint8), None)


def test_requests_that_wait_are_analysed_together_up_to_the_largest_batch(start):
    begin, go_on = start
    workers, sizes = begin(max_batch=4)
    results = [workers.submit(Work(lambda: BLANK)) for _ in range(10)]
    go_on.set()
    assert [result.result(20) for result in results] == [[]] * 10
    assert sizes == [1, 4, 4, 2]


def test_two_workers_share_what_waits(start):
    begin, go_on = start
    workers, sizes = begin(2)
    results = [workers.submit(Work(lambda: BLANK)) for _ in range(8)]
    go_on.set()
    assert [result.result(20) for result in results] == [[]] * 8
    assert max(sizes) <= 4


def test_pictures_that_a_worker_holds_at_once_have_no_more_pixels_than_one_may_have(start):
    begin, go_on = start
    workers, sizes = begin(max_pixels=25_000)  # two of 10,000 pixels and a half
    results = [workers.submit(Work(lambda: BLANK)) for _ in range(5)]
    go_on.set()
    assert [result.result(20) for result in results] == [[]] * 5
    assert sizes == [1, 2, 2, 1]


def test_crops_of_several_requests_go_through_the_model_in_one_call_and_each_gets_its_own(start):
    begin, go_on = start
    workers, _ = begin()
    asked = [[0], [51, 102], [255] * 40]
    results = [workers.submit(Work(lambda values=values: crops_of(values))) for values in asked]
    pictures = [workers.submit(Work(lambda: BLANK))]
    go_on.set()
    for values, result in zip(asked, results):
        au = result.result(20)["au"]
        np.testing.assert_allclose(au, np.repeat(np.array(values)[:, None] / 255, 2, axis=1), atol=1e-6)
    assert pictures[0].result(20) == []


def test_a_request_that_cannot_be_decoded_fails_alone(start):
    begin, go_on = start
    workers, _ = begin()

    def refuse():
        raise InputError("picture", got="nonsense")

    good, bad, odd = (workers.submit(Work(prepare)) for prepare in (lambda: BLANK, refuse, lambda: 1 / 0))
    go_on.set()
    assert good.result(20) == []
    with pytest.raises(InputError):
        bad.result(20)
    with pytest.raises(ZeroDivisionError):
        odd.result(20)
    assert workers.submit(Work(lambda: BLANK)).result(20) == []


def test_more_requests_than_the_queue_holds_are_refused_and_closing_cancels_those_that_wait(start):
    begin, _ = start
    workers, _ = begin(queue=2)
    waiting = [workers.submit(Work(lambda: BLANK)) for _ in range(2)]
    with pytest.raises(QueueFullError):
        workers.submit(Work(lambda: BLANK))
    workers.close(timeout_s=0)
    assert all(result.cancelled() for result in waiting)
    with pytest.raises(QueueFullError):
        workers.submit(Work(lambda: BLANK))


def test_the_session_unused_for_longest_is_forgotten(start):
    begin, _ = start
    workers, _ = begin(2, sessions=2)
    first, second = workers.session("a"), workers.session("b")
    assert {first.worker, second.worker} == {0, 1}
    assert workers.session("a") is first
    workers.session("c")
    assert workers.session("a") is first
    assert workers.session("b") is not second
