"""A report as one HTML file: tables, plots and conditions, from the same records as the JSON."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeau.runtime.errors import MissingExtraError
from edgeau.runtime.files import write_text

from .columns import COLUMNS, TAIL_COLUMNS, interval_row, row, rows_of
from .plots import labels, latency_bars, latency_curves


@dataclass(frozen=True)
class Extras:
    """What a report may contain besides measurements.

    Attributes:
        title: of the page.
        parity: one JSON object per variant: ``name``, ``made_from`` and the fields of Parity.
        notes: sentences above the tables, such as what was skipped and why.
        photo: a PNG file.
        photo_caption: its description.
    """

    title: str = "edgeau benchmark"
    parity: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    photo: Path | None = None
    photo_caption: str = ""


def write_html(records: Sequence[Mapping[str, Any]], path: Path, extras: Extras = Extras()) -> None:
    """Write the report.

    Args:
        records: of one run, as `with_fp32_ratios` returns them.
        path: the HTML file, which needs no other file.
        extras: what else to show.

    Raises:
        MissingExtraError: jinja2 or matplotlib is not installed.
    """
    plots = []
    if records:
        plots = [latency_bars(records), latency_curves(records)]
    page = (
        environment()
        .from_string(_TEMPLATE)
        .render(
            style=STYLE,
            extras=extras,
            rows=rows_of(records, row),
            columns=[name for name in COLUMNS if name not in TAIL_COLUMNS],
            intervals=rows_of(records, interval_row),
            sources=sorted({f"{entry['name']} on {entry['data']}" for entry in extras.parity}),
            parity=[_parity_row(entry) for entry in extras.parity],
            plots=[{"svg": _data_uri(plot.svg, "svg+xml"), "alt": plot.caption} for plot in plots],
            photo=_data_uri(extras.photo.read_bytes(), "png") if extras.photo else None,
            conditions=conditions(records),
            warnings=[
                f"{name}: {'; '.join(record['warnings'])}"
                for name, record in zip(labels(records), records, strict=True)
                if record["warnings"]
            ],
        )
    )
    write_text(path, page)


def environment() -> Any:
    """jinja2's, which escapes what it shows. Raises MissingExtraError if it is not installed."""
    try:
        from jinja2 import Environment
    except ModuleNotFoundError as error:
        raise MissingExtraError("jinja2", "bench", "a report") from error
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _parity_row(entry: Mapping[str, Any]) -> dict[str, str]:
    sqnr = entry.get("sqnr_db")
    return {
        "variant": entry["name"],
        "against": entry["reference"],
        "max error": f"{entry['max_abs_error']:.4f}",
        "mean error": f"{entry['mean_abs_error']:.5f}",
        "SQNR dB": "exact" if sqnr is None else f"{sqnr:.1f}",
        "decisions flipped": f"{entry['decisions_flipped']} of {entry['decisions']}",
        "crops": str(entry["samples"]),
    }


def conditions(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What the figures depend on, from the first record; it is the same for all records of a run."""
    if not records:
        return []
    first = records[0]
    found = [("protocol", first["protocol"])]
    found += [(f"machine: {k}", _text(v)) for k, v in first["machine"].items() if v not in (None, "", [], {})]
    found += [(f"state: {k}", _text(v)) for k, v in first["state_before"].items() if v not in (None, "", [], {})]
    found += [(k, _text(v)) for k, v in first["provenance"].items() if v not in (None, "", [], {})]
    found += [(f"measured: {k}", _text(v)) for k, v in first["options"].items()]
    return found


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return str(value)


def _data_uri(data: bytes, kind: str) -> str:
    buffer = io.BytesIO(data)
    return html.escape(f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}")


STYLE = """\
  :root { color-scheme: light; --line: #d8dbe0; --soft: #f5f6f8; --ink: #1c2430; --muted: #5c6675; }
  body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1200px; margin: 2rem auto;
         padding: 0 1rem; }
  h1 { font-size: 1.6rem; margin: 0 0 .5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
  .wide { overflow-x: auto; }
  table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
  th, td { padding: .35rem .45rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
  th { font-weight: 600; background: var(--soft); }
  th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
  td.long { white-space: normal; text-align: left; }
  figure { margin: 1rem 0; } img { max-width: 100%; height: auto; } figcaption, .muted { color: var(--muted); }
  .warning { background: #fff5dc; border-left: 4px solid #e0a800; padding: .4rem .8rem; margin: .4rem 0; }
"""

_TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ extras.title }}</title>
<style>
{{ style|safe }}
</style>
<h1>{{ extras.title }}</h1>
{% for note in extras.notes %}
<p>{{ note }}</p>
{% endfor %}
{% if warnings %}
<details class="warning"><summary>What makes these figures doubtful</summary><ul>
{% for warning in warnings %}
<li>{{ warning }}</li>
{% endfor %}
</ul></details>
{% endif %}
{% if rows %}
<h2>Latency, size, memory and accuracy</h2>
<div class="wide"><table>
<tr>{% for column in columns %}<th>{{ column }}</th>{% endfor %}</tr>
{% for row in rows %}
<tr>{% for column in columns %}<td>{{ row[column] }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
<p class="muted">Wall time of one call of the backend, with preprocessing inside the graph; face detection is not in it.
&plusmn; is half of p50's 95% interval. &ldquo;vs fp32&rdquo; compares with FP32 on the same backend, threads and batch,
round by round: above 1 is faster, &ldquo;same&rdquo; means no difference, a span that
the measurement was too short to tell.</p>
{% endif %}
{% if intervals %}
<h2>Percentiles</h2>
<div class="wide"><table>
<tr>{% for column in intervals[0] %}<th>{{ column }}</th>{% endfor %}</tr>
{% for row in intervals %}
<tr>{% for cell in row.values() %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
<p class="muted">In brackets the interval that holds the true value with a probability of 95%, without assumptions
on the distribution: for p50 over rounds, for the others over calls as if they were independent.</p>
{% endif %}
{% for plot in plots %}
<figure><img src="{{ plot.svg|safe }}" alt="{{ plot.alt }}"><figcaption>{{ plot.alt }}</figcaption></figure>
{% endfor %}
{% if parity %}
<h2>Parity</h2>
<div class="wide"><table>
<tr>{% for column in parity[0] %}<th>{{ column }}</th>{% endfor %}</tr>
{% for row in parity %}
<tr>{% for cell in row.values() %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
<p class="muted">Errors are of AU probabilities (0..1); a decision is one AU of one crop at its threshold.
{% for source in sources %}{{ source }}. {% endfor %}</p>
{% endif %}
{% if photo %}
<h2>On a photo</h2>
<figure><img src="{{ photo|safe }}" alt="annotated photo"><figcaption>{{ extras.photo_caption }}</figcaption></figure>
{% endif %}
{% if conditions %}
<h2>Conditions</h2>
<div class="wide"><table>
{% for key, value in conditions %}
<tr><td>{{ key }}</td><td class="long">{{ value }}</td></tr>
{% endfor %}
</table></div>
{% endif %}
</html>
"""
