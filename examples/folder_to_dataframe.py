"""A folder of pictures becomes a pandas data frame: one row per face, one column per action unit.

pip install 'edgeau[cpu]' pandas
python examples/folder_to_dataframe.py pictures/ --out faces.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import pandas as pd

from edgeau.runtime import load

SUFFIXES = {".jpg", ".jpeg", ".png"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, help="write the table to this CSV file")
    args = parser.parse_args()
    table = read_folder(args.folder)
    print(table.round(2).to_string())
    print(table.filter(like="AU").mean().round(2).to_string())
    if args.out:
        table.to_csv(args.out)


def read_folder(folder: Path) -> pd.DataFrame:
    """Presence probabilities 0..1, indexed by file name and by face, the largest face first.

    A picture without a face has no row.
    """
    rows = []
    with load() as analyzer:
        for file in sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES):
            for face in analyzer.still(cv2.imread(str(file))):
                left, top, right, bottom = face.box_xyxy
                box = {"left": left, "top": top, "right": right, "bottom": bottom}
                rows.append({"file": file.name, "face": face.track_id, **box, **face.au})
        columns = ["file", "face", "left", "top", "right", "bottom", *analyzer.manifest.aus]
    return pd.DataFrame(rows, columns=columns).set_index(["file", "face"])


if __name__ == "__main__":
    main()
