"""The plots are well-formed SVG with the records' figures and nothing outside the canvas."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest

from edgeau.benchmarks import plots, svg
from edgeau.benchmarks.plots import latency_bars, latency_shapes, pareto, roofline, stage_bars
from edgeau.runtime.timing import latency


def record(number: int, **changes: Any) -> dict[str, Any]:
    samples = np.random.default_rng(number).gamma(9, 0.1 * number, 300) + 0.1
    value = {
        "package": "p & q", "variant": f"v{number}", "backend": ("onnxruntime", "openvino")[number % 2], "threads": 1,
        "batch": 1, "latency": vars(latency(np.array_split(samples, 12))), "samples_ms": samples.tolist(),
        "facts": {"size_bytes": 10**6 * number}, "accuracy": {}, "energy": None,
    }  # fmt: skip
    return {**value, **changes}


def texts(picture: str) -> list[str]:
    root = ElementTree.fromstring(picture)
    for element in root.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert -1 <= float(element.get(name, 0)) <= svg.WIDTH + 1
    return [element.text or "" for element in root.iter() if element.tag.endswith("text")]


def test_latency_bars_label_p50_and_p99() -> None:
    records = [record(1), record(2)]
    words = texts(latency_bars(records).svg)
    for each in records:
        assert f"p50 {each['latency']['p50_ms']:.3f}" in words
        assert any(word.endswith(f"p99 {each['latency']['p99_ms']:.3f}") for word in words)
    assert "2  v2 · onnxruntime, 1 thread" in words


def test_a_tail_beyond_the_axis_is_labelled_with_an_arrow() -> None:
    slow = record(1)
    slow["latency"] = {**slow["latency"], "p99_ms": 50 * slow["latency"]["p50_ms"]}
    assert any(word.startswith("→ p99") for word in texts(latency_bars([slow]).svg))


def test_latency_shapes_has_a_shape_per_record() -> None:
    assert latency_shapes([record(1), record(2), record(3)]).svg.count("shape") == 3


def test_points_on_the_pareto_front_are_filled_and_others_hollow() -> None:
    """Number 1 is the fastest and most accurate, so it alone is on the front."""
    records = [record(n, accuracy={"mean_f1": 0.9 - n / 10}) for n in (1, 2, 3)]
    plots = pareto(records)
    assert [plot.title for plot in plots] == ["Accuracy against latency", "Accuracy against size"]
    assert plots[0].svg.count("hollow") == 2
    assert pareto([record(1), record(2)]) == []


def test_the_roofline_has_a_roof_per_precision_and_a_number_per_model() -> None:
    limit = {"precision": "fp32", "peak_gmacs_per_s": 100.0, "gbytes_per_s": 20.0, "macs_per_byte": 6.0,
             "gmacs_per_s": 40.0}  # fmt: skip
    records = [record(1, limit=limit), record(2, limit={**limit, "precision": "int8", "peak_gmacs_per_s": 400.0}),
               record(3, limit=None)]  # fmt: skip
    plot = roofline(records, [{}])
    assert plot is not None
    words = texts(plot.svg)
    assert {"fp32 100", "int8 400", "1", "2"} <= set(words)
    assert "3" not in words
    assert roofline([record(1)], [{}]) is None


def test_stage_bars_are_contiguous() -> None:
    stages = {"package": "p", "variant": "fp32", "backend": "b", "detector": "d", "image": "photo", "detect_ms": 5.0,
              "crop_ms": 1.0, "infer_ms": 3.0, "rest_ms": 1.0, "total_ms": 10.0}  # fmt: skip
    bars = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', stage_bars([stages]).svg)
    ends = [float(x) + float(width) for x, width in bars]
    assert ends[:-1] == pytest.approx([float(x) for x, _ in bars[1:]], abs=0.2)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (svg.Scale(0, 10, 0, 1), [0, 2, 4, 6, 8, 10]),
        (svg.Scale(0.9, 110, 0, 1, log=True), [1, 2, 5, 10, 20, 50, 100]),
        (svg.Scale(2.5, 8, 0, 1, log=True), [3, 4, 5, 6, 7, 8]),
    ],
)
def test_ticks_are_round_numbers(scale: svg.Scale, expected: list[float]) -> None:
    assert scale.ticks() == pytest.approx(expected)


def test_the_palette_is_that_of_the_page() -> None:
    from edgeau.benchmarks.style import STYLE

    for number, colour in enumerate(plots.PALETTE[:6]):
        assert f"--c{number}: {colour}" in STYLE
