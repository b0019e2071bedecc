"""Files of measurements survive a round trip, compressed or not, and others are refused with a one-line error."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeau.benchmarks.columns import row
from edgeau.benchmarks.records import read_measurements, read_records, write_records
from edgeau.benchmarks.studies.migrate_records import main as migrate
from edgeau.runtime.errors import InputError

VALUE = {"records": [{"name": "Zürich", "samples_ms": [0.1, 2e-4]}]}


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_records_survive_a_round_trip(tmp_path: Path, name: str) -> None:
    write_records(tmp_path / name, VALUE)
    assert read_records(tmp_path / name) == VALUE


@pytest.mark.skipif(shutil.which("gzip") is None, reason="no gzip command")
def test_a_compressed_file_is_readable_by_gzip_and_reproducible(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json.gz", tmp_path / "b.json.gz"
    write_records(first, VALUE)
    write_records(second, VALUE)
    assert first.read_bytes() == second.read_bytes()
    shown = subprocess.run(["gzip", "-dc", str(first)], capture_output=True, check=True).stdout
    assert json.loads(shown) == VALUE


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b"{"),
        ("a.json.gz", b"not gzip"),
        ("b.json.gz", gzip.compress(b"{}", mtime=0)[:-4]),
        ("c.json", b"\xff\xfe\x00"),
        ("d.json", b"[" * 100_000),
        ("e.json.gz", gzip.compress(bytes(range(256)) * 99)[:12] + b"\xff" * 99),
    ],
)
def test_an_unreadable_file_is_a_one_line_error(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=f"{name}: got something unreadable") as raised:
        read_records(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_records(tmp_path / "none.json")


RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
# Two records that `edgeau bench` wrote at commit 92daa56, with the first 240 calls of each.
FIRST_SCHEMA = Path(__file__).with_name("first_schema.json")


def test_a_file_of_the_first_schema_is_read_as_rounds() -> None:
    record = read_measurements(FIRST_SCHEMA)[0]
    assert record["protocol"] == "edgeau-bench-1"
    assert len(record["rounds"]["p50_ms"]) == len(record["rounds"]["min_ms"]) == 12
    low, high = record["latency"]["p50_interval_ms"]
    assert low <= high
    assert row(record)["p50 ms"] == "5.683"  # as that version of edgeau printed it
    assert record["warnings"] == []


def test_a_migrated_file_says_the_same_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    shutil.copyfile(FIRST_SCHEMA, file)
    before = read_measurements(file)
    assert migrate([str(file)]) == 0
    assert read_records(file)["schema"] == "edgeau-bench-2"
    after = read_measurements(file)
    assert [record["rounds"] for record in after] == [record["rounds"] for record in before]
    assert [row(record)["p50 ms"] for record in after] == [row(record)["p50 ms"] for record in before]
    assert after[1]["versus_fp32"]["value"] == 1
    once = file.read_bytes()
    assert migrate([str(file)]) == 0
    assert file.read_bytes() == once


@pytest.mark.parametrize("name", ["families.json.gz", "pareto.records.json.gz", "report.json.gz"])
def test_the_records_kept_here_are_of_the_present_schema(name: str) -> None:
    assert read_records(RESULTS / name)["schema"] == "edgeau-bench-2"
    assert all(record["rounds"]["p50_ms"] for record in read_measurements(RESULTS / name))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "no records"),
        ({"records": []}, "no records"),
        ({"records": [{"package": "a"}]}, "a record without variant"),
        ({"records": [1]}, "a record without package"),
    ],
)
def test_json_without_records_is_a_one_line_error(tmp_path: Path, value: object, says: str) -> None:
    write_records(tmp_path / "a.json", value)
    with pytest.raises(InputError, match=says) as raised:
        read_measurements(tmp_path / "a.json")
    assert "\n" not in str(raised.value)


def test_an_unknown_schema_is_refused(tmp_path: Path) -> None:
    records = read_records(RESULTS / "families.json.gz")["records"][:1]
    write_records(tmp_path / "a.json", {"records": [{**records[0], "protocol": "edgeau-bench-9"}]})
    with pytest.raises(InputError, match="got records of schema edgeau-bench-9, expected edgeau-bench-2"):
        read_measurements(tmp_path / "a.json")
