"""Analyse sources, and write what comes out as it comes: rows, annotated images, a plot, a window."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

from .analyzer import Analyzer
from .annotations import View, open_annotations, output_names
from .errors import EdgeauWarning, InputError
from .face import Face
from .progress import ProgressBar
from .records import Row, rows_of
from .results import Faces
from .row_file import Layout, Rows
from .sources import Frame, Source, Unopened
from .terminal import note
from .timeline import open_timeline
from .window import Window


@dataclass(frozen=True)
class Views:
    """What is drawn beside the rows.

    Attributes:
        annotate: video, image or folder to write.
        plot: file or folder for timelines.
        window: where frames are shown.
    """

    annotate: Optional[Path] = None
    plot: Optional[Path] = None
    window: Optional[Window] = None


class Recorder:
    """Writes the results of sources.

    Args:
        analyzer: what analyses them.
        rows: the file of rows.
        layout: its layout.
        views: what is drawn.
        max_frames: stop each source after so many frames.
    """

    def __init__(
        self, analyzer: Analyzer, rows: Rows, layout: Layout, views: Views, max_frames: Optional[int] = None
    ) -> None:
        self._analyzer, self._rows, self._layout = analyzer, rows, layout
        self._views, self._max_frames = views, max_frames

    def record(self, sources: Sequence[Unopened]) -> None:
        """Analyse the sources, one after the other.

        Raises:
            InputError: no frame of a source could be analysed, or the rest of a video is missing. What was computed is
                kept, and the other sources are analysed first.
        """
        if len(sources) == 1:
            self._record(sources[0].open(), None)
            return
        names = output_names([str(file) for source in sources for file in source.pictures or [source.text]])
        problems: List[str] = []
        for unopened in sources:
            try:
                self._record(unopened.open(), names)
            except InputError as error:
                problems.append(str(error))
                warnings.warn(str(error), EdgeauWarning, stacklevel=2)
                if not self._rows.last(unopened.text):
                    self._rows.write(self._as_rows(Frame(unopened.text, 0, 0.0, None), (), str(error), True))
        if problems:
            got = f"{len(problems)} of {len(sources)} that could not be read whole"
            raise InputError("sources", got=got, hint=problems[0])

    def _record(self, source: Source, names: Optional[Dict[str, str]]) -> None:
        self._analyzer.reset()
        if source.moving and self._rows.last(source.name) is not None:
            note("continuing behind what is there: faces get new numbers, and their neutral is found anew")
        counts = _Counts()
        progress = ProgressBar(Path(source.name).name, source.count)
        own = dataclasses.replace(source, frames=self._new_frames(source, counts))
        with self._open_views(source, names) as views:
            for frame, faces in self._analyzer.stream(own):
                shown = self._renumbered(faces, source)
                self._rows.write(self._as_rows(frame, shown, faces.error, source.moving))
                if frame.image_bgr is not None:
                    for view in views:
                        view(frame, shown)
                counts.add(faces)
                if faces.error is not None:
                    where = f"frame {frame.number} of {frame.source}: " if source.moving else ""
                    warnings.warn(f"{where}{faces.error}", EdgeauWarning, stacklevel=2)
                progress.step()
        if counts.seen > 1:
            note(f"{counts.seen} frames, {counts.with_face} with a face, {progress.per_second:.1f} per second")
        self._check_whole(source, counts)

    def _new_frames(self, source: Source, counts: _Counts) -> Iterator[Frame]:
        """The frames that are not in the file yet; a live source is numbered behind what is there."""
        try:
            for frame in itertools.islice(source.frames, self._max_frames):
                counts.seen += 1
                last = self._rows.last(frame.source)
                if last is not None and source.live:
                    number, time_s = frame.number + last.frame + 1, frame.time_s + last.time_s
                    yield dataclasses.replace(frame, number=number, time_s=time_s)
                elif last is None or frame.number > last.frame:
                    yield frame
        finally:
            close = getattr(source.frames, "close", None)
            if close is not None:
                close()

    def _renumbered(self, faces: Faces, source: Source) -> Sequence[Face]:
        """Faces whose track numbers follow those that the file already has for a video."""
        first = self._rows.tracks(source.name) if source.moving else 0
        return [dataclasses.replace(face, track_id=face.track_id + first) for face in faces] if first else faces

    def _as_rows(self, frame: Frame, faces: Sequence[Face], error: Optional[str], moving: bool) -> List[Row]:
        layout, place = self._layout, (frame.source, frame.number, frame.time_s)
        return rows_of(*place, faces, layout.aus, layout.expressions, error, moving=moving, intensity=layout.intensity)

    def _check_whole(self, source: Source, counts: _Counts) -> None:
        if counts.failed and counts.failed == counts.analysed:
            got = (
                counts.first_error if counts.failed == 1 else f"{counts.failed} frames, none of which could be analysed"
            )
            raise InputError(f"source {source.name}", got=got)
        # Containers estimate their frame count; only a clear gap means that the rest is missing.
        if source.moving and self._max_frames is None and counts.seen < 0.95 * source.count - 2:
            got, hint = f"{counts.seen} of {source.count} frames", "the rows of those are kept"
            raise InputError(f"video is truncated: {source.name}", got=got, expected="all of them", hint=hint)

    @contextlib.contextmanager
    def _open_views(self, source: Source, names: Optional[Dict[str, str]]) -> Iterator[List[View]]:
        annotate, plot, window = self._views.annotate, self._views.plot, self._views.window
        views: List[View] = []
        with contextlib.ExitStack() as stack:
            if annotate is not None:
                views.append(stack.enter_context(open_annotations(annotate, source, self._layout.aus, names)))
            if plot is not None and source.moving:
                target = plot if names is None else plot / f"{names[source.name]}-aus.svg"
                views.append(stack.enter_context(open_timeline(target, source, self._layout.aus)))
            if window is not None:
                window.start(moving=source.moving)
                views.append(window)
            yield views


@dataclass
class _Counts:
    """Frames of one source: read, analysed, with a face, and those that could not be analysed."""

    seen: int = 0
    analysed: int = 0
    with_face: int = 0
    failed: int = 0
    first_error: str = ""

    def add(self, faces: Faces) -> None:
        self.analysed += 1
        self.with_face += bool(faces)
        if faces.error is not None:
            self.failed += 1
            self.first_error = self.first_error or faces.error
