"""Licensed data sets as crop sets: their recordings are read, and their faces cropped once."""

from __future__ import annotations

from pathlib import Path

from edgeau.runtime.crop_set import PRESENT_FROM
from edgeau.runtime.crop_source import own_path
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.own_faces import WORD, read_own
from edgeau.runtime.prepare import MakeDetector, Source, cached_crop_set, prepare
from edgeau.runtime.recording import Recording
from edgeau.runtime.recording_check import require_whole

from .datasets import DATA_SETS
from .datasets.tree import Tree


def open_recordings(spec: str) -> tuple[Source, list[Recording]]:
    """The recordings that a data specification names: of a licensed data set, or of a folder of your own.

    Raises:
        InputError: unknown data set, or labels that are missing or can't be understood.
    """
    word, _, root = spec.partition(":")
    own = own_path(spec)
    if own is not None and word not in DATA_SETS:
        return Source(WORD, own, PRESENT_FROM), read_own(own)
    if word not in DATA_SETS or not root:
        known = ", ".join(f"{name}:FOLDER" for name in DATA_SETS)
        raise InputError("data set", got=repr(spec), expected=f"{known}, or a folder with labels.csv")
    return _source(word, Path(root)), recordings_of(word, Path(root))


def _source(name: str, root: Path) -> Source:
    return Source(name, root.expanduser(), DATA_SETS[name].present_from)


def recordings_of(name: str, root: Path) -> list[Recording]:
    """The recordings of a data set. Raises InputError: unknown data set, or labels missing from its layout."""
    if name not in DATA_SETS:
        raise InputError("data set", got=repr(name), expected=", ".join(DATA_SETS))
    # A shell leaves the ~ of bp4d:~/data as it is.
    recordings = list(DATA_SETS[name].read(Tree(root.expanduser())))
    if not recordings:
        raise InputError(f"data set {root}", got="no labelled recording", expected=DATA_SETS[name].expected)
    return recordings


def data_set_crops(name: str, root: Path, crop: CropSpec) -> Path:
    """The crop set of a whole data set, made on first use, in edgeau's cache folder. Raises InputError."""
    recordings = recordings_of(name, root)
    require_whole(f"data set {name}:{root}", recordings)
    return cached_crop_set(_source(name, root), recordings, crop)


def to_crop_set(
    name: str, root: Path, out: Path, crop: CropSpec = CropSpec(), make_detector: MakeDetector | None = None
) -> int:
    """Crop a data set into a folder and return the number of crops.

    Args:
        name: one of DATA_SETS.
        root: its folder.
        out: the crop set's folder, which is written or completed.
        crop: the crop rule.
        make_detector: makes what finds faces; the largest face of each frame is used.

    Raises:
        InputError: unknown data set, labels or images missing from its layout, or no face in any frame.
    """
    recordings = recordings_of(name, root)
    require_whole(f"data set {name}:{root}", recordings)
    index = prepare(_source(name, root), recordings, out, crop, make_detector=make_detector)
    return sum(shard.samples for shard in index.shards)
