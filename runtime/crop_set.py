"""Sets of face crops on disk: what calibration, evaluation, training and benchmarks read.

A *crop set* is a folder written by ``edgeau synth`` (or by anything that keeps to this):

    index.json            {"format": "edgeau-crops", "version": 1, "aus": [...], "expressions": [...], "size_px": 112,
                           "crop": {...CropSpec}, "generator": {...}, "shards": [{"name": "s00000", "subject": "...",
                           "samples": 100}, ...]}
    shards/s00000.npy     uint8 [T, H, W, 3], RGB: raw, so that a reader maps it and touches only the pages it wants
    shards/s00000.npz     labels of the same T samples:
        au            float16 [T, A]   FACS intensity 0..5, NaN where not labelled
        neutral       int32 [T]        index in this shard of the subject's neutral image, -1 where there is none
        expression    int8 [T]         index into ``expressions``, -1 where unknown
        sequence      int32 [T]        sequence number in the shard; a still has one of its own
        frame         int32 [T]        frame number in its sequence
        landmarks     float16 [T, 68, 2], visible bool [T, 68]   crop pixels; optional

One shard holds one subject, so that subjects can be held out without reading anything else.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .errors import InputError
from .manifest import CropSpec

FORMAT, VERSION = "edgeau-crops", 1
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")

# Sources that make crops rather than read them, by the word before the colon. Named by string: they live higher up.
_GENERATORS = {"synthetic": "edgeau.train.faces.source"}


@dataclass(frozen=True)
class CropSet:
    """Crops in memory.

    Attributes:
        faces: uint8 [N, H, W, 3], RGB.
        neutrals: the subject's neutral for each face, same shape; where a face has none, the face itself.
        aus: AU names of the last axis of ``intensity``.
        intensity: float32 [N, A], FACS 0..5, NaN where not labelled; A = 0 for unlabelled crops.
        subjects: N subject names; unknown subjects are "".
        origin: the specification that it was read from.
    """

    faces: np.ndarray
    neutrals: np.ndarray
    aus: Tuple[str, ...]
    intensity: np.ndarray
    subjects: Tuple[str, ...]
    origin: str

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def sha256(self) -> str:
        """Hash of the pixels (faces and neutrals), by which a calibration set is known again."""
        digest = hashlib.sha256(np.ascontiguousarray(self.faces).tobytes())
        digest.update(np.ascontiguousarray(self.neutrals).tobytes())
        return digest.hexdigest()

    def presence(self, aus: Sequence[str], present_from: float = 2.0) -> np.ndarray:
        """Labels for these AUs: float32 [N, len(aus)], 1 present, 0 absent, NaN not labelled.

        ``present_from`` is the lowest intensity that counts as present; 2 is DISFA's usual protocol.
        """
        labels = np.full((len(self), len(aus)), np.nan, np.float32)
        for column, au in enumerate(aus):
            if au in self.aus:
                value = self.intensity[:, self.aus.index(au)]
                labels[:, column] = np.where(np.isnan(value), np.nan, (value >= present_from).astype(np.float32))
        return labels

    def inputs(self, takes_neutral: bool) -> Dict[str, np.ndarray]:
        """The graph's inputs by name."""
        return {"face": self.faces, "neutral": self.neutrals} if takes_neutral else {"face": self.faces}


def read_crops(spec: str, crop: CropSpec, *, limit: Optional[int] = None, seed: int = 0) -> CropSet:
    """Read crops by a data specification.

    Args:
        spec: a folder written by ``edgeau synth``; a folder of images (crops as they are where their size is the
            crop's, otherwise photos in which faces are found); an ``.npz`` with ``faces`` and optionally ``neutrals``,
            ``au`` (intensity) and ``aus``; or ``synthetic:subjects=8,frames=16,seed=1`` to render some.
        crop: the rule of the model that will read them; crops of another size are resized.
        limit: at most so many, spread evenly over the set.
        seed: for sources that draw.

    Raises:
        InputError: nothing there, nothing readable in it, or arrays of the wrong shape or type.
    """
    word, colon, rest = spec.partition(":")
    if colon and word in _GENERATORS:
        found = _generate(word, rest, crop, limit, seed)
    elif Path(spec).is_dir():
        found = _read_folder(Path(spec), crop, limit)
    elif Path(spec).suffix == ".npz" and Path(spec).is_file():
        found = _read_npz(Path(spec), crop, limit)
    else:
        raise InputError(
            f"data {spec}",
            got="no such folder or .npz file",
            expected="a folder from `edgeau synth`, a folder of images, an .npz, or synthetic:subjects=8,frames=16",
        )
    if len(found) == 0:
        raise InputError(f"data {spec}", got="no crops in it", expected="at least one face")
    return found


