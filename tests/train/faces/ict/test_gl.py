"""The graphics layer: context errors, and visibility on a simple surface."""

import numpy as np
import pytest

from edgeau.runtime.errors import InputError, MissingExtraError
from edgeau.train.faces.ict import gl


@pytest.fixture
def graphics():
    try:
        context = gl.open_context()
    except (InputError, MissingExtraError) as error:
        pytest.skip(str(error))
    yield context
    context.release()


def test_without_graphics_the_error_names_the_packages_to_install(monkeypatch):
    moderngl = pytest.importorskip("moderngl")

    def fail(**_):
        raise Exception("libEGL.so not found")

    monkeypatch.setattr(moderngl, "create_standalone_context", fail)
    with pytest.raises(InputError, match="apt-get install libegl1 libgl1-mesa-dri") as caught:
        gl.open_context()
    assert "\n" not in str(caught.value)


def test_a_plate_occludes_the_surface_behind_it(graphics):
    plate = np.array([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)], np.float32)
    floor = plate * [4, 4, 0] - [0, 0, 1]
    points = np.concatenate([plate, floor, [(0, 0, -1.0)]]).astype(np.float32)
    quads = np.array([(0, 1, 2), (0, 2, 3), (4, 5, 8), (5, 6, 8), (6, 7, 8), (7, 4, 8)])
    directions = np.array([(0.0, 0.0, 1.0), (0.0, 0.9, 0.436)])
    seen = gl.visibility(graphics, points, quads, directions)
    assert seen[0, 8] < 0.1  # the floor's middle, light from straight above the plate
    assert seen[1, 8] > 0.9  # light that comes in from the side
    assert seen[0, :4].min() > 0.9
    assert ((seen >= 0) & (seen <= 1.001)).all()
