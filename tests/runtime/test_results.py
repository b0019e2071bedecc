from __future__ import annotations

import json

import numpy as np
import pytest

from edgeau.runtime.face import Face
from edgeau.runtime.pose import head_pose
from edgeau.runtime.results import Faces, StageTimes

# The output of OpenCV's FaceDetectorYN for scikit-image's photo of an astronaut.
POINTS = np.array([[200.1, 101.8], [247.1, 102.6], [220.4, 124.5], [198.6, 142.8], [239.7, 143.6]], np.float32)
AUS = ("AU06", "AU12")


def face(track_id: int = 3) -> Face:
    au, present = {"AU06": 0.25, "AU12": 0.75}, {"AU06": False, "AU12": True}
    return Face(track_id, (1.0, 2.0, 3.0, 4.0), POINTS, 0.9, au, present, {}, True)


def test_faces_are_a_sequence() -> None:
    faces = Faces((face(0), face(1)), AUS)
    assert len(faces) == 2
    assert [each.track_id for each in faces] == [0, 1]
    assert faces[-1].track_id == 1
    assert faces[:1] == (faces[0],)


def test_to_dict_gives_plain_json() -> None:
    value = Faces((face(),), AUS, source="clip.mp4", frame=7, time_s=0.28).to_dict()
    assert json.loads(json.dumps(value)) == value
    assert (value["source"], value["frame"], value["time_s"], value["error"]) == ("clip.mp4", 7, 0.28, None)
    (first,) = value["faces"]
    assert first["pose"] == head_pose(POINTS).to_dict()
    assert first["points_xy"][0] == pytest.approx([200.1, 101.8])


def test_arrays_have_a_row_per_face_and_a_column_per_au() -> None:
    arrays = Faces((face(0), face(1)), AUS).to_numpy()
    assert arrays["au"].tolist() == [[0.25, 0.75]] * 2
    assert arrays["present"].tolist() == [[False, True]] * 2
    assert arrays["pose_deg"][1].tolist() == pytest.approx(list(head_pose(POINTS).to_dict().values()))
    shapes = {name: array.shape for name, array in Faces((), AUS).to_numpy().items()}
    assert shapes == {name: (0, *array.shape[1:]) for name, array in arrays.items()}


def test_a_data_frame_has_the_columns_of_the_csv() -> None:
    pytest.importorskip("pandas")
    frame = Faces((face(0), face(1)), AUS, source="clip.mp4").to_dataframe()
    assert frame["AU12"].tolist() == [0.75, 0.75]
    assert frame["AU12_present"].tolist() == [1, 1]
    assert frame["source"].tolist() == ["clip.mp4"] * 2
    assert Faces((), AUS).to_dataframe()["success"].tolist() == [0]


def test_total_time_is_the_sum_of_the_stages() -> None:
    assert StageTimes(1.0, 2.0, 3.0, 4.0).total_ms == 10.0
