"""A hand in front of the face."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeau.train.faces.ict.appearance import draw_look
from edgeau.train.faces.ict.hands import hand


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31 - 1))
def test_a_hand_is_a_valid_mesh_in_front_of_the_face(seed: int) -> None:
    mesh = hand(seed, draw_look(seed, "train"))
    assert mesh.triangles.min() == 0
    assert mesh.triangles.max() == len(mesh.points) - 1
    assert np.isfinite(mesh.points).all()
    assert (mesh.points[:, 2] > 4).all()
    assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-4)
    assert ((mesh.paint >= 0) & (mesh.paint[:, 3:] <= 1)).all()


def test_the_same_seed_gives_the_same_hand() -> None:
    look = draw_look(3, "train")
    first, again, other = hand(5, look), hand(5, look), hand(6, look)
    assert np.array_equal(first.points, again.points)
    assert not np.allclose(first.points, other.points)
