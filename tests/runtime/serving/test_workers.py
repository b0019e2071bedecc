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
    """A function that starts workers, each blocked in a job, and the event that unblocks them."""
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


def test_queued_requests_are_batched_up_to_max_batch(start):
    begin, go_on = start
    workers, sizes = begin(max_batch=4)
    results = [workers.submit(Work(lambda: BLANK)) for _ in range(10)]
    go_on.set()
    assert [result.result(20) for result in results] == [[]] * 10
    assert sizes == [1, 4, 4, 2]


def test_two_workers_share_the_queue(start):
    begin, go_on = start
    workers, sizes = begin(2)
    results = [workers.submit(Work(lambda: BLANK)) for _ in range(8)]
    go_on.set()
    assert [result.result(20) for result in results] == [[]] * 8
    assert max(sizes) <= 4


def test_the_pictures_of_a_batch_have_at_most_max_pixels_in_total(start):
    begin, go_on = start
    workers, sizes = begin(max_pixels=25_000)  # two and a half pictures of 10,000 pixels
    results = [workers.submit(Work(lambda: BLANK)) for _ in range(5)]
    go_on.set()
    assert [result.result(20) for result in results] == [[]] * 5
    assert sizes == [1, 2, 2, 1]


def test_batched_crop_requests_each_get_their_own_results(start):
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


def test_a_request_that_cannot_be_decoded_does_not_fail_its_batch(start):
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


def test_a_full_queue_refuses_requests_and_close_cancels_queued_ones(start):
    begin, _ = start
    workers, _ = begin(queue=2)
    waiting = [workers.submit(Work(lambda: BLANK)) for _ in range(2)]
    with pytest.raises(QueueFullError):
        workers.submit(Work(lambda: BLANK))
    workers.close(timeout_s=0)
    assert all(result.cancelled() for result in waiting)
    with pytest.raises(QueueFullError):
        workers.submit(Work(lambda: BLANK))


def test_the_least_recently_used_session_is_dropped(start):
    begin, _ = start
    workers, _ = begin(2, sessions=2)
    first, second = workers.session("a"), workers.session("b")
    assert {first.worker, second.worker} == {0, 1}
    assert workers.session("a") is first
    workers.session("c")
    assert workers.session("a") is first
    assert workers.session("b") is not second
