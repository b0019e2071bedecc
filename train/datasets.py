"""Readers for licensed data sets in their public layouts: recordings with AU labels. No data is included here.

    bp4d       ROOT/AUCoding/AU_OCC/F001_T1.csv, images F001/T1/2440.jpg or F001_T1_2440.jpg; presence only
    disfa      ROOT/ActionUnit_Labels/SN001/SN001_au1.txt, LeftVideoSN001_comp.avi or its frames
    disfaplus  ROOT/Labels/SN001/TRIAL/AU1.txt, ROOT/Images/SN001/TRIAL/003.jpg
    ckplus     ROOT/FACS/S005/001/..._facs.txt, ROOT/cohn-kanade-images/S005/001/..._00000011.png

The layouts are those read by public loaders of these data sets. Copies differ; errors say what was looked for.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from edgeau.runtime.action_units import BP4D, au_name
from edgeau.runtime.errors import InputError
from edgeau.runtime.recording import PRESENT, Recording

_NOT_CODED = 9.0
_DISFA_AUS = tuple(au_name(n) for n in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26))
_CKPLUS_EMOTIONS = {0: "neutral", 3: "disgust", 1: "anger", 4: "fear", 5: "happiness", 6: "sadness", 7: "surprise"}


def read_bp4d(root: Path) -> Iterator[Recording]:
    """BP4D, and BP4D+ if its four coded tasks have the same layout. Presence is stored as intensity 3."""
    for file in _matching(root, "AU_OCC/*.csv"):
        subject, task = file.stem.split("_")[:2]
        with file.open(newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
        header = [cell.strip() for cell in rows[0]]
        columns = {au_name(name): i for i, name in enumerate(header) if i > 0 and name.isdigit()}
        chosen = tuple(au for au in BP4D if au in columns)
        table = np.array([[float(row[columns[au]]) for au in chosen] for row in rows[1:]], np.float32)
        intensity = np.where(table == _NOT_CODED, np.nan, np.where(table > 0, PRESENT, 0.0)).astype(np.float32)
        frames = _numbered(_bp4d_images(root, subject, task))
        numbers = tuple(int(float(row[0])) for row in rows[1:])
        yield Recording(subject, f"{subject}_{task}", frames, numbers, chosen, intensity)


def read_disfa(root: Path) -> Iterator[Recording]:
    """DISFA: twelve AUs with intensities, from the left camera's video or its frames."""
    folders = sorted({file.parent for file in _matching(root, "ActionUnit_Labels/*/*_au*.txt")})
    for folder in folders:
        subject = folder.name
        columns = [_label_lines(folder / f"{subject}_au{int(au[2:])}.txt") for au in _DISFA_AUS]
        numbers = tuple(sorted(set.intersection(*(set(column) for column in columns))))
        intensity = np.array([[column[n] for column in columns] for n in numbers], np.float32)
        yield Recording(subject, subject, _disfa_frames(root, subject), numbers, _DISFA_AUS, intensity)


def read_disfaplus(root: Path) -> Iterator[Recording]:
    """DISFA+: posed trials from neutral to peak and back. All its subjects are also in DISFA."""
    for folder in sorted({file.parent for file in _matching(root, "Labels/*/*/AU*.txt")}):
        subject, trial = folder.parent.name, folder.name
        columns = [_label_lines(folder / f"AU{int(au[2:])}.txt") for au in _DISFA_AUS]
        numbers = tuple(sorted(set.intersection(*(set(column) for column in columns))))
        intensity = np.array([[column[n] for column in columns] for n in numbers], np.float32)
        frames = _numbered((root / "Images" / subject / trial).glob("*.*"))
        yield Recording(subject, trial, frames, numbers, _DISFA_AUS, intensity, neutral_rows=(0,))


def read_ckplus(root: Path) -> Iterator[Recording]:
    """CK+: sequences from neutral to peak; the peak is coded. AUs that the coders did not list count as absent.

    An intensity of 0 means that the AU is present and was not scored; it is stored as 3.
    """
    coded = {file: _facs_lines(file) for file in _matching(root, "FACS/*/*/*_facs.txt")}
    aus = tuple(sorted({au for scores in coded.values() for au in scores}))
    for file, scores in coded.items():
        sequence, subject = file.parent.name, file.parent.parent.name
        frames = _numbered((root / "cohn-kanade-images" / subject / sequence).glob("*.png"))
        if not frames:
            continue
        first, last = min(frames), max(frames)
        intensity = np.zeros((2, len(aus)), np.float32)
        intensity[1] = [scores.get(au, 0.0) for au in aus]
        emotion = _ckplus_emotion(root, subject, sequence)
        yield Recording(
            subject, f"{subject}_{sequence}", frames, (first, last), aus, intensity, neutral_rows=(0,),
            expressions=("neutral" if emotion else "", emotion or ""), labels=file,
        )  # fmt: skip


READERS: dict[str, Callable[[Path], Iterator[Recording]]] = {
    "bp4d": read_bp4d,
    "disfa": read_disfa,
    "disfaplus": read_disfaplus,
    "ckplus": read_ckplus,
}


def _matching(root: Path, pattern: str) -> list[Path]:
    """Files that match anywhere below the root. Raises InputError if there are none."""
    files = sorted(root.rglob(pattern)) if root.is_dir() else []
    if not files:
        got = "none of its label files" if root.is_dir() else "no such folder"
        raise InputError(f"data set {root}", got=got, expected=f"{pattern} somewhere below it")
    return files


def _bp4d_images(root: Path, subject: str, task: str) -> Sequence[Path]:
    for folder in (root, root / "img", root / "2D+3D", root / "Sequences"):
        images = list((folder / subject / task).glob("*.jpg")) or list(folder.glob(f"{subject}_{task}_*.jpg"))
        if images:
            return images
    return []


def _disfa_frames(root: Path, subject: str) -> Mapping[int, Path] | Path:
    videos = sorted(root.rglob(f"LeftVideo{subject}_comp.avi"))
    return videos[0] if videos else _numbered(root.rglob(f"LeftVideo{subject}_comp_*.*"))


def _numbered(files: Iterator[Path] | Sequence[Path]) -> dict[int, Path]:
    """Files by the number at the end of their names, with or without leading zeros."""
    by_number: dict[int, Path] = {}
    for file in files:
        digits = re.search(r"(\d+)$", file.stem)
        if digits and file.suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp"):
            by_number[int(digits.group(1))] = file
    return by_number


def _label_lines(file: Path) -> dict[int, float]:
    """Intensities by frame number from lines such as ``17,3`` or ``017.jpg 3``; headers and comments are skipped."""
    if not file.is_file():
        raise InputError(f"label file {file}", got="no such file", expected="one file per action unit")
    pattern = re.compile(r"\s*(\d+)(?:\.\w+)?[\s,]+([0-5](?:\.\d+)?)\s*$")
    matches = (pattern.match(line) for line in file.read_text().splitlines())
    return {int(match.group(1)): float(match.group(2)) for match in matches if match}


def _facs_lines(file: Path) -> dict[str, float]:
    scores: dict[str, float] = {}
    for line in file.read_text().split("\n"):
        cells = line.split()
        if len(cells) == 2 and 0 < float(cells[0]) < 30:
            scores[au_name(int(float(cells[0])))] = float(cells[1]) or PRESENT
    return scores


def _ckplus_emotion(root: Path, subject: str, sequence: str) -> str | None:
    for file in (root / "Emotion" / subject / sequence).glob("*_emotion.txt"):
        return _CKPLUS_EMOTIONS.get(int(float(file.read_text())))
    return None
