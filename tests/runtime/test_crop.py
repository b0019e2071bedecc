from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeau.runtime.crop import crop_face, crop_matrix, invert, transform
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec

SPEC = CropSpec()
TEMPLATE_PX = np.array(SPEC.template) * SPEC.size_px - 0.5


@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.05, 20),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
)
def test_the_crop_matrix_inverts_any_similarity_transform_exactly(
    angle: float, scale: float, x: float, y: float
) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = TEMPLATE_PX @ turn.T + [x, y]
    mapped = transform(points, crop_matrix(points, SPEC))
    assert np.abs(mapped - TEMPLATE_PX).max() < 1e-6


@given(noise=st.lists(st.floats(-3, 3), min_size=10, max_size=10))
def test_the_matrix_minimizes_the_weighted_squared_error(noise: list[float]) -> None:
    points = TEMPLATE_PX + np.array(noise).reshape(5, 2)
    matrix = crop_matrix(points, SPEC)
    weights = np.array(SPEC.weights)[:, None]

    def cost(candidate: np.ndarray) -> float:
        return float(np.sum(weights * (transform(points, candidate) - TEMPLATE_PX) ** 2))

    best = cost(matrix)
    for row, column, step in [(0, 2, 0.01), (1, 2, 0.01)]:
        moved = matrix.copy()
        moved[row, column] += step
        assert cost(moved) >= best
    larger = np.hstack([matrix[:, :2] * 1.001, matrix[:, 2:]])
    centre = np.average(points, axis=0, weights=weights[:, 0])
    larger[:, 2] += transform(centre, matrix) - transform(centre, larger)
    assert cost(larger) >= best


def test_a_moved_mouth_moves_the_crop_less_than_a_moved_eye() -> None:
    def shift(index: int) -> float:
        points = TEMPLATE_PX.copy()
        points[index] += [0, 10]
        corners = np.array([[0.0, 0.0], [111.0, 111.0]])
        return float(np.abs(transform(corners, crop_matrix(points, SPEC)) - corners).max())

    assert shift(3) < 0.5 * shift(0)


def test_invert_gives_the_inverse_transform() -> None:
    matrix = crop_matrix(TEMPLATE_PX * 3 + 7, SPEC)
    points = np.array([[0.0, 0.0], [50.0, 90.0]])
    assert transform(transform(points, matrix), invert(matrix)) == pytest.approx(points)


def test_a_crop_at_the_original_scale_copies_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    crop = crop_face(image, TEMPLATE_PX + np.array([20, 30]), SPEC)
    assert np.array_equal(crop, image[30 : 30 + 112, 20 : 20 + 112])


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_a_large_face_is_downsampled_without_aliasing(factor: int) -> None:
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (112, 112, 3), np.uint8)
    large = np.kron(small, np.ones((factor, factor, 1), np.uint8))
    checker = (np.indices(large.shape[:2]).sum(0) % 2 * 60 - 30)[:, :, None]
    noisy = np.clip(large.astype(int) + checker, 0, 255).astype(np.uint8)
    points = (np.array(SPEC.template) * 112) * factor - 0.5
    crop = crop_face(noisy, points, SPEC).astype(int)
    calm = (small > 30) & (small < 225)
    assert np.abs(crop - small)[calm].mean() < 6


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.zeros((4, 2)), np.full((5, 2), np.nan)])
def test_invalid_points_are_refused(points: np.ndarray) -> None:
    with pytest.raises(InputError, match="facial points"):
        crop_matrix(points, SPEC)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (1, 1), (32766, 2), (300, 400)])
def test_any_points_either_give_a_crop_or_are_refused(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(200):
        points = rng.normal(size=(5, 2)) * 10 ** rng.uniform(-4, 12) + rng.normal(size=2) * 10 ** rng.uniform(-1, 12)
        with contextlib.suppress(InputError):
            assert crop_face(image, points, SPEC).shape == (112, 112, 3)