def spread(count: int, limit: Optional[int]) -> np.ndarray:
    """Indices of at most ``limit`` items spread evenly over ``count``."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.linspace(0, count - 1, limit).round().astype(np.int64)


def read_index(folder: Path) -> Dict[str, Any]:
    """The index of a crop set. Raises InputError where it is missing, damaged or of another version."""
    file = folder / "index.json"
    try:
        index = json.loads(file.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise InputError(f"crop set {folder}", got="no index.json", expected="a folder from `edgeau synth`") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file}", got=f"unreadable JSON ({error})", hint="run `edgeau synth` again") from error
    if not isinstance(index, dict) or (index.get("format"), index.get("version")) != (FORMAT, VERSION):
        raise InputError(f"{file}", got="another format or version", expected=f"{FORMAT} {VERSION}")
    return index


def _read_crop_set(folder: Path, crop: CropSpec, limit: Optional[int]) -> CropSet:
    index = read_index(folder)
    shards = index["shards"]
    counts = [int(shard["samples"]) for shard in shards]
    wanted = spread(sum(counts), limit)
    faces: List[np.ndarray] = []
    neutrals: List[np.ndarray] = []
    intensity: List[np.ndarray] = []
    subjects: List[str] = []
    start = 0
    for shard, count in zip(shards, counts):
        rows = wanted[(wanted >= start) & (wanted < start + count)] - start
        start += count
        if len(rows) == 0:
            continue
        pixels, labels = read_shard(folder, shard["name"])
        own = labels["neutral"][rows]
        faces.append(np.asarray(pixels[rows]))
        neutrals.append(np.asarray(pixels[np.where(own >= 0, own, rows)]))
        intensity.append(labels["au"][rows].astype(np.float32))
        subjects += [str(shard["subject"])] * len(rows)
    if not faces:
        raise InputError(f"crop set {folder}", got="no samples", expected="at least one")
    return CropSet(
        faces=fit(np.concatenate(faces), crop.size_px),
        neutrals=fit(np.concatenate(neutrals), crop.size_px),
        aus=tuple(index["aus"]),
        intensity=np.concatenate(intensity),
        subjects=tuple(subjects),
        origin=str(folder),
    )


def read_shard(folder: Path, name: str) -> Tuple[np.ndarray, Dict[str, np.ndarray]]:
    """Pixels (memory-mapped) and labels of one shard. Raises InputError where a file is missing or truncated."""
    try:
        pixels = np.load(folder / "shards" / f"{name}.npy", mmap_mode="r")
        with np.load(folder / "shards" / f"{name}.npz") as file:
            labels = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"shard {name} of {folder}", got=f"unreadable ({error})", hint="run the same `edgeau synth` again"
        ) from error
    return pixels, labels


def fit(images: np.ndarray, size_px: int) -> np.ndarray:
    """Resize uint8 [N, H, W, 3] to squares of ``size_px`` where they are not."""
    if images.shape[1:3] == (size_px, size_px):
        return images
    import cv2

    shrink = images.shape[1] > size_px
    method = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    return np.stack([cv2.resize(image, (size_px, size_px), interpolation=method) for image in images])


def _read_folder(folder: Path, crop: CropSpec, limit: Optional[int]) -> CropSet:
    if (folder / "index.json").is_file():
        return _read_crop_set(folder, crop, limit)
    from .images import crops_of_images

    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise InputError(f"data {folder}", got="no images and no index.json in it", expected="crops or photos")
    faces = crops_of_images([files[i] for i in spread(len(files), limit)], crop)
    return _unlabelled(faces, str(folder))


def _read_npz(file: Path, crop: CropSpec, limit: Optional[int]) -> CropSet:
    try:
        with np.load(file) as arrays:
            data = {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"data {file}", got=f"unreadable ({error})", expected="an .npz of arrays") from error
    if "faces" not in data:
        raise InputError(f"data {file}", got=f"arrays {sorted(data)}", expected="an array named faces")
    faces = data["faces"]
    _check_images(faces, f"{file}: faces")
    neutrals = data.get("neutrals", faces)
    _check_images(neutrals, f"{file}: neutrals")
    if neutrals.shape != faces.shape:
        raise InputError(f"{file}: neutrals", got=f"shape {neutrals.shape}", expected=f"that of faces, {faces.shape}")
    rows = spread(len(faces), limit)
    aus = tuple(str(au) for au in data.get("aus", ()))
    intensity = np.asarray(data.get("au", np.zeros((len(faces), 0))), np.float32)
    if intensity.shape != (len(faces), len(aus)):
        raise InputError(f"{file}: au", got=f"shape {intensity.shape}", expected=f"({len(faces)}, {len(aus)})")
    subjects = tuple(str(s) for s in data.get("subjects", np.full(len(faces), "")))
    return CropSet(
        faces=fit(faces[rows], crop.size_px),
        neutrals=fit(neutrals[rows], crop.size_px),
        aus=aus,
        intensity=intensity[rows],
        subjects=tuple(subjects[i] for i in rows),
        origin=str(file),
    )


def _check_images(images: np.ndarray, what: str) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
        raise InputError(what, got=f"{images.dtype} {list(images.shape)}", expected="uint8 [N, H, W, 3], RGB, N > 0")


def _unlabelled(faces: np.ndarray, origin: str) -> CropSet:
    count = len(faces)
    return CropSet(faces, faces, (), np.zeros((count, 0), np.float32), ("",) * count, origin)


def _generate(word: str, options: str, crop: CropSpec, limit: Optional[int], seed: int) -> CropSet:
    try:
        module = importlib.import_module(_GENERATORS[word])
    except ModuleNotFoundError as error:
        raise InputError(
            f"data {word}:{options}", got=f"{error.name} is not installed here",
            expected="an installation with that layer", hint="pip install 'edgeau[train]', or give a folder of crops",
        ) from error  # fmt: skip
    crops: CropSet = module.crops(options, crop, limit=limit, seed=seed)
    return crops
