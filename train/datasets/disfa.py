"""DISFA: 27 people watching a video, twelve AUs with intensities on every frame. An AU counts as present from 2.

    ActionUnit_Labels/SN001/SN001_au1.txt       lines frame,intensity
    LeftVideoSN001_comp.avi                     or its frames: LeftVideoSN001_comp_00000001.jpg, or SN001/0.png

Layout: ME-GraphAU (tool/DISFA_image_label_process.py) and AU-Net. Frames are counted from 0 or from 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from edgeau.runtime.action_units import DISFA, au_name
from edgeau.runtime.errors import InputError
from edgeau.runtime.recording import Recording

from .data_set import DataSet
from .tree import Tree, counted_from_1, joined, not_understood

AUS = tuple(au_name(n) for n in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26))
_VIDEO = r"LeftVideo(SN\d{3})_[Cc]omp\.(?i:avi)"
_FRAMES = (r"LeftVideo(SN\d{3})_[Cc]omp_(\d+)\.(?i:jpg|jpeg|png|bmp)", r"(SN\d{3})/(\d+)\.(?i:jpg|jpeg|png|bmp)")
# Percent of 130,814 frames with an intensity of 2 or more.
_RATES = dict(zip(DISFA, (4.97, 4.31, 15.24, 7.89, 4.18, 12.88, 27.71, 8.82), strict=True))


def read(tree: Tree) -> Iterator[Recording]:
    """One recording per person, from the left camera. The neutral is the first frame with the lowest intensities."""
    files = tree.labels(r"ActionUnit_Labels/(SN\d{3})/SN\d{3}_au\d+\.txt", "ActionUnit_Labels/SN001/SN001_au1.txt")
    videos = {match[1]: file for file, match in tree.matching(_VIDEO).items()}
    named, plain = (tree.images(pattern) for pattern in _FRAMES)
    for folder in sorted({file.parent for file in files}):
        subject = folder.name
        try:
            labels = joined([folder / f"{subject}_au{int(au[2:])}.txt" for au in AUS])
        except InputError as error:
            yield not_understood(subject, subject, folder, error)
            continue
        frames: Mapping[int, Path] | Path
        if subject in videos:
            frames = videos[subject]
        else:
            frames = counted_from_1(named.get((subject,)) or plain.get((subject,), {}), labels.numbers)
        yield Recording(
            subject, subject, frames, labels.numbers, AUS, labels.intensity,
            first_number=0 if 0 in labels.numbers else 1, labels=folder, remarks=labels.remarks, defects=labels.defects,
        )  # fmt: skip


DATA_SET = DataSet(
    word="disfa", title="DISFA", read=read, subjects=27, same_people="disfaplus", frames=130_814, rates=_RATES,
    present_from=2.0,
    expected="ActionUnit_Labels/SN001/SN001_au1.txt and LeftVideoSN001_comp.avi",
    source="computed from the public label lists of MDHR (CVPR 2024)",
)  # fmt: skip
