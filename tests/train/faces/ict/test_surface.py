"""Normals and concavity of shapes with known values."""

import numpy as np
import pytest

from edgeau.train.faces.ict.surface import Surface


@pytest.fixture(scope="module")
def ball():
    """Points on a sphere with a radius of 5 cm, and outward triangles."""
    from scipy.spatial import ConvexHull

    index = np.arange(800) + 0.5
    z, angle = 1 - 2 * index / 800, np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z**2)
    points = 5 * np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)
    triangles = ConvexHull(points).simplices
    a, b, c = (points[triangles[:, k]] for k in range(3))
    inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), a) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    return points.astype(np.float32), triangles


def test_normals_of_a_sphere_point_away_from_its_centre(ball):
    points, triangles = ball
    surface = Surface(points, triangles, len(points), len(triangles))
    normals = surface.normals(1.3 * points)
    assert (np.einsum("ij,ij->i", normals, points / 5) > 0.995).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)


def test_a_sphere_is_convex_and_a_dent_is_not(ball):
    points, triangles = ball
    surface = Surface(points, triangles, len(points), len(triangles))
    normals = surface.normals(points)
    at_rest = surface.concavity(points, normals)
    assert (at_rest < 0).all()
    dented = points.copy()
    dented[400] *= 0.95
    assert surface.concavity(dented, normals)[400] > at_rest[400] + 0.5


def test_vertices_duplicated_along_a_seam_share_their_normal(ball):
    points, triangles = ball
    front = points[triangles].mean(axis=1)[:, 2] > 0
    used, few = np.unique(triangles[front], return_inverse=True)
    others, rest = np.unique(triangles[~front], return_inverse=True)
    both = np.concatenate([points[used], points[others]])
    faces = np.concatenate([few.reshape(-1, 3), rest.reshape(-1, 3) + len(used)])
    surface = Surface(both, faces, len(used), int(front.sum()))
    whole = surface.normals(both)
    assert (np.einsum("ij,ij->i", whole, both / 5) > 0.995).all()
    np.testing.assert_allclose(surface.normals(both[: len(used)]), whole[: len(used)])
    assert len(surface.concavity(both[: len(used)], whole)) == len(used)
