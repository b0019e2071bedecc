import json

import numpy as np
import pytest
import torch

from edgeau.runtime.action_units import EXPRESSIONS

AUS = ("AU01", "AU12", "AU25")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw_face(rng, skin, levels, size):
    """A cartoon whose brows, mouth corners and lips move with three AUs; rng adds noise."""
    image = np.full((size, size, 3), skin, np.float32)
    unit = size / 32
    brow, corner, gap = (round(float(level) / 5 * 4 * unit) for level in levels)
    top = int(9 * unit) - brow
    image[top : top + int(2 * unit), int(6 * unit) : int(26 * unit)] = 40
    mouth = int(24 * unit)
    image[mouth : mouth + int(2 * unit) + gap, int(11 * unit) : int(21 * unit)] = (150, 30, 30)
    image[mouth - corner : mouth + int(2 * unit) - corner, int(7 * unit) : int(11 * unit)] = (150, 30, 30)
    image[mouth - corner : mouth + int(2 * unit) - corner, int(21 * unit) : int(25 * unit)] = (150, 30, 30)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def write_crop_set(folder, subjects=8, frames=12, size=32, seed=0, aus=AUS, prefix="p"):
    """A small crop set of cartoons in the format of `edgeau synth`; frame 0 of each subject is its neutral."""
    rng = np.random.default_rng(seed)
    (folder / "shards").mkdir(parents=True)
    entries = []
    for subject in range(subjects):
        skin = rng.uniform(120, 230, 3)
        levels = rng.choice([0, 0, 1, 3, 4, 5], (frames, 3)).astype(np.float16)
        levels[0] = 0
        pixels = np.stack([draw_face(rng, skin, row, size) for row in levels])
        name = f"s{subject:05d}"
        np.save(folder / "shards" / f"{name}.npy", pixels)
        landmarks = np.tile(np.linspace(4, size - 5, 68, dtype=np.float16)[:, None], (frames, 1, 2))
        np.savez(
            folder / "shards" / f"{name}.npz",
            au=levels[:, : len(aus)],
            neutral=np.zeros(frames, np.int32),
            expression=np.where(levels[:, 1] >= 2, 1, 0).astype(np.int8),
            sequence=np.arange(frames, dtype=np.int32),
            frame=np.zeros(frames, np.int32),
            landmarks=landmarks,
            visible=np.ones((frames, 68), bool),
        )
        entries.append({"name": name, "subject": f"{prefix}{subject}", "samples": frames})
    index = {
        "format": "edgeau-crops",
        "version": 1,
        "aus": list(aus),
        "expressions": list(EXPRESSIONS),
        "size_px": size,
        "generator": {"name": "cartoons", "seed": seed},
        "shards": entries,
    }
    (folder / "index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="session")
def crop_set(tmp_path_factory):
    return write_crop_set(tmp_path_factory.mktemp("crops") / "set")


@pytest.fixture
def make_crop_set(tmp_path):
    def make(name="set", **options):
        return write_crop_set(tmp_path / name, **options)

    return make


# A minimal CEDNN for crops of 32 pixels, without dropout.
TINY = [
    "size_px=32",
    "stem_width=8",
    "widths=(8,16)",
    "depths=(1,1)",
    "group_width=4",
    "block_maps=((0,),(1,))",
    "dropout=0.0",
]


@pytest.fixture(scope="session")
def tiny_config():
    return list(TINY)
