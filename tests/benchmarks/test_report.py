from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeau.benchmarks.report import Extras, write_html
from edgeau.runtime.timing import latency


def record(variant: str, p50_ms: float, **changes: Any) -> dict[str, Any]:
    samples = np.linspace(p50_ms * 0.9, p50_ms * 1.1, 50).tolist()
    value = {
        "package": "tiny", "variant": variant, "precision": "fp32", "backend": "onnxruntime", "threads": 1, "batch": 1,
        "latency": vars(latency([np.array(samples)] * 6)), "versus_fp32": None,
        "throughput_per_s": 1e3 / p50_ms, "samples_ms": samples, "facts": {"size_bytes": 700_000, "parameters": 172_000,
        "macs": 30_000_000}, "memory": None, "energy": None, "machine": {"cpu": "test <b>CPU</b>"}, "state_before": {},
        "provenance": {"date": "2026-01-01"}, "options": {"seconds": 1}, "protocol": "p", "warnings": ["busy & noisy"],
    }  # fmt: skip
    return {**value, **changes}


def test_the_page_contains_everything_with_escaped_text(tmp_path: Path) -> None:
    png = tmp_path / "photo.png"
    png.write_bytes(b"\x89PNG")
    parity = [{"name": "int8", "reference": "fp32", "max_abs_error": 0.01, "mean_abs_error": 0.001, "sqnr_db": None,
               "decisions": 10, "decisions_flipped": 1, "samples": 5, "data": "crops"}]  # fmt: skip
    extras = Extras("title", parity, ["a note"], png, "a caption")
    write_html([record("fp32", 2.0), record("int8", 1.0)], tmp_path / "report.html", extras)
    page = (tmp_path / "report.html").read_text("utf-8")
    for text in ("a note", "a caption", "1 of 10", "exact", "busy &amp; noisy", "test &lt;b&gt;CPU", "2.00"):
        assert text in page
    assert "(2.000 to 2.000)" in page
    assert page.count("<figure>") == 3  # latency, distribution, the photo
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize("records", [[], [record("fp32", 2.0)]])
def test_a_report_of_no_or_one_record_is_written(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    write_html(records, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.rstrip().endswith("</html>")
    assert ('data-name="variant">fp32<' in page) is bool(records)
