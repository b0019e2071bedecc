"""OpenGL: a windowless context, the two render passes, and shadow maps.

moderngl (MIT) on EGL was chosen because it is maintained, needs neither a display nor a GPU (Mesa's llvmpipe renders on
the CPU) and uses a GPU if the driver offers one. pyrender is no longer maintained, and nvdiffrast needs CUDA and has a
non-commercial licence.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeau.runtime.errors import InputError, MissingExtraError

from . import shaders

INSTALL = "apt-get install libegl1 libgl1-mesa-dri"
# Vertex format of the surface pass: position in the camera frame (cm), normal times ambient light, visibility of the
# key light, strength of furrows.
VERTEX = np.dtype([("position", "f4", 3), ("normal", "f4", 3), ("key_light", "f4"), ("wrinkle", "f4")])
_UNITS = ("surface_map", "where_map", "albedo_map", "detail_map", "wrinkle_map", "background_map")


def open_context() -> Any:
    """Create a moderngl context on EGL.

    Raises:
        MissingExtraError: moderngl is not installed.
        InputError: no EGL or no driver on this machine; the message names the packages to install.
    """
    # Render in the calling thread: worker processes share the machine, and threads cost a tenth on small images.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    try:
        import moderngl
    except ModuleNotFoundError:
        raise MissingExtraError("moderngl", "train", "drawing ICT-FaceKit faces") from None
    try:
        options: dict[str, Any] = {"backend": "egl"}
        return moderngl.create_standalone_context(require=330, **options)
    except Exception as error:  # moderngl and glcontext raise nothing narrower
        raise InputError(
            "graphics for face model ict", got=f"no EGL context ({error})", hint=f"{INSTALL}, or use --face builtin"
        ) from error


class Canvas:
    """Draws one mesh at one image size.

    Args:
        size_px: side of the rendered image, which is larger than the crop and is averaged down to it.
        triangles: int32 [T, 3] of the surface.
        place: float32 [V, 2], texture coordinates with twice the part added to x.
    """

    def __init__(self, context: Any, size_px: int, triangles: np.ndarray, place: np.ndarray) -> None:
        import moderngl

        self._gl, self._context = moderngl, context
        self.size_px = size_px
        square = (size_px, size_px)
        self._surface = context.texture(square, 4, dtype="f4")
        self._where = context.texture(square, 4, dtype="f4")
        self._depth = context.depth_renderbuffer(square)
        self._colour = context.texture(square, 4)
        self._first = context.framebuffer([self._surface, self._where], self._depth)
        self._second = context.framebuffer([self._colour], self._depth)
        self._surface_program = context.program(shaders.SURFACE_VERTEX, shaders.SURFACE_FRAGMENT)
        fragments = (shaders.BACKGROUND_FRAGMENT, shaders.SKIN_FRAGMENT, shaders.INNER_FRAGMENT)
        self._screen_programs = [context.program(shaders.SCREEN_VERTEX, fragment) for fragment in fragments]
        self._strand_program = context.program(shaders.STRAND_VERTEX, shaders.STRAND_FRAGMENT)
        self._vertices = context.buffer(reserve=len(place) * VERTEX.itemsize, dynamic=True)
        self._mesh = context.vertex_array(
            self._surface_program,
            [
                (self._vertices, "3f 4f 1f", "position", "shading", "wrinkle"),
                (context.buffer(place.astype("f4").tobytes()), "2f", "place"),
            ],
            context.buffer(triangles.astype("i4").tobytes()),
        )
        self._background, self._skin, self._inner = (context.vertex_array(p, []) for p in self._screen_programs)
        for program in self._screen_programs:
            for unit, name in enumerate(_UNITS):
                if name in program:
                    program[name] = unit
        self._uniforms = [(name, program[name]) for program in self._screen_programs for name in program]
        self._strand_buffers = _Growing(context), _Growing(context)

    def texture(self, image: np.ndarray) -> Any:
        """uint8 [H, W, 3 or 4] as a texture with bilinear sampling; the first row is at coordinate 0."""
        height, width, channels = image.shape
        texture = self._context.texture((width, height), channels, np.ascontiguousarray(image).tobytes(), alignment=1)
        texture.filter = (self._gl.LINEAR, self._gl.LINEAR)
        texture.repeat_x = texture.repeat_y = False
        return texture

    def draw(
        self,
        vertices: np.ndarray,
        projection: np.ndarray,
        textures: Mapping[str, Any],
        uniforms: Mapping[str, Any],
        strands: tuple[np.ndarray, np.ndarray],
        triangle_count: int,
        inner: Sequence[np.ndarray],
    ) -> np.ndarray:
        """Draw one image.

        Args:
            vertices: VERTEX [V], or only the first ones.
            projection: float [4, 4], camera frame to clip coordinates.
            textures: by the shaders' names, except those that the first pass writes.
            uniforms: floats, vectors and matrices by the shaders' names.
            strands: float32 [N, 7] of position and display RGB with opacity, and their triangles int32 [M, 3], drawn in
                that order over the lit image.
            triangle_count: how many of the surface's triangles to draw, starting with the first.
            inner: sets of points float [N, 3] in the camera frame; parts other than skin are drawn only in their
                bounding boxes.

        Returns:
            uint8 [size_px, size_px, 3], RGB, top row first.
        """
        matrix = np.ascontiguousarray(projection.T, "f4").tobytes()
        self._vertices.write(vertices)
        self._surface_program["projection"].write(matrix)
        self.draw_surface(triangle_count)
        for unit, name in enumerate(_UNITS):
            {"surface_map": self._surface, "where_map": self._where, **textures}[name].use(unit)
        for name, uniform in self._uniforms:
            if name in uniforms:
                uniform.write(np.asarray(uniforms[name], "f4").tobytes())
        self._light([_box(points, projection, self.size_px) for points in inner])
        self._draw_strands(matrix, *strands)
        pixels = np.frombuffer(self._second.read(components=3, alignment=1), np.uint8)
        return pixels.reshape(self.size_px, self.size_px, 3)

    def draw_surface(self, triangle_count: int) -> None:
        """Run the first pass on the vertices written last."""
        gl, context = self._gl, self._context
        self._first.use()
        self._first.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
        context.disable(gl.BLEND)
        context.enable(gl.DEPTH_TEST | gl.CULL_FACE)
        context.front_face = "cw"  # the image is drawn upside down, so that it is read back top row first
        self._mesh.render(vertices=3 * triangle_count)

    def _light(self, inner_boxes: Sequence[tuple[int, int, int, int]]) -> None:
        gl, context, target = self._gl, self._context, self._second
        target.use()
        target.depth_mask = False
        context.disable(gl.CULL_FACE)
        context.depth_func = "=="
        self._background.render(gl.TRIANGLES, vertices=3)
        context.depth_func = ">"  # nearer than the full-screen triangle: on the head
        self._skin.render(gl.TRIANGLES, vertices=3)
        for box in inner_boxes:
            target.scissor = box
            self._inner.render(gl.TRIANGLES, vertices=3)
        target.scissor = None
        context.depth_func = "<"
        target.depth_mask = True

    def _draw_strands(self, matrix: bytes, points: np.ndarray, triangles: np.ndarray) -> None:
        gl, context = self._gl, self._context
        self._strand_program["projection"].write(matrix)
        context.enable(gl.DEPTH_TEST | gl.BLEND)
        context.blend_func = gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA
        vertices, order = self._strand_buffers
        if vertices.write(np.ascontiguousarray(points, "f4")) | order.write(np.ascontiguousarray(triangles, "i4")):
            content = [(vertices.buffer, "3f 4f", "position", "paint")]
            self._strand_array = context.vertex_array(self._strand_program, content, order.buffer)
        self._strand_array.render(vertices=triangles.size)

    def depth(self) -> np.ndarray:
        """float32 [size_px, size_px], 0 (near) to 1 (far), of the last image; top row first."""
        data = np.frombuffer(self._first.read(components=1, attachment=-1, dtype="f4"), np.float32)
        return data.reshape(self.size_px, self.size_px)


class _Growing:
    """A buffer that is reallocated when the data does not fit."""

    def __init__(self, context: Any) -> None:
        self._context, self.buffer = context, context.buffer(reserve=4)

    def write(self, values: np.ndarray) -> bool:
        """Write the values; return whether the buffer was reallocated."""
        grows = values.nbytes > self.buffer.size
        if grows:
            self.buffer.release()
            self.buffer = self._context.buffer(reserve=2 * values.nbytes, dynamic=True)
        self.buffer.write(values)
        return grows


def _box(points: np.ndarray, projection: np.ndarray, size_px: int) -> tuple[int, int, int, int]:
    """Bounding box (left, bottom, width, height) of points [N, 3] in pixels, clipped to the image."""
    clip = points @ projection[[0, 1, 3], :3].T + projection[[0, 1, 3], 3]
    places = np.clip((clip[:, :2] / clip[:, 2:] * 0.5 + 0.5) * size_px, 0, size_px)
    low, high = places.min(axis=0).astype(int), np.ceil(places.max(axis=0)).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def visibility(
    context: Any, points: np.ndarray, triangles: np.ndarray, directions: np.ndarray, *, size_px: int = 192
) -> np.ndarray:
    """Compute how much light from each direction reaches each vertex, with one shadow map per direction.

    Args:
        points: float [V, 3].
        triangles: int [T, 3].
        directions: float [D, 3], unit vectors towards the light.
        size_px: side of the shadow map.

    Returns:
        float32 [D, V], 0 (in shadow) to 1 (lit), softened over a few texels.
    """
    import cv2
    import moderngl

    program = context.program(shaders.DEPTH_VERTEX, shaders.DEPTH_FRAGMENT)
    buffer = context.buffer(points.astype("f4").tobytes())
    mesh = context.vertex_array(program, [(buffer, "3f", "position")], context.buffer(triangles.astype("i4").tobytes()))
    target = context.framebuffer([], context.depth_renderbuffer((size_px, size_px)))
    centre, radius = points.mean(axis=0), float(np.linalg.norm(points - points.mean(axis=0), axis=1).max())
    visible = np.zeros((len(directions), len(points)), np.float32)
    for row, direction in zip(visible, directions, strict=True):
        frame = _frame(direction) / radius
        projection = np.eye(4)
        projection[:3, :3] = frame * [[1], [1], [-1]]
        projection[:3, 3] = -projection[:3, :3] @ centre
        program["projection"].write(np.ascontiguousarray(projection.T, "f4").tobytes())
        target.use()
        context.enable_only(moderngl.DEPTH_TEST)
        target.clear(depth=1.0)
        mesh.render()
        depth = np.frombuffer(target.read(components=1, attachment=-1, dtype="f4"), np.float32).reshape(
            size_px, size_px
        )
        clip = points @ projection[:3, :3].T + projection[:3, 3]
        pixel = ((clip[:, :2] * 0.5 + 0.5) * size_px - 0.5).astype(np.float32)
        own = (clip[:, 2] * 0.5 + 0.5).astype(np.float32)
        for dx in (-1.2, 0.0, 1.2):
            for dy in (-1.2, 0.0, 1.2):
                seen = cv2.remap(depth, pixel[:, :1] + dx, pixel[:, 1:] + dy, cv2.INTER_NEAREST)[:, 0]
                row += (own < seen + 0.25 / radius) / 9
    for resource in (mesh, buffer, target, program):
        resource.release()
    return visible


def _frame(direction: np.ndarray) -> np.ndarray:
    """Rotation matrix [3, 3] whose last row is the direction."""
    side = np.cross([0.0, 1.0, 0.0] if abs(direction[1]) < 0.9 else [1.0, 0.0, 0.0], direction)
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(direction, side), direction])
