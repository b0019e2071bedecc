"""Read face crops from a data specification: a crop set, a folder of images, an .npz file, or a registered source.

A source that generates crops instead of reading them registers under the entry point group ``edgeau.crop_sources``: its
name is the word before the colon of a specification, its value a function
``(options: str, crop: CropSpec, *, limit: Optional[int], seed: int) -> CropSet``.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Optional

import numpy as np

from . import plugins
from .crop_set import PRESENT_FROM, CropSet, is_crop_set, read_crop_file, read_crop_set, spread
from .errors import InputError
from .manifest import CropSpec
from .own_faces import WORD, is_own, read_own
from .package import PARITY_FILE, shipped_package
from .recording_check import require_whole

GROUP = "edgeau.crop_sources"
SHIPPED_PARITY = "shipped:parity"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def read_crops(spec: str, crop: CropSpec, *, limit: Optional[int] = None, seed: int = 0) -> CropSet:
    """Read crops from a data specification.

    Args:
        spec: a folder written by ``edgeau synth`` or ``edgeau data prepare``; a folder of your own labelled pictures
            or videos, or its CSV file, with or without ``own:`` (see docs/data.md); a folder of images (used as crops
            if they have the crop's size, otherwise photos in which faces are detected); an ``.npz`` with ``faces`` and
            optionally ``neutrals``, ``au`` (intensity) and ``aus``; ``shipped:parity`` for the faces that ship with
            edgeau; or ``synthetic:subjects=8,frames=16,seed=1`` to render some.
        crop: the rule of the model that will read them; crops of another size are resized.
        limit: at most this many, spread evenly over the set.
        seed: for sources that draw at random.

    Raises:
        InputError: it does not exist, is not readable, or has arrays of the wrong shape or type.
    """
    word, colon, options = spec.partition(":")
    own = own_path(spec)
    if own is not None:
        crops = _read_own(own, spec, crop, limit)
    elif Path(spec).is_dir():
        crops = _read_folder(Path(spec), crop, limit)
    elif Path(spec).suffix == ".npz" and Path(spec).is_file():
        crops = read_crop_file(Path(spec), crop.size_px, limit)
    elif spec == SHIPPED_PARITY:
        file = shipped_package() / PARITY_FILE
        crops = dataclasses.replace(read_crop_file(file, crop.size_px, limit), origin=spec)
    elif colon and re.fullmatch("[a-z][a-z0-9-]+", word):
        crops = _read_source(word, options, crop, limit, seed)
    else:
        raise InputError(
            f"data {spec}",
            got="no such folder or .npz file",
            expected="a folder of labelled faces with labels.csv, a folder of images, a folder from `edgeau synth`, "
            "an .npz, or synthetic:subjects=8,frames=16",
        )
    if len(crops) == 0:
        raise InputError(f"data {spec}", got="no crops in it", expected="at least one face")
    return crops


def own_path(spec: str) -> Optional[Path]:
    """The folder or CSV file of your own labelled faces that a specification names; None if it names something else."""
    word, colon, path = spec.partition(":")
    if is_crop_set(Path(spec)):
        return None
    if colon and word == WORD and not Path(spec).exists():
        return Path(path).expanduser()  # a shell leaves the ~ of own:~/faces as it is
    return Path(spec) if is_own(Path(spec)) else None


def own_crop_set(path: Path, crop: CropSpec) -> Path:
    """The crop set of a folder of your own labelled faces, made when it isn't in the cache. Raises InputError."""
    if path.is_dir() and is_crop_set(path):
        return path
    recordings = read_own(path)
    require_whole(f"own faces {path}", recordings)
    from .prepare import Source, cached_crop_set  # its worker processes take 30 ms to import

    return cached_crop_set(Source(WORD, path, PRESENT_FROM), recordings, crop)


def _read_own(path: Path, spec: str, crop: CropSpec, limit: Optional[int]) -> CropSet:
    crops = read_crop_set(own_crop_set(path, crop), crop.size_px, limit)
    return dataclasses.replace(crops, origin=spec)


def _read_folder(folder: Path, crop: CropSpec, limit: Optional[int]) -> CropSet:
    if is_crop_set(folder):
        return read_crop_set(folder, crop.size_px, limit)
    from .images import crops_of_images

    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise InputError(f"data {folder}", got="no images and no index.json in it", expected="crops or photos")
    faces = crops_of_images([files[i] for i in spread(len(files), limit)], crop)
    count = len(faces)
    return CropSet(faces, faces, (), np.zeros((count, 0), np.float32), ("",) * count, str(folder))


def _read_source(word: str, options: str, crop: CropSpec, limit: Optional[int], seed: int) -> CropSet:
    sources = plugins.registered(GROUP)
    hint = "pip install 'edgeau[train]' to render faces, or give a folder of crops"
    if word not in sources:
        if Path(options).exists():
            hint = f"give the path alone: {options}"
        known = ", ".join(f"{name}:..." for name in sorted([WORD, *sources]))
        raise InputError(f"data {word}:{options}", got=f"no source called {word}", expected=known, hint=hint)
    try:
        read = sources[word].load()
    except ModuleNotFoundError as error:
        raise InputError(
            f"data {word}:{options}",
            got=f"{error.name} is not installed here",
            expected="an installation with what this source needs",
            hint=hint,
        ) from error
    crops: CropSet = read(options, crop, limit=limit, seed=seed)
    return crops
