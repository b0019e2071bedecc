"""The quantization table as Markdown."""

from __future__ import annotations

from typing import Any

from edgeau.runtime.device import usable_cores

from .quantization_measure import READERS


def markdown(value: dict[str, Any]) -> str:
    """One section per package: the table, what failed, and what `edgeau optimize` chose."""
    lines = ["# INT8: accuracy, size and time", "", f"Device: {value['device']}. {value['protocol']}.", ""]
    lines += [f"Calibrated on `{value['calibration']}`, evaluated on `{value['evaluation']}`.", ""]
    if value["load_average"] > usable_cores() + 1:
        lines += [f"The machine was busy (load {value['load_average']:.1f}): do not compare these times.", ""]
    for table in value["packages"]:
        lines += _section(table)
    return "\n".join(lines).rstrip() + "\n"


def _section(table: dict[str, Any]) -> list[str]:
    metric = table["rows"][0]["read_by"]["onnxruntime"].get("metric", "score")
    columns = [*READERS, *table["rows"][0]["p50_ms"], "importer warnings"]
    return [
        f"## {table['package']} ({table['family']})",
        "",
        f"Each reader: {metric} / decisions flipped / SQNR in dB, against FP32 on ONNX Runtime, on "
        f"{table['eval_samples']} crops. "
        "Times: p50 in ms, with the lowest and highest p50 of a round.",
        "",
        "| file | kB | " + " | ".join(columns) + " |",
        "|" + " --- |" * (len(columns) + 2),
        *(row_text(row) for row in table["rows"]),
        "",
        *(f"- {name}: {reason}" for name, reason in table["failures"].items()),
        *_refusals(table["rows"]),
        "",
        *_chosen(table["optimize"]),
    ]


def row_text(row: dict[str, Any]) -> str:
    """One file as a line of the table."""
    importer = row["importer"]
    warnings = "-" if importer["parsed"] is None else str(importer["warnings"])
    cells = [
        row["file"],
        f"{row['size_bytes'] / 1e3:.0f}",
        *(_accuracy(entry) for entry in row["read_by"].values()),
        *("-" if times is None else _time(times) for times in row["p50_ms"].values()),
        "does not parse" if importer["parsed"] is False else warnings,
    ]
    return "| " + " | ".join(cells) + " |"


def _accuracy(entry: dict[str, Any]) -> str:
    if "refused" in entry:
        return "refused"
    ratio = "exact" if entry["sqnr_db"] is None else f"{entry['sqnr_db']:.1f}"
    return f"{entry['score']:.4f} / {entry['flipped']} / {ratio}"


def _time(times: dict[str, float]) -> str:
    return f"{times['p50']:.2f} ({times['lowest']:.2f} to {times['highest']:.2f})"


def _refusals(rows: list[dict[str, Any]]) -> list[str]:
    """Why a reader could not run a file, one line each."""
    return [
        f"- {row['file']} on {reader}: {entry['refused']}"
        for row in rows
        for reader, entry in row["read_by"].items()
        if "refused" in entry
    ]


def _chosen(selection: dict[str, Any]) -> list[str]:
    """What `edgeau optimize` chose for this device, if it was run on the package before."""
    if not selection:
        return []
    settings = ", ".join(f"{key} {selection[key]}" for key in ("variant", "backend", "threads", "batch"))
    return [f"`edgeau optimize` chose: {settings}.", ""]
