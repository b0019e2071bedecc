"""Whole frames with real backends: a face from the evaluation data in a picture for the default detector."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgeau.optimize.search.frames import HEIGHT_PX, WIDTH_PX, find_scene, frame_with
from edgeau.optimize.search.options import SearchOptions
from edgeau.optimize.search.search import _set_up, search
from edgeau.runtime.crop import crop_face
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.haar import HaarDetector
from edgeau.runtime.package import Package

# Largest distance of the detected points from those of the crop's template, in sides of the crop.
POINTS_OFF = 0.1


@pytest.fixture(scope="module")
def crops(quantized, evaluation, photo_bgr):
    """The toy package's labelled crops, with a real face in place of the toy's pictures."""
    toy = read_crops(str(evaluation), quantized.manifest.crop)
    points = HaarDetector().detect(photo_bgr)[0].points_xy
    spec = dataclasses.replace(quantized.manifest.crop, size_px=toy.faces.shape[1])
    face = np.ascontiguousarray(crop_face(photo_bgr, points, spec)[:, :, ::-1])
    faces = np.broadcast_to(face, toy.faces.shape).copy()
    return dataclasses.replace(toy, faces=faces, neutrals=faces)


def _setup(package, crops):
    return _set_up(package, crops, SearchOptions(minutes=1), lambda _: None, lambda: 0.0)[0]


def test_the_detector_finds_the_face_at_the_place_of_the_crop_template(quantized, crops):
    frame = frame_with(crops.faces[0])
    assert frame.shape == (HEIGHT_PX, WIDTH_PX, 3)
    (face,) = HaarDetector().detect(frame)
    side = 216
    corner = (np.array([WIDTH_PX, HEIGHT_PX]) - side) / 2
    expected = np.array(quantized.manifest.crop.template)
    assert np.abs((face.points_xy - corner) / side - expected).max() < POINTS_OFF


def test_the_scene_names_the_detector_or_says_that_there_is_no_face(quantized, crops):
    assert "found by haar" in find_scene(_setup(quantized, crops)).text
    grey = dataclasses.replace(crops, faces=np.full_like(crops.faces, 128))
    scene = find_scene(_setup(quantized, grey))
    assert scene.frame_bgr is None
    assert scene.text == "not measured: haar finds no face in the evaluation crops"


@pytest.mark.slow
def test_a_search_measures_whole_frames_and_stores_their_times(quantized, crops, tmp_path):
    package = quantized.copy_to(tmp_path / "frames.edgeau")
    result = search(package, crops, SearchOptions(minutes=0.3, max_drop=0.5))
    (chosen,) = Package.open(package.path).manifest.selection.values()
    assert chosen == result.selection
    measured = {entry.label: entry for entry in chosen.measured}
    assert chosen.ms_per_frame == measured[chosen.label].ms_per_frame
    baseline = measured["fp32 on onnxruntime, 1 thread"]
    assert chosen.fp32_ms_per_frame == baseline.ms_per_frame
    for entry in chosen.measured:
        if entry.ms_per_frame is not None:
            assert entry.ms_per_frame > entry.ms_per_crop
            assert len(entry.ms_per_frame_by_round) >= 1


@pytest.mark.parametrize("objective", ["throughput", "size"])
def test_objectives_other_than_latency_are_decided_by_the_model_alone(quantized, crops, tmp_path, objective):
    package = quantized.copy_to(tmp_path / "other.edgeau")
    chosen = search(package, crops, SearchOptions(objective, minutes=0.02, max_drop=0.5)).selection
    assert (chosen.frame, chosen.ms_per_frame) == ("", None)
