"""Creates a renderer from the name of its face model."""

from __future__ import annotations

from edgeau.train.faces.base import Renderer

FACES = ("builtin", "ict")


def make_renderer(face: str) -> Renderer:
    """Return a renderer for a face model. ``builtin`` needs no graphics driver.

    Args:
        face: ``builtin``; ``ict`` for an ICT-FaceKit model found by ``EDGEAU_ICT``; or the path of an
            ICT-FaceKit ``.npz`` or of a checkout of its OBJ files.

    Raises:
        InputError: no such face model.
        MissingExtraError: the face model needs a library that is not installed.
    """
    if face == "builtin":
        from edgeau.train.faces.builtin.renderer import BuiltinRenderer

        return BuiltinRenderer()
    from edgeau.train.faces.ict.renderer import make

    renderer: Renderer = make(None if face == "ict" else face)
    return renderer
