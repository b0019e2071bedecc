from __future__ import annotations

import json

import numpy as np
import pytest

from edgeau.runtime.pose import HeadPose
from edgeau.runtime.results import Face, Faces, StageTimes

AUS = ("AU06", "AU12")


def face(track_id: int = 3) -> Face:
    au, present = {"AU06": 0.25, "AU12": 0.75}, {"AU06": False, "AU12": True}
    points = np.arange(10, dtype=np.float32).reshape(5, 2)
    pose = HeadPose(10.0, -5.0, 2.0)
    return Face(track_id, (1.0, 2.0, 3.0, 4.0), points, 0.9, au, present, {}, True, pose)


def test_faces_are_a_sequence() -> None:
    faces = Faces((face(0), face(1)), AUS)
    assert len(faces) == 2
    assert [each.track_id for each in faces] == [0, 1]
    assert faces[-1].track_id == 1
    assert faces[:1] == (faces[0],)


def test_a_dictionary_is_plain_json() -> None:
    value = Faces((face(),), AUS, source="clip.mp4", frame=7, time_s=0.28).to_dict()
    assert json.loads(json.dumps(value)) == value
    assert (value["source"], value["frame"], value["time_s"], value["error"]) == ("clip.mp4", 7, 0.28, None)
    (first,) = value["faces"]
    assert first["pose"] == {"yaw_deg": 10.0, "pitch_deg": -5.0, "roll_deg": 2.0}
    assert first["points_xy"][4] == [8.0, 9.0]


def test_arrays_have_a_row_per_face_and_a_column_per_name() -> None:
    arrays = Faces((face(0), face(1)), AUS).to_numpy()
    assert arrays["au"].tolist() == [[0.25, 0.75]] * 2
    assert arrays["present"].tolist() == [[False, True]] * 2
    assert arrays["pose_deg"].tolist() == [[10, -5, 2]] * 2
    shapes = {name: array.shape for name, array in Faces((), AUS).to_numpy().items()}
    assert shapes == {name: (0, *array.shape[1:]) for name, array in arrays.items()}


def test_a_data_frame_has_the_columns_of_the_csv() -> None:
    pytest.importorskip("pandas")
    frame = Faces((face(0), face(1)), AUS, source="clip.mp4").to_dataframe()
    assert frame["AU12"].tolist() == [0.75, 0.75]
    assert frame["AU12_present"].tolist() == [1, 1]
    assert frame["source"].tolist() == ["clip.mp4"] * 2
    assert Faces((), AUS).to_dataframe()["success"].tolist() == [0]


def test_stages_add_up() -> None:
    assert StageTimes(1.0, 2.0, 3.0, 4.0).total_ms == 10.0
