"""An analyzer in a process of its own, so that workers don't wait for each other's Python."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import signal
from collections import OrderedDict
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Dict, List, Mapping, Optional, Sequence, Type, Union

import numpy as np

from edgeau.runtime.errors import BackendError, EdgeauError, InputError
from edgeau.runtime.results import Faces

from .pictures import EncodedPicture

# A process that doesn't end by itself within this is killed.
_END_S = 2.0

Answer = Union[Faces, EdgeauError]


@dataclass(frozen=True)
class Facts:
    """What a process says of its analyzer: the attributes of the same names, and the detector's name."""

    manifest: Any
    choice: Any
    name: str


class ProcessAnalyzer:
    """Does what `Workers` asks an `Analyzer` for, in another process, with pictures that are still encoded.

    A process that dies fails the requests in hand and is started again for the next.

    Args:
        arguments: of `edgeau.runtime.load`, by name.
        most_videos: sessions that the process remembers; the one unused for longest is forgotten.

    Attributes:
        manifest, choice: of the analyzer.
        detector: has the name of the analyzer's.

    Raises:
        EdgeauError: what `load` raises.
    """

    def __init__(self, arguments: Mapping[str, Any], most_videos: int) -> None:
        self._arguments, self._most_videos = dict(arguments), most_videos
        self._numbers = itertools.count()
        self._closed = False
        self._process: Any = None
        self._start()
        try:
            facts = self._receive()
        except BaseException as error:
            self.close()
            if isinstance(error, (EOFError, OSError)):
                raise BackendError("a worker's process ended while it was started") from error
            raise
        self.manifest, self.choice, self.detector = facts.manifest, facts.choice, facts

    def still(self, pictures: Sequence[EncodedPicture]) -> List[Answer]:
        """Faces of each picture, or why it can't be decoded."""
        answers: List[Answer] = self._ask("still", [picture.data for picture in pictures])
        return answers

    def analyse_crops(self, faces: np.ndarray, neutrals: Optional[np.ndarray] = None) -> Dict[str, np.ndarray]:
        """As `Analyzer.analyse_crops`."""
        outputs: Dict[str, np.ndarray] = self._ask("crops", (faces, neutrals))
        return outputs

    def for_another_video(self) -> ProcessVideo:
        """As `Analyzer.for_another_video`."""
        return ProcessVideo(self, next(self._numbers))

    def frame(self, video: int, picture: EncodedPicture) -> Faces:
        """Faces of a video's next frame. Raises InputError where it can't be decoded."""
        faces: Faces = self._ask("frame", (video, picture.data))
        return faces

    def close(self) -> None:
        """End the process."""
        self._closed = True
        self._end()

    def __enter__(self) -> ProcessAnalyzer:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _ask(self, verb: str, value: Any) -> Any:
        if self._process is None:
            self._restart()
        try:
            self._connection.send((verb, value))
            return self._receive()
        except (EOFError, OSError) as error:
            self._end()
            if not self._closed:
                self._restart()
            raise BackendError("a worker's process died; it was started again, so try once more") from error

    def _restart(self) -> None:
        """Raises BackendError where it can't be started; the next request tries again."""
        try:
            self._start()
            self._receive()
        except (EOFError, OSError) as error:
            self._end()
            raise BackendError("a worker's process died and can't be started again") from error

    def _receive(self) -> Any:
        value = self._connection.recv()
        if isinstance(value, EdgeauError):
            raise value
        return value

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a copy of this process would have half of its threads
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_run, args=(theirs, self._arguments, self._most_videos), name="edgeau worker", daemon=True
        )
        try:
            process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._connection, self._process = ours, process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        self._connection.close()
        process.join(_END_S)
        if process.is_alive():
            process.kill()
            process.join()


class ProcessVideo:
    """One video of an analyzer in another process."""

    def __init__(self, analyzer: ProcessAnalyzer, number: int) -> None:
        self._analyzer, self._number = analyzer, number

    def __call__(self, picture: EncodedPicture) -> Faces:
        """Faces of the next frame."""
        return self._analyzer.frame(self._number, picture)


def _run(connection: Connection, arguments: Mapping[str, Any], most_videos: int) -> None:
    """Answer until the other end is closed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server ends its processes once requests are finished
    with contextlib.suppress(EOFError, OSError):
        try:
            desk = _Desk(arguments, most_videos)
        except EdgeauError as error:
            connection.send(error)
            return
        connection.send(desk.facts)
        while True:
            connection.send(desk.answer(*connection.recv()))


class _Desk:
    """What a process knows: the analyzer, and its videos by number."""

    def __init__(self, arguments: Mapping[str, Any], most_videos: int) -> None:
        import cv2

        from edgeau.runtime import load

        cv2.setNumThreads(1)  # the processes are the threads
        self._analyzer, self._most_videos = load(**arguments), most_videos
        self._videos: OrderedDict[int, Any] = OrderedDict()
        self.facts = Facts(self._analyzer.manifest, self._analyzer.choice, self._analyzer.detector.name)

    def answer(self, verb: str, value: Any) -> Any:
        """The result, or an exception that the other end raises."""
        try:
            if verb == "still":
                return self._still([EncodedPicture.decoded_or_error(data) for data in value])
            if verb == "frame":
                return self._frame(*value)
            return self._analyzer.analyse_crops(*value)
        except EdgeauError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whoever asked gets it, and the process goes on
            return BackendError(f"{type(error).__name__}: {' '.join(str(error).split())}")

    def _still(self, images: Sequence[Union[np.ndarray, InputError]]) -> List[Answer]:
        whole = [image for image in images if isinstance(image, np.ndarray)]
        faces = iter(self._analyzer.still(whole) if whole else ())
        return [next(faces) if isinstance(image, np.ndarray) else image for image in images]

    def _frame(self, number: int, data: bytes) -> Answer:
        image = EncodedPicture.decoded_or_error(data)
        if isinstance(image, InputError):
            return image
        video = self._videos.pop(number, None) or self._analyzer.for_another_video()
        self._videos[number] = video
        if len(self._videos) > self._most_videos:
            self._videos.popitem(last=False)
        return video(image)
