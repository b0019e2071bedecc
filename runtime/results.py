"""What an analyzer returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional, Sequence, Tuple, Union, overload

import numpy as np

from .errors import MissingExtraError
from .face import Face
from .records import rows_of

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]


@dataclass(frozen=True)
class StageTimes:
    """Wall time of each stage of one image, in milliseconds.

    Attributes:
        read_ms: reading and decoding; 0 if the caller passed the image.
        detect_ms: finding faces; near 0 with boxes or points from the caller.
        crop_ms: cropping all faces.
        infer_ms: the model's call; images that were analysed in one call share it.
    """

    read_ms: float = 0.0
    detect_ms: float = 0.0
    crop_ms: float = 0.0
    infer_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        """Sum of the stages. In ``Analyzer.stream`` stages overlap, so frames arrive faster than this."""
        return self.read_ms + self.detect_ms + self.crop_ms + self.infer_ms


@dataclass(frozen=True)
class Faces(Sequence[Face]):
    """The faces of one image, largest first: a sequence of ``Face``, empty if there are none.

    Attributes:
        faces: the faces.
        aus, expressions: names of the model's outputs, in its order.
        times: what each stage took.
        source: file name, camera or address in ``Analyzer.stream``; otherwise empty.
        frame: number in the video, from 0; the file's index in a folder.
        time_s: position in the video.
        error: why the image could not be analysed, in one line; None if it was.
    """

    faces: Tuple[Face, ...]
    aus: Tuple[str, ...] = ()
    expressions: Tuple[str, ...] = ()
    times: StageTimes = StageTimes()
    source: str = ""
    frame: int = 0
    time_s: float = 0.0
    error: Optional[str] = None

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[Face]:
        return iter(self.faces)

    @overload
    def __getitem__(self, index: int) -> Face: ...

    @overload
    def __getitem__(self, index: slice) -> Tuple[Face, ...]: ...

    def __getitem__(self, index: Union[int, slice]) -> Union[Face, Tuple[Face, ...]]:
        return self.faces[index]

    def to_dict(self) -> Dict[str, Any]:
        """Plain values, as JSON takes them: where the image is from, and ``Face.to_dict`` of each face."""
        return {
            "source": self.source,
            "frame": self.frame,
            "time_s": self.time_s,
            "error": self.error,
            "faces": [face.to_dict() for face in self.faces],
        }

    def to_numpy(self) -> Dict[str, np.ndarray]:
        """One row per face.

        Returns:
            ``track_id`` int64 [N], ``box_xyxy`` float32 [N, 4], ``points_xy`` float32 [N, 5, 2], ``score`` float32 [N],
            ``pose_deg`` float32 [N, 3] (yaw, pitch, roll), ``au`` float32 [N, A], ``present`` bool [N, A],
            ``expression`` float32 [N, E], ``neutral_ready`` bool [N], and ``intensity`` float32 [N, A] where the model
            has it. Columns of A and E are in the order of ``aus`` and ``expressions``.
        """

        def rows(values: Sequence[Any], dtype: Any, *shape: int) -> np.ndarray:
            return np.array(values, dtype).reshape(len(self.faces), *shape)

        faces, au_count = self.faces, len(self.aus)
        arrays = {
            "track_id": rows([face.track_id for face in faces], np.int64),
            "box_xyxy": rows([face.box_xyxy for face in faces], np.float32, 4),
            "points_xy": rows([face.points_xy for face in faces], np.float32, 5, 2),
            "score": rows([face.score for face in faces], np.float32),
            "pose_deg": rows([list(face.pose.to_dict().values()) for face in faces], np.float32, 3),
            "au": rows([[face.au[name] for name in self.aus] for face in faces], np.float32, au_count),
            "present": rows([[face.present[name] for name in self.aus] for face in faces], np.bool_, au_count),
            "expression": rows(
                [[face.expression[name] for name in self.expressions] for face in faces],
                np.float32,
                len(self.expressions),
            ),
            "neutral_ready": rows([face.neutral_ready for face in faces], np.bool_),
        }
        if faces and faces[0].intensity:
            values = [[face.intensity[name] for name in self.aus] for face in faces]
            arrays["intensity"] = rows(values, np.float32, au_count)
        return arrays

    def to_dataframe(self) -> pd.DataFrame:
        """The rows that ``edgeau run`` writes to a CSV: one per face, and one with success 0 if there is none.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ModuleNotFoundError as error:
            raise MissingExtraError("pandas", "", "a data frame", "pip install pandas") from error
        rows = rows_of(self.source, self.frame, self.time_s, self.faces, self.aus, self.expressions, self.error)
        return pd.DataFrame(rows)
