"""The arithmetic of the study, on given results of its processes."""

from __future__ import annotations

import sys

import pytest

from edgeau.benchmarks.studies.runtime_speed import Child, Figure, figures, markdown, spawn, stages
from edgeau.runtime.errors import InputError

STAGES = {"read_ms": 0.5, "detect_ms": 0.7, "crop_ms": 0.2, "infer_ms": 0.6}


def children(seconds: float, **printed: object) -> list[Child]:
    return [Child(seconds * slower, 150.0, dict(printed)) for slower in (1.0, 1.5, 2.0)]


def results() -> dict[str, list[Child]]:
    return {
        "run": children(1.0),
        "longer": children(4.0),
        "plain": children(5.0, steady_per_s=60.0),
        "stream": children(1.0, steady_per_s=660.0, first_result_s=0.3, stages=STAGES),
        "calls": children(1.0, crop_ms=0.66, bare_ms=0.6),
        "import edgeau": children(0.2),
        "import cv2": children(0.4),
    }


def test_ratios_are_computed_per_round() -> None:
    by_name = {figure.name: figure for figure in figures(results(), 300)}
    assert by_name["`edgeau run`, whole process"].values == [300.0, 200.0, 150.0]
    ratios = [figure for figure in figures(results(), 300) if figure.name == "ratio"]
    assert [figure.median for figure in ratios] == pytest.approx([5.0, 11.0])
    assert by_name["ratio to the bare call of ONNX Runtime"].median == pytest.approx(1.1)
    assert by_name["`from edgeau.runtime import load`, ratio to `import numpy, cv2`"].median == pytest.approx(0.5)


def test_goals_are_judged_by_the_median() -> None:
    assert Figure("a", "s", [0.1, 0.3, 0.9], 0.4).verdict == "at most 0.4: met"
    assert Figure("a", "s", [0.1, 0.5, 0.9], 0.4).verdict == "at most 0.4: **missed**"
    assert Figure("a", "/s", [1.0, 5.0], 4, at_least=True).verdict == "at least 4: **missed**"


def test_the_table_has_every_figure_with_its_range() -> None:
    table = figures(results(), 300)
    text = markdown(table, stages(results()["stream"]), {"numpy": 70.0}, "clip.mp4")
    assert text.count("\n| ") == len(table) + 2
    assert "| `edgeau run`, whole process | 200 frames/s | 150 to 300 | at least 300: **missed** |" in text
    assert "read 0.50, detect 0.70, crop 0.20, infer 0.60" in text


def test_a_failed_process_raises_with_its_last_message() -> None:
    assert spawn([sys.executable, "-c", "print('{\"a\": 1}')"], {}).printed == {"a": 1}
    with pytest.raises(InputError, match="exit code 3: no camera"):
        spawn([sys.executable, "-c", "import sys; sys.stderr.write('no camera'); sys.exit(3)"], {})
