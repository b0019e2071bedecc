"""Records as rows of a table."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from edgeau.benchmarks.columns import COLUMNS, interval_row, lines, row
from edgeau.benchmarks.memory import Memory

LATENCY = {
    "p50_ms": 2.0, "p90_ms": 2.2, "p99_ms": 2.4, "p999_ms": 3.0, "min_ms": 1.8, "samples": 1200,
    "p50_interval_ms": [1.98, 2.04], "p90_interval_ms": [2.1, 2.3], "p99_interval_ms": [2.3, 2.6],
    "p999_interval_ms": [2.5, None],
}  # fmt: skip


def record(**changes: Any) -> dict[str, Any]:
    value = {
        "package": "tiny", "variant": "fp32", "backend": "onnxruntime", "threads": 1, "batch": 1, "latency": LATENCY,
        "throughput_per_s": 500.0, "facts": {"size_bytes": 700_000, "parameters": 172_000, "macs": 30_000_000},
        "memory": None, "energy": None, "accuracy": {},
    }  # fmt: skip
    return {**value, **changes}


def test_a_figure_that_was_not_measured_is_a_dash() -> None:
    cells = row(record())
    assert list(cells) == list(COLUMNS)
    assert {cells[name] for name in ("peak MiB", "model MiB", "mJ", "vs fp32", "F1")} == {"-"}
    assert (cells["MB"], cells["params"], cells["MMACs"]) == ("0.70", "172,000", "30.0")


def test_memory_and_accuracy_are_read_from_a_record() -> None:
    assert {"peak_mib", "model_mib"} <= {field.name for field in dataclasses.fields(Memory)}
    cells = row(record(memory={"peak_mib": 68.2, "model_mib": 1.25}, accuracy={"mean_f1": 0.7344}))
    assert (cells["peak MiB"], cells["model MiB"], cells["F1"]) == ("68", "1.2", "0.734")


def test_a_percentile_that_too_few_calls_support_is_a_dash() -> None:
    cells = row(record())
    assert (cells["p50 ms"], cells["±"], cells["p99 ms"], cells["p99.9 ms"]) == ("2.000", "1.5%", "2.400", "-")
    short = row(record(latency={**LATENCY, "p50_interval_ms": [0.0, None]}))
    assert short["±"] == "-"


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict", "text"),
    [
        (0.5, 0.48, 0.52, "faster", "2.00x"),
        (1.25, 1.2, 1.3, "slower", "0.80x"),
        (1.01, 0.99, 1.03, "no difference", "same"),
        (1.1, 0.8, 1.25, "undecided", "0.80-1.25x"),
        (1.1, 0.0, None, "undecided", "?"),
    ],
)
def test_the_speed_against_fp32_reflects_the_verdict(value, low, high, verdict, text) -> None:
    ratio = {"value": value, "low": low, "high": high, "verdict": verdict}
    assert row(record(variant="int8", versus_fp32=ratio))["vs fp32"] == text


def test_an_unbounded_interval_has_an_unknown_end() -> None:
    cells = interval_row(record())
    assert cells["p50 ms"] == "2.000 (1.980 to 2.040)"
    assert cells["p99.9 ms"] == "3.000 (2.500 to unknown)"
    assert (cells["fastest ms"], cells["calls"]) == ("1.800", "1,200")


def test_the_table_is_aligned_and_names_packages_only_if_there_are_several() -> None:
    alone, several = lines([record()]), lines([record(), record(package="other")])
    assert len({len(line) for line in alone[:2]}) == 1
    assert alone[2].startswith("fp32 ")
    assert [line.split()[0] for line in several[2:]] == ["tiny/fp32", "other/fp32"]
