import numpy as np
import pytest

from edgeau.runtime.manifest import CropSpec
from edgeau.train.faces.base import FrameSpec
from edgeau.train.faces.builtin.renderer import BuiltinRenderer

CLEAR_SCENE = 2  # a session with little noise, so that differences are due to the face


@pytest.fixture(scope="session")
def renderer():
    return BuiltinRenderer()


@pytest.fixture(scope="session")
def crop():
    return CropSpec()


@pytest.fixture
def frame():
    """A function that makes a FrameSpec of one subject; keywords change it."""

    def make(subject=5, **changes):
        identity = np.random.default_rng(subject).normal(size=20).astype(np.float32)
        given = {"look_seed": subject, "scene_seed": CLEAR_SCENE, "frame_seed": 7, **changes}
        return FrameSpec(identity=identity, **given)

    return make
