"""One record as a line of text."""

from __future__ import annotations

import dataclasses
from typing import Any

from edgeau.benchmarks.columns import COLUMNS, lines, row, with_speedups
from edgeau.benchmarks.memory import Memory


def record(**changes: Any) -> dict[str, Any]:
    value = {
        "package": "tiny", "variant": "fp32", "backend": "onnxruntime", "threads": 1, "batch": 1,
        "latency": {"p50_ms": 2.0, "p90_ms": 2.2, "p99_ms": 2.4, "cv": 0.05, "unstable": False},
        "throughput_per_s": 500.0, "facts": {"size_bytes": 700_000, "parameters": 172_000, "macs": 30_000_000},
        "memory": None, "energy": None, "accuracy": {},
    }  # fmt: skip
    return {**value, **changes}


def test_what_was_not_measured_is_a_dash_not_a_zero() -> None:
    found = row(record())
    assert list(found) == list(COLUMNS)
    assert {found[name] for name in ("peak MiB", "model MiB", "mJ", "vs fp32", "F1")} == {"-"}
    assert (found["MB"], found["params"], found["MMACs"]) == ("0.70", "172,000", "30.0")


def test_figures_are_read_from_the_records_that_the_harness_writes() -> None:
    assert {"peak_mib", "model_mib"} <= {field.name for field in dataclasses.fields(Memory)}
    measured = record(memory={"peak_mib": 68.2, "model_mib": 1.25}, accuracy={"mean_f1": 0.7344}, speedup=1.5)
    found = row(measured)
    assert (found["peak MiB"], found["model MiB"], found["F1"], found["vs fp32"]) == ("68", "1.2", "0.734", "1.50x")


def test_scattered_times_are_marked() -> None:
    latency = {"p50_ms": 2.0, "p90_ms": 2.2, "p99_ms": 2.4, "cv": 0.31, "unstable": True}
    assert row(record(latency=latency))["CV"] == "31%!"


def test_the_table_is_aligned_and_names_packages_only_where_there_are_several() -> None:
    alone, several = lines([record()]), lines([record(), record(package="other")])
    assert len({len(line) for line in alone[:2]}) == 1
    assert alone[2].startswith("fp32 ")
    assert [line.split()[0] for line in several[2:]] == ["tiny/fp32", "other/fp32"]


def test_speedups_compare_with_fp32_on_the_same_backend_and_threads() -> None:
    fast = {"p50_ms": 1.0}
    values = with_speedups(
        [record(), record(variant="int8", latency=fast), record(variant="int8", latency=fast, threads=2)]
    )
    assert [value["speedup"] for value in values] == [1.0, 2.0, None]
