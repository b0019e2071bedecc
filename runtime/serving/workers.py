"""Threads that own an analyzer each, and the bounded queue that they take requests from in batches."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from edgeau.runtime.analyzer import Analyzer
from edgeau.runtime.errors import EdgeauError, InputError

from .options import ServerOptions
from .process import ProcessAnalyzer, ProcessVideo

AnyAnalyzer = Union[Analyzer, ProcessAnalyzer]
# Of crops in one call of the model, so that a request with many doesn't take memory without limit.
_LARGEST_CALL = 32


class QueueFullError(EdgeauError):
    """So many requests wait that another one is refused."""


@dataclass(frozen=True)
class Crops:
    """What a request of the Open Inference Protocol asks for.

    Attributes:
        faces, neutrals: uint8 [N, S, S, 3], RGB, as `Analyzer.analyse_crops` takes them.
    """

    faces: np.ndarray
    neutrals: Optional[np.ndarray]


class Session:
    """One camera: its frames are analysed in order, by one worker."""

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self.analyzer: Union[Analyzer, ProcessVideo, None] = None


@dataclass(eq=False)
class Work:
    """One request.

    Attributes:
        prepare: decodes the request in the worker's thread: uint8 [H, W, 3] BGR, or `Crops`; for a worker in another
            process, an `EncodedPicture`. May raise InputError.
        session: of a frame; None for a picture on its own, and for crops.
        result: gets faces, or outputs by name for crops.
    """

    prepare: Callable[[], Any]
    session: Optional[Session] = None
    result: Future[Any] = field(default_factory=Future)

    def done(self, value: Any) -> None:
        """Give the result, or the exception."""
        if isinstance(value, BaseException):
            self.result.set_exception(value)
        else:
            self.result.set_result(value)


class Workers:
    """One thread for each analyzer.

    Args:
        analyzers: used by their own thread alone, here or in processes of their own.
        options: limits.
        observe: called with the number of pictures or crops of each call, faces in it, and its seconds.
    """

    def __init__(
        self,
        analyzers: Sequence[AnyAnalyzer],
        options: ServerOptions,
        observe: Callable[[int, int, float], None] = lambda *_: None,
    ) -> None:
        self._analyzers, self._options, self._observe = analyzers, options, observe
        self._changed = threading.Condition()
        self._waiting: List[Work] = []
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._closed = False
        self.arriving = 0
        """Requests whose body is being received; a worker waits a little for them to share its batch."""
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"edgeau worker {number}", daemon=True)
            for number in range(len(analyzers))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether `submit` would refuse a request."""
        return self._closed or len(self._waiting) >= self._options.queue

    def session(self, name: str) -> Session:
        """The session of that name, which is begun if it is new."""
        with self._changed:
            session = self._sessions.pop(name, None) or Session(self._least_sessions())
            self._sessions[name] = session
            if len(self._sessions) > self._options.sessions:
                self._sessions.popitem(last=False)
            return session

    def submit(self, job: Work) -> Future[Any]:
        """Queue a request. Raises QueueFullError."""
        with self._changed:
            if self.full:
                raise QueueFullError("the server is busy: try again in a second")
            self._waiting.append(job)
            self._changed.notify_all()
        return job.result

    def close(self, timeout_s: float = 5.0) -> None:
        """Cancel what waits, and let the workers finish what they have in hand, as long as the timeout allows."""
        with self._changed:
            self._closed = True
            for job in self._waiting:
                job.result.cancel()
            self._waiting.clear()
            self._changed.notify_all()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _least_sessions(self) -> int:
        owners = [session.worker for session in self._sessions.values()]
        return min(range(len(self._analyzers)), key=owners.count)

    def _work(self, number: int) -> None:
        while True:
            jobs = self._take(number)
            if jobs is None:
                return
            jobs = [job for job in jobs if job.result.set_running_or_notify_cancel()]
            for group in _by_kind(jobs):
                self._answer(self._analyzers[number], group)

    def _take(self, number: int) -> Optional[List[Work]]:
        """The next batch for a worker; None once the server stops."""

        def own() -> List[Work]:
            return [job for job in self._waiting if job.session is None or job.session.worker == number]

        with self._changed:
            while not own():
                if self._closed:
                    return None
                self._changed.wait()
            deadline = time.monotonic() + self._options.batch_wait_ms / 1e3
            while self.arriving and len(own()) < self._options.max_batch and time.monotonic() < deadline:
                self._changed.wait(deadline - time.monotonic())
            jobs = own()
            # A share, so that the others have something to do as well.
            share = -(-len(jobs) // len(self._analyzers))
            jobs = jobs[: min(share, self._options.max_batch)]
            self._waiting = [job for job in self._waiting if job not in jobs]
            return jobs

    def _answer(self, analyzer: AnyAnalyzer, jobs: Sequence[Work]) -> None:
        started = time.perf_counter()
        for prepared in self._prepare(jobs):
            try:
                results: Sequence[Any] = _analyse(analyzer, prepared)
            except Exception as error:  # noqa: BLE001 - the thread goes on; whoever asked gets the exception
                results = [error] * len(prepared)
            faces = sum(len(result) for result in results if isinstance(result, list))
            ended = time.perf_counter()
            self._observe(len(prepared), faces, ended - started)
            started = ended
            for (job, _), result in zip(prepared, results):
                job.done(result)

    def _prepare(self, jobs: Sequence[Work]) -> Iterator[List[Tuple[Work, Any]]]:
        """Decode requests, in groups that together hold at most ``max_pixels``."""
        group: List[Tuple[Work, Any]] = []
        pixels = 0
        for job in jobs:
            try:
                value = job.prepare()
            except Exception as error:  # noqa: BLE001 - see above
                job.done(error)
                continue
            size = 0 if isinstance(value, Crops) else value.shape[0] * value.shape[1]
            if group and pixels + size > self._options.max_pixels:
                yield group
                group, pixels = [], 0
            group.append((job, value))
            pixels += size
        if group:
            yield group


def _by_kind(jobs: Sequence[Work]) -> List[List[Work]]:
    """Requests in groups that can be analysed together: pictures and crops in one, each session's frames in another."""
    groups: Dict[int, List[Work]] = {}
    for job in jobs:
        groups.setdefault(id(job.session), []).append(job)
    return list(groups.values())


def _analyse(analyzer: AnyAnalyzer, prepared: Sequence[Tuple[Work, Any]]) -> List[Any]:
    """Results of requests that go together."""
    session = prepared[0][0].session
    if session is not None:
        session.analyzer = session.analyzer or analyzer.for_another_video()
        return [_next_frame(session.analyzer, image) for _, image in prepared]
    results: Dict[int, Any] = {}
    stills = [i for i, (_, value) in enumerate(prepared) if not isinstance(value, Crops)]
    if stills:
        answers: Sequence[Any] = analyzer.still([prepared[i][1] for i in stills])
        results.update((i, _list_or_error(answer)) for i, answer in zip(stills, answers))
    for takes_neutral in (False, True):
        chosen = [
            i
            for i, (_, value) in enumerate(prepared)
            if isinstance(value, Crops) and (value.neutrals is not None) == takes_neutral
        ]
        results.update(zip(chosen, _analyse_crops(analyzer, [prepared[i][1] for i in chosen])))
    return [results[i] for i in range(len(prepared))]


def _next_frame(video: Union[Analyzer, ProcessVideo], image: Any) -> Any:
    """Faces, or why this frame can't be decoded, which must not fail the others."""
    try:
        return list(video(image))
    except InputError as error:
        return error


def _list_or_error(answer: Any) -> Any:
    return answer if isinstance(answer, Exception) else list(answer)


def _analyse_crops(analyzer: AnyAnalyzer, requests: Sequence[Crops]) -> List[Mapping[str, np.ndarray]]:
    """The model's outputs for each request."""
    if not requests:
        return []
    faces = np.concatenate([crops.faces for crops in requests])
    given = [crops.neutrals for crops in requests if crops.neutrals is not None]
    neutrals = np.concatenate(given) if given else None
    parts = [
        analyzer.analyse_crops(faces[rows], None if neutrals is None else neutrals[rows])
        for rows in (slice(at, at + _LARGEST_CALL) for at in range(0, len(faces), _LARGEST_CALL))
    ]
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ends = np.cumsum([len(crops.faces) for crops in requests])[:-1]
    split = {name: np.split(values, ends) for name, values in outputs.items()}
    return [{name: values[i] for name, values in split.items()} for i in range(len(requests))]
