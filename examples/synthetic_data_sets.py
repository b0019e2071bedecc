"""Rendered faces in the folders of BP4D and DISFA, to try a whole protocol before the data sets arrive.

Nothing of the data sets is used but their layouts and the names of their subjects. Figures from these faces say nothing
about real ones.

    pip install 'edgeau[train]'
    python examples/synthetic_data_sets.py synthetic --frames 12
    edgeau data check bp4d:synthetic/BP4D
    edgeau train --model cednn-s --data bp4d:synthetic/BP4D --folds all --steps 200 --out runs/synthetic-bp4d
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from edgeau.runtime.crop_set import CropSet
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.manifest import CropSpec
from edgeau.train.protocols import PROTOCOLS

DISFA_AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=12, help="per person (default %(default)s)")
    parser.add_argument("--people", type=int, default=14, help="per part of the protocols (default: all)")
    args = parser.parse_args()
    for name, write in (("bp4d", write_bp4d_task), ("disfa", write_disfa_person)):
        people = [person for part in PROTOCOLS[name].parts.values() for person in part[: args.people]]
        crops = read_crops(f"synthetic:subjects={len(people)},frames={args.frames},labels={name}", CropSpec())
        for number, person in enumerate(people):
            rows = np.arange(number * args.frames, (number + 1) * args.frames)
            write(args.folder / name.upper(), person, crops.take(rows))
        print(f"{args.folder / name.upper()}: {len(crops)} rendered faces of {len(people)} people")


def write_bp4d_task(root: Path, person: str, crops: CropSet) -> None:
    """Task T1 of a person: pictures, and a table of presence whose first row has the numbers of the AUs."""
    presence = crops.presence([f"AU{au:02d}" for au in range(1, 29)])
    table = [",".join(map(str, range(29)))]
    for frame, (face, row) in enumerate(zip(crops.faces, presence, strict=True), start=1):
        write_picture(root / person / "T1" / f"{frame:04d}.jpg", face)
        table.append(",".join([str(frame), *("9" if np.isnan(label) else f"{label:.0f}" for label in row)]))
    write_lines(root / "AUCoding" / "AU_OCC" / f"{person}_T1.csv", table)


def write_disfa_person(root: Path, person: str, crops: CropSet) -> None:
    """A person's pictures, and a file of intensities per AU, with frames counted from 1."""
    for frame, face in enumerate(crops.faces, start=1):
        write_picture(root / "Images" / f"LeftVideo{person}_comp_{frame:08d}.jpg", face)
    intensity = np.nan_to_num(crops.intensity_of([f"AU{au:02d}" for au in DISFA_AUS])).round().astype(int)
    for au, column in zip(DISFA_AUS, intensity.T, strict=True):
        lines = [f"{frame},{level}" for frame, level in enumerate(column, start=1)]
        write_lines(root / "ActionUnit_Labels" / person / f"{person}_au{au}.txt", lines)


def write_picture(file: Path, face_rgb: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(file), face_rgb[:, :, ::-1]):
        raise OSError(f"{file} can't be written")


def write_lines(file: Path, lines: list[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
