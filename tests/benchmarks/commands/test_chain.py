"""`edgeau bench chain` on real commands: what is timed, what is listed as missing, and what remains after Ctrl-C."""

import json
import signal
import subprocess

import pytest

from edgeau.benchmarks.chain.measure import measure
from edgeau.benchmarks.chain.page import SCHEMA, lines
from edgeau.benchmarks.chain.steps import OUT, Point, points, preparations
from edgeau.runtime.cli import main


def _time_only(monkeypatch, *commands):
    """Time these points instead of the whole chain."""
    monkeypatch.setattr("edgeau.benchmarks.chain.measure.points", lambda: list(commands))


RENDER = Point("synth", ("synth", "--out", OUT, "--subjects", "1", "--frames", "2", "--size", "32", "--workers", "1"))
REFUSED = Point("build", ("build", OUT))


def test_times_are_recorded_and_points_that_fail_are_listed(monkeypatch, tmp_path, capsys):
    _time_only(monkeypatch, RENDER, REFUSED)
    out = tmp_path / "chain.json"
    assert main(["bench", "chain", "--steps", "synth,build", "--rounds", "2", "-o", str(out)]) == 0
    table = capsys.readouterr().out
    value = json.loads(out.read_text())
    assert value["schema"] == SCHEMA
    (point,) = value["points"]
    assert point["step"] == "synth"
    assert len(point["wall_s"]) == len(point["cpu_s"]) == len(value["yardstick_ms"]) == 2
    assert min(*point["wall_s"], *point["cpu_s"]) > 0
    (absent,) = value["absent"]
    assert absent["name"].startswith("build")
    assert f"not timed: {absent['name']}: {absent['reason']}" in table
    assert value["interrupted"] is False


def test_a_point_without_its_input_says_what_it_needs(monkeypatch):
    _time_only(monkeypatch, RENDER, Point("export", ("export", "absent.pt", "-o", OUT), needs=("absent.pt",)))
    chain = measure(["synth", "export"], 1)
    (absent,) = chain.absent
    assert "needs absent.pt" in absent.reason


def test_ctrl_c_keeps_the_times_and_marks_them_as_interrupted(interruptible_edgeau, tmp_path):
    out = tmp_path / "chain.json"
    command = [*interruptible_edgeau, "bench", "chain", "--steps", "synth", "--rounds", "1000", "-o", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stderr:
            if line.startswith("round 2"):
                running.send_signal(signal.SIGINT)
                break
        table = running.stdout.read()
        assert running.wait(60) == 0
    value = json.loads(out.read_text())
    assert value["interrupted"] is True
    assert {len(point["wall_s"]) for point in value["points"]} <= {1, 2}
    assert "interrupted: " in table


def test_every_input_of_a_point_is_prepared_before_it():
    needed = {name for point in points() for name in point.needs}
    prepared: set[str] = set()
    for each in preparations(needed):
        assert {word for word in each.words if word in needed and word != each.makes} <= prepared
        prepared.add(each.makes)
    assert needed <= prepared


def test_names_of_points_are_unique():
    names = [point.name for point in points()]
    assert len(set(names)) == len(names)


def test_a_chain_without_any_times_fails_with_the_reason(monkeypatch, capsys):
    _time_only(monkeypatch, REFUSED)
    assert main(["bench", "chain", "--steps", "build", "--rounds", "1"]) == 1
    assert capsys.readouterr().out.startswith("not timed: build")


@pytest.mark.parametrize("steps", ["nonsense", "", "synth,"])
def test_unknown_steps_are_a_one_line_error_with_exit_code_2(steps, capsys):
    assert main(["bench", "chain", "--steps", steps]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--steps" in line
    assert "synth" in line


def test_the_tables_have_cost_and_growth(monkeypatch):
    more = Point("synth", (*RENDER.words[:4], "4", *RENDER.words[5:]), count=4, unit=RENDER.unit)
    _time_only(monkeypatch, RENDER, more)
    text = "\n".join(lines(measure(["synth"], 1)))
    assert "not timed" not in text
    assert "packages, 1 to 4" in text
    assert "per doubling" in text


def test_a_command_that_exits_does_not_end_the_worker(monkeypatch):
    _time_only(monkeypatch, Point("report", ("bench", "--help")), RENDER)
    assert [each.point.step for each in measure(["report", "synth"], 1).times] == ["report", "synth"]
