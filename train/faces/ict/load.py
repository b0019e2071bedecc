"""Reads ICT-FaceKit, from repacked arrays or from a checkout of its OBJ files.

git clone https://github.com/ICT-VGL/ICT-FaceKit     # MIT licence, USC Institute for Creative Technologies
edgeau synth --face ict --out DIR                    # with EDGEAU_ICT=ICT-FaceKit
edgeau synth --face ICT-FaceKit --out DIR            # or with its path
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeau.runtime.errors import InputError

_NPZ_KEYS = (
    "vertices", "quads", "uv", "uv_quads", "quad_material", "material_names",
    "identity_deltas", "expression_names", "expression_deltas", "landmarks68",
)  # fmt: skip
_HINT = "git clone https://github.com/ICT-VGL/ICT-FaceKit and pass its path, or set EDGEAU_ICT to it"


@dataclass(frozen=True)
class IctArrays:
    """ICT-FaceKit as published.

    Attributes:
        vertices: float32 [V, 3], centimetres; x to the head's left, y up, z to the front.
        quads, uv_quads: int32 [F, 4], indices into ``vertices`` and ``uv``; the last is -1 for a triangle.
        uv: float32 [U, 2], one unit square per material.
        materials: F material names.
        identity: float32 [60, V, 3], one standard deviation each.
        expressions: float32 [V, 3] by name, weight 0..1.
        landmarks: int32 [68], vertices of the Multi-PIE points.
    """

    vertices: np.ndarray
    quads: np.ndarray
    uv_quads: np.ndarray
    uv: np.ndarray
    materials: np.ndarray
    identity: np.ndarray
    expressions: dict[str, np.ndarray]
    landmarks: np.ndarray


def find(path: str | None = None) -> Path:
    """Return the path of ICT-FaceKit: ``path`` or, by default, the environment variable EDGEAU_ICT.

    Raises:
        InputError: neither is set, or the path does not exist.
    """
    text = path or os.environ.get("EDGEAU_ICT")
    if not text:
        raise InputError("face model ict", got="no path to ICT-FaceKit", hint=_HINT)
    if not Path(text).exists():
        raise InputError(f"face model {text}", got="no such file or folder", expected="ICT-FaceKit", hint=_HINT)
    return Path(text)


def load(path: Path) -> IctArrays:
    """Read an ``.npz`` with the published arrays, a folder that holds one, or a checkout of the repository.

    Raises:
        InputError: nothing of the kind is there, or it is incomplete or unreadable.
    """
    if path.suffix == ".npz":
        return _load_npz(path)
    packed = sorted(path.glob("ict_facekit*.npz"))
    if packed:
        return _load_npz(packed[0])
    model = path if (path / "generic_neutral_mesh.obj").is_file() else path / "FaceXModel"
    if (model / "generic_neutral_mesh.obj").is_file():
        return _load_checkout(model)
    raise InputError(
        f"face model {path}",
        got="no FaceXModel/generic_neutral_mesh.obj and no .npz",
        expected="ICT-FaceKit",
        hint=_HINT,
    )


def _load_npz(path: Path) -> IctArrays:
    try:
        with np.load(path) as file:
            data = {key: file[key] for key in _NPZ_KEYS}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"face model {path}", got=f"unreadable ({error})", expected=f"arrays {_NPZ_KEYS}") from error
    names = [str(name) for name in data["expression_names"]]
    deltas = data["expression_deltas"].astype(np.float32)
    return IctArrays(
        vertices=data["vertices"],
        quads=data["quads"],
        uv_quads=data["uv_quads"],
        uv=data["uv"],
        materials=data["material_names"][data["quad_material"]].astype(str),
        identity=data["identity_deltas"].astype(np.float32),
        expressions=dict(zip(names, deltas, strict=True)),
        landmarks=data["landmarks68"],
    )


def _load_checkout(model: Path) -> IctArrays:
    vertices, uv, quads, uv_quads, materials = _read_obj(model / "generic_neutral_mesh.obj")
    shapes = {file.stem: file for file in sorted(model.glob("*.obj")) if file.stem != "generic_neutral_mesh"}
    identity = [name for name in shapes if name.startswith("identity")]
    try:
        indices = json.loads((model / "vertex_indices.json").read_text(encoding="utf-8"))
        landmarks = np.array(indices["idx_to_landmark_verts"], np.int32)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{model}/vertex_indices.json", got=f"unreadable ({error})", hint=_HINT) from error
    if len(identity) == 0 or len(landmarks) != 68:
        raise InputError(f"face model {model}", got=f"{len(identity)} identity files, {len(landmarks)} landmarks")
    deltas = {name: _read_vertices(file) - vertices for name, file in shapes.items()}
    return IctArrays(
        vertices=vertices,
        quads=quads,
        uv_quads=uv_quads,
        uv=uv,
        materials=materials,
        identity=np.stack([deltas[name] for name in identity]),
        expressions={name: delta for name, delta in deltas.items() if name not in identity},
        landmarks=landmarks,
    )


def _lines(file: Path) -> Iterator[list[str]]:
    with open(file, encoding="utf-8") as stream:
        for line in stream:
            yield line.split()


def _read_vertices(file: Path) -> np.ndarray:
    return np.array([parts[1:4] for parts in _lines(file) if parts and parts[0] == "v"], np.float32)


def _read_obj(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    vertices: list[list[str]] = []
    uv: list[list[str]] = []
    quads: list[list[int]] = []
    uv_quads: list[list[int]] = []
    materials: list[str] = []
    material = ""
    for parts in _lines(file):
        if not parts:
            continue
        if parts[0] == "v":
            vertices.append(parts[1:4])
        elif parts[0] == "vt":
            uv.append(parts[1:3])
        elif parts[0] == "usemtl":
            material = parts[1]
        elif parts[0] == "f":
            corners = [corner.split("/") for corner in parts[1:5]]
            quads.append(([int(c[0]) - 1 for c in corners] + [-1])[:4])
            uv_quads.append(([int(c[1]) - 1 for c in corners] + [-1])[:4])
            materials.append(material)
    return (
        np.array(vertices, np.float32),
        np.array(uv, np.float32),
        np.array(quads, np.int32),
        np.array(uv_quads, np.int32),
        np.array(materials),
    )
