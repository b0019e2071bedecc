"""A file with one line per commit and machine, and a plot that never connects machines."""

import json
import subprocess
from xml.etree import ElementTree

import pytest

from edgeau.benchmarks.chain.steps import OUT, Point
from edgeau.benchmarks.studies.trend import LAYERS, ROOT, line_of, main, picture, read_lines
from edgeau.runtime.errors import InputError

RENDER = Point("synth", ("synth", "--out", OUT, "--subjects", "1", "--frames", "2", "--size", "32", "--workers", "1"))
SVG = "{http://www.w3.org/2000/svg}"


def part(commit="a" * 40, device="board", name="synth 32 images", seconds=(1.0, 3.0, 2.0), day=1):
    point = {"step": "synth", "name": name, "model": "", "batch": 0, "count": 32, "unit": "image"}
    return {
        "provenance": {"commit": commit, "commit_date": f"2026-01-{day:02d}T00:00:00+00:00", "date": "2026-02-01",
                       "python": "3.11.2", "versions": {}},
        "device": device,
        "yardstick_ms": [0.1],
        "points": [{**point, "wall_s": list(seconds), "cpu_s": list(seconds)}],
        "absent": [],
    }  # fmt: skip


@pytest.fixture
def checkout(tmp_path):
    """A repository whose layers are links to this checkout's."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for layer in LAYERS:
        (folder / layer).symlink_to(ROOT / layer)
    names = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], [*names, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_a_checkout_is_measured_added_and_plotted(checkout, monkeypatch, tmp_path):
    monkeypatch.setattr("edgeau.benchmarks.chain.measure.points", lambda: [RENDER])
    out, folder = tmp_path / "part.json", tmp_path / "trend"
    measure = ["measure", "--checkout", str(checkout), "--steps", "synth", "--rounds", "1"]
    assert main([*measure, "-o", str(out)]) == 0
    assert main(["--folder", str(folder), "add", str(out)]) == 0
    (line,) = read_lines(folder / "trend.jsonl")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True)
    assert line["commit"] == head.stdout.strip()
    assert line["points"][0]["wall_s"]["median"] > 0
    assert main(["--folder", str(folder), "plot"]) == 0
    assert ElementTree.parse(folder / "trend.svg").getroot().tag == f"{SVG}svg"


def test_a_checkout_with_changes_is_refused(checkout, capsys):
    (checkout / "runtime").unlink()
    assert main(["measure", "--checkout", str(checkout)]) == 2
    assert "clean checkout" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (part(commit="b" * 40, name="x"), "commit"),
        (part(device="pc", name="x"), "machine"),
        (part(), "same command twice"),
        (part(commit="a" * 40 + "-dirty", name="x"), "commit"),
    ],
)
def test_parts_of_different_measurements_are_refused(other, says):
    with pytest.raises(InputError, match=says):
        line_of([part(), other])


def test_a_line_has_minimum_median_and_maximum():
    assert line_of([part()])["points"][0]["wall_s"] == {"low": 1.0, "median": 2.0, "high": 3.0}


def test_lines_are_ordered_by_commit_and_pooled_within_a_commit(tmp_path):
    measured = (("b", 2, (5, 6, 7)), ("a", 1, (4,)), ("b", 2, (8, 9, 11)))
    lines = [line_of([part(commit=commit * 40, day=day, seconds=seconds)]) for commit, day, seconds in measured]
    file = tmp_path / "trend.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, second = (line["points"][0]["wall_s"] for line in read_lines(file))
    assert first == {"low": 4, "median": 4, "high": 4}
    assert second == {"low": 5, "median": 7.5, "high": 11}


def test_a_line_of_another_schema_is_refused(tmp_path, capsys):
    (tmp_path / "trend.jsonl").write_text('{"schema": "edgeau-trend-0"}\n')
    assert main(["--folder", str(tmp_path), "plot"]) == 2
    assert "line 1" in capsys.readouterr().err


def test_points_of_different_machines_are_never_connected():
    lines = [
        line_of([part(commit=c * 40, day=day, device=d)])
        for c, day, d in (("a", 1, "pc"), ("b", 2, "pc"), ("c", 3, "board"))
    ]
    root = ElementTree.fromstring(picture(lines))
    traces = [each for each in root.iter(f"{SVG}path") if each.get("class", "").startswith("trace")]
    assert sorted(each.get("d").count("L") for each in traces) == [0, 1]
    assert {"pc", "board"} <= {each.text for each in root.iter(f"{SVG}text")}
