"""The commands in docs/adapt.md are run as written, with options that make them shorter."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeau.runtime.action_units import EXPRESSIONS
from edgeau.runtime.cli import main
from edgeau.runtime.package import Package

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "adapt.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line)[1:] for line in re.findall(r"^    (edgeau .*)$", PAGE, re.MULTILINE)]
SHORTER = {
    "synth": "--subjects 2 --frames 3",
    "train": "--steps 2 --batch 4 --assist-batch 2 --device cpu",
    "export": "",
    "run": "",
    "distill": "--steps 2 --batch 4 --device cpu",
}


@pytest.mark.slow
def test_the_commands_on_the_page_run_from_photos_to_packages(
    tmp_path: Path, photo_bgr: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = re.findall(r"photos/(\w+)/\*\.jpg", PAGE)
    assert set(named) <= set(EXPRESSIONS)
    for name in named:
        Path("photos", name).mkdir(parents=True)
        cv2.imwrite(f"photos/{name}/1.jpg", photo_bgr)
    cv2.imwrite("photo.jpg", photo_bgr)
    writer = cv2.VideoWriter("my-camera.avi", cv2.VideoWriter_fourcc(*"MJPG"), 4, (512, 512))
    for _ in range(4):
        writer.write(photo_bgr)
    writer.release()
    assert [words[0] for words in COMMANDS] == list(SHORTER)
    for words in COMMANDS:
        here = [word.replace(".mp4", ".avi").replace("teacher.pt", "mine/best.pt") for word in words]
        assert main([*here, *shlex.split(SHORTER[words[0]])]) == 0, words
    assert Package.open("mine.edgeau").manifest.provenance["assist"]["photos"] == "photos"
    assert Path("adapted/best.pt").is_file()
