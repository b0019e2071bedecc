"""The tables of backends by name."""

from edgeau.runtime.backends import BACKEND_NAMES
from edgeau.runtime.commands.doctor import _LIBRARIES
from edgeau.runtime.manifest import BACKENDS


def test_every_backend_is_in_every_table() -> None:
    assert set(BACKEND_NAMES) == set(BACKENDS) == set(_LIBRARIES)
