"""`edgeau bench compare`: the comparison, the exit code, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeau.benchmarks.records import read_records, write_records
from edgeau.runtime.cli import main

QUICK = ["--seconds", "0.05", "--warmup", "0", "--rounds", "12", "--backends", "onnxruntime"]


@pytest.fixture
def recorded(package, tmp_path: Path) -> Path:
    file = tmp_path / "records.json"
    assert main(["bench", str(package.path), *QUICK, "--no-memory", "--no-limit", "--no-stages", "-o", str(file)]) == 0
    return file


def changed(file: Path, name: str, scale: float = 1.0, **changes) -> Path:
    """A copy of the records with all times scaled."""
    value = read_records(file)
    for record in value["records"]:
        record.update(changes)
        for key in ("p50_ms", "min_ms"):
            record["rounds"][key] = [ms * scale for ms in record["rounds"][key]]
    path = file.with_name(name)
    write_records(path, value)
    return path


def steady(file: Path) -> Path:
    """A copy whose rounds vary by 1%, regardless of the machine's load."""
    value = read_records(file)
    for record in value["records"]:
        times = [1 + 0.01 * (at % 5) / 4 for at in range(12)]
        record["rounds"] = {"p50_ms": times, "min_ms": times, "yardstick_ms": [1.0] * 12}
    path = file.with_name("steady.json.gz")
    write_records(path, value)
    return path


def test_slower_records_give_exit_code_1_and_others_0(recorded, capsys) -> None:
    old = steady(recorded)
    assert main(["bench", "compare", str(old), str(changed(old, "same.json"))]) == 0
    assert "no difference" in capsys.readouterr().out
    assert main(["bench", "compare", str(old), str(changed(old, "slow.json", 1.05)), "--json"]) == 1
    (difference,) = json.loads(capsys.readouterr().out)["differences"]
    assert difference["verdict"] == difference["floor"]["verdict"] == "slower"
    assert difference["floor"]["value"] == pytest.approx(1.05)
    assert main(["bench", "compare", str(old), str(changed(old, "slow.json", 1.05)), "--share", "0.1"]) == 0
    assert main(["bench", "compare", str(old), str(changed(old, "fast.json", 0.9))]) == 0


def test_packages_are_measured_in_the_same_rounds(package, tmp_path, capsys) -> None:
    copy = package.copy_to(tmp_path / "copy.edgeau")
    code = main(["bench", "compare", str(package.path), str(copy.path), *QUICK, "--share", "0.9", "--json"])
    (difference,) = json.loads(capsys.readouterr().out)["differences"]
    assert code == 0
    assert difference["name"] == "fp32 on onnxruntime, 1 thread, batch 1"
    assert difference["p50"]["low"] <= difference["p50"]["value"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"device": "another"}, "device of"),
        ({"data": "crops/"}, "input of"),
        ({"variant": "other"}, "in common"),
        ({"protocol": "edgeau-bench-9"}, "schema edgeau-bench-9"),
    ],
)
def test_records_that_are_not_comparable_are_a_one_line_error(recorded, changes, says, capsys) -> None:
    capsys.readouterr()
    other = changed(recorded, "other.json", **changes)
    assert main(["bench", "compare", str(recorded), str(other)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_invalid_arguments_are_a_one_line_error(recorded, package, capsys) -> None:
    capsys.readouterr()
    for words, says in [
        ([str(recorded), str(package.path)], "two packages or two files"),
        ([str(recorded), str(recorded), "--seconds", "1"], "--seconds"),
        ([str(recorded), str(recorded), "--share", "0"], "more than 0 and less than 1"),
        ([str(recorded), "none.json"], "no such file"),
    ]:
        assert main(["bench", "compare", *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line
