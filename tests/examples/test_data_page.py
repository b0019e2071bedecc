"""The commands, code and formats in docs/data.md are used as written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeau.runtime.cli import main
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.package import Package

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")

# Additional options for the commands on the page, so that they finish quickly.
SHORTER = {
    "train": "--steps 3 --batch 8 --device cpu --config widths=(16,24) --config depths=(1,1) --config stem_width=8 "
    "--config group_width=8 --config block_maps=((0,),(1,))",
    "export": "",
    "quantize": "--targets onnxruntime --samples 16",
    "bench": "--seconds 0.05 --warmup 0 --rounds 1 --no-memory --backends onnxruntime",
    "run": "--variant int8-ort",
}


def commands_after(sentence: str) -> list[list[str]]:
    """The indented commands that follow a sentence of the page."""
    block = PAGE.split(sentence, 1)[1].lstrip("\n")
    lines = re.match(r"(?:    .*\n)+", block)
    assert lines is not None
    return [shlex.split(line)[1:] for line in lines[0].splitlines()]


def write_own(folder: Path) -> None:
    """Eight people with four pictures each, in which the mouth's width follows AU12."""
    rng = np.random.default_rng(0)
    rows = ["file,subject,AU01,AU12"]
    for person in range(8):
        for level in (0, 2, 4, 5):
            face = rng.integers(90, 120, (112, 112, 3), np.uint8)
            face[80:86, 50 - 5 * level : 62 + 5 * level] = 30
            name = f"p{person}/{level}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(folder / name), face)
            rows.append(f"{name},p{person},{5 if level == 2 else 0},{level}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.slow
def test_the_five_commands_run_from_a_csv_file_to_an_int8_package(
    tmp_path: Path, photo_bgr: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_own(Path("own"))
    cv2.imwrite("photo.jpg", photo_bgr)
    commands = commands_after("Five commands from there to a running INT8 package:\n")
    assert [words[0] for words in commands] == list(SHORTER)
    for words in commands:
        assert main([*words, *shlex.split(SHORTER[words[0]])]) == 0, words
    variants = {variant.name: variant for variant in Package.open("mine.edgeau").manifest.variants}
    assert variants["int8-ort"].notes["calibration"]["data"] == "own"
    assert "AU12" in capsys.readouterr().out


def test_the_file_written_by_the_code_on_the_page_is_a_crop_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    exec(code[1], {})
    crops = read_crops("faces.npz", CropSpec())
    assert (crops.aus, crops.subjects) == (("AU01", "AU12"), ("anna", "anna", "ben", "ben"))
    np.testing.assert_array_equal(crops.intensity, [[0, 0], [0, 4], [0, 0], [3, np.nan]])


def test_a_folder_in_the_documented_format_is_a_crop_set(tmp_path: Path) -> None:
    (tmp_path / "crops" / "shards").mkdir(parents=True)
    text = PAGE.split("crops/index.json", 1)[1].split("crops/shards/s00000.npy", 1)[0]
    (tmp_path / "crops" / "index.json").write_text(text)
    np.save(tmp_path / "crops" / "shards" / "s00000.npy", np.full((2, 112, 112, 3), 7, np.uint8))
    np.savez(tmp_path / "crops" / "shards" / "s00000.npz", au=np.array([[0, 0], [0, 4.0]]), neutral=np.array([0, 0]))
    crops = read_crops(str(tmp_path / "crops"), CropSpec())
    assert (crops.aus, crops.subjects) == (("AU01", "AU12"), ("anna", "anna"))
    assert crops.intensity[1].tolist() == [0, 4]
