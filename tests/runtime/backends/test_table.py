"""The tables that know backends by name."""

from edgeau.runtime.backends import BACKEND_NAMES
from edgeau.runtime.commands.doctor import _LIBRARIES
from edgeau.runtime.manifest import BACKENDS


def test_a_backend_is_in_every_table() -> None:
    assert set(BACKEND_NAMES) == set(BACKENDS) == set(_LIBRARIES)
