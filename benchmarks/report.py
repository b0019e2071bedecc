"""A report as one HTML file that needs no other: tables, pictures and conditions, from the same records as the JSON."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeau.runtime.errors import MissingExtraError
from edgeau.runtime.files import write_text

from .columns import COST_COLUMNS, SPEED_COLUMNS, interval_row, row, rows_of
from .plots import Plot, backends_legend, labels, latency_bars, latency_shapes, pareto, roofline, stage_bars
from .style import STYLE

Row = Mapping[str, str]


@dataclass(frozen=True)
class Extras:
    """What a report may contain besides measurements.

    Attributes:
        title: of the page.
        parity: one JSON object per variant: ``name``, ``made_from`` and the fields of Parity.
        notes: sentences above the tables, such as what was skipped and why.
        photo: a PNG file.
        photo_caption: its description.
        peaks: of the device, as in a file of measurements.
        stages: of one picture, as in a file of measurements.
        claims, peers, end_to_end: rows of the tables of `bench claims` and `bench peers`.
    """

    title: str = "edgeau benchmark"
    parity: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    photo: Path | None = None
    photo_caption: str = ""
    peaks: Sequence[Mapping[str, Any]] = ()
    stages: Sequence[Mapping[str, Any]] = ()
    claims: Sequence[Row] = ()
    peers: Sequence[Row] = ()
    end_to_end: Sequence[Row] = ()


def write_html(records: Sequence[Mapping[str, Any]], path: Path, extras: Extras = Extras()) -> None:
    """Write the report.

    Args:
        records: of one run, with ``versus_fp32`` where FP32 was measured.
        path: the HTML file, which needs no other file.
        extras: what else to show.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    speed, cost = (_table(records, names) for names in (SPEED_COLUMNS, COST_COLUMNS))
    page = (
        environment()
        .from_string(_TEMPLATE)
        .render(
            style=STYLE,
            extras=extras,
            speed=speed,
            cost=cost,
            intervals=_numbered(rows_of(records, interval_row)),
            operators=_operator_rows(records),
            whys=[
                (name, record["limit"]["share"], record["limit"]["why"])
                for name, record in zip(labels(records), records, strict=True)
                if (record.get("limit") or {}).get("why")
            ],
            callers=_caller_rows(records),
            peak_rows=[_peak_row(peak) for peak in extras.peaks],
            sources=sorted({f"{entry['name']} on {entry['data']}" for entry in extras.parity}),
            parity=[_parity_row(entry) for entry in extras.parity],
            plots=_plots(records, extras),
            legend=backends_legend(records) if records else "",
            photo=_data_uri(extras.photo.read_bytes(), "png") if extras.photo else None,
            conditions=conditions(records),
            warnings=[
                f"{name}: {'; '.join(record['warnings'])}"
                for name, record in zip(labels(records), records, strict=True)
                if record["warnings"]
            ],
            unmetered=sorted({(record.get("energy") or {}).get("reason", "") for record in records} - {""}),
        )
    )
    write_text(path, page)


def _plots(records: Sequence[Mapping[str, Any]], extras: Extras) -> list[Plot]:
    plots: list[Plot | None] = []
    if records:
        plots += [*pareto(records), latency_bars(records), latency_shapes(records), roofline(records, extras.peaks)]
    if extras.stages:
        plots.append(stage_bars(extras.stages))
    return [plot for plot in plots if plot is not None]


def _numbered(rows: Sequence[Row]) -> list[dict[str, str]]:
    """The pictures show these numbers."""
    return [{"#": str(number), **each} for number, each in enumerate(rows, 1)]


def _table(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, str]]:
    """Those columns; one that no record has is left out."""
    rows = _numbered([{name: cells[name] for name in names} for cells in rows_of(records, row)])
    empty = {name for name in names if all(each[name] == "-" for each in rows)}
    return [{name: cell for name, cell in each.items() if name not in empty} for each in rows]


def _operator_rows(records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The operators that take most time, of models that are far from the limit."""
    return [
        {
            "#": str(number),
            "candidate": name,
            "operator": each["kind"],
            "count": str(each["count"]),
            "ms": f"{each['ms']:.3f}",
            "limit ms": f"{each['limit_ms']:.3f}" if each["limit_ms"] else "-",
        }
        for number, (name, record) in enumerate(zip(labels(records), records, strict=True), 1)
        for each in ((record.get("limit") or {}).get("operators") or [])[:5]
    ]


def _caller_rows(records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Faces per second by the number of threads that call at once."""
    return [
        {"#": str(number), "candidate": name}
        | {f"{callers} callers, faces/s": f"{speed:.0f}" for callers, speed in record["concurrency"].items()}
        for number, (name, record) in enumerate(zip(labels(records), records, strict=True), 1)
        if record.get("concurrency")
    ]


def _peak_row(peak: Mapping[str, Any]) -> dict[str, str]:
    speeds = sorted((int(size), speed) for size, speed in peak["gbytes_per_s"].items())
    return {
        "device": f"{peak['device'].upper()}, {peak['threads'] or 'auto'} thread{'' if peak['threads'] == 1 else 's'}",
        "10⁹ multiply-adds per second": ", ".join(
            f"{name} {speed:.0f} ({peak['backend'].get(name, '?')})" for name, speed in peak["gmacs_per_s"].items()
        ),
        "10⁹ bytes per second by working set": ", ".join(f"{size / 2**20:g} MiB {speed:.0f}" for size, speed in speeds),
    }


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
    return html.escape(f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}")


_TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ extras.title }}</title>
<style>
{{ style|safe }}
</style>
{% macro table(rows, kind) %}
<table class="{{ kind }}">
<tr>{% for column in rows[0] %}<th>{{ column }}</th>{% endfor %}</tr>
{% for row in rows %}
<tr>{% for column, cell in row.items() %}<td data-name="{{ column }}">
{{- cell.replace("; ", "\n") if column == "compared with" else cell }}</td>{% endfor %}</tr>
{% endfor %}
</table>
{% endmacro %}
<h1>{{ extras.title }}</h1>
{% for note in extras.notes %}
<p>{{ note }}</p>
{% endfor %}
{% if warnings %}
<details class="warning" open><summary>What makes these figures doubtful</summary><ul>
{% for warning in warnings %}
<li>{{ warning }}</li>
{% endfor %}
</ul></details>
{% endif %}
{% if speed %}
<h2>Speed</h2>
{{ table(speed, "figures") }}
<p class="muted">Wall time of one call of the backend, with preprocessing inside the graph; face detection is not in it.
&plusmn; is half of p50's 95% interval. &ldquo;vs fp32&rdquo; compares with FP32 on the same backend, threads and batch,
round by round: above 1 is faster, &ldquo;same&rdquo; means no difference, a span that the measurement was too short to
tell. &ldquo;of limit&rdquo; is the share of what the device could do at most. A dash: not known.</p>
<h2>Size, memory, energy and accuracy</h2>
{{ table(cost, "figures") }}
<p class="muted">&ldquo;weights&rdquo; and &ldquo;activations&rdquo; are moved by one call. &ldquo;cold&rdquo; is from
the start of a process to its first answer.
{% for reason in unmetered %}Energy unavailable: {{ reason }}. {% endfor %}</p>
{% endif %}
{% if plots %}
<h2>Pictures</h2>
{{ legend|safe }}
<div class="pictures">
{% for plot in plots %}
<figure><h3>{{ plot.title }}</h3>{{ plot.svg|safe }}<figcaption>{{ plot.caption }}</figcaption></figure>
{% endfor %}
</div>
{% endif %}
{% if peak_rows %}
<h2>The limit</h2>
{{ table(peak_rows, "words") }}
{% for name, share, why in whys %}
<p>{{ name }} reaches {{ "%.0f"|format(100 * share) }}% of what the device could do: {{ why }}.</p>
{% endfor %}
{% if operators %}
{{ table(operators, "words") }}
<p class="muted">Time by operator while the backend's profiler ran, which slows calls down; the five longest.</p>
{% endif %}
{% endif %}
{% if callers %}
<h2>Several callers at once</h2>
{{ table(callers, "figures") }}
{% endif %}
{% if intervals %}
<h2>Percentiles</h2>
{{ table(intervals, "words") }}
<p class="muted">In brackets the interval that holds the true value with a probability of 95%, without assumptions
on the distribution: for p50 over rounds, for the others over calls as if they were independent.</p>
{% endif %}
{% if parity %}
<h2>Parity</h2>
{{ table(parity, "figures") }}
<p class="muted">Errors are of AU probabilities (0..1); a decision is one AU of one crop at its threshold.
{% for source in sources %}{{ source }}. {% endfor %}</p>
{% endif %}
{% if extras.claims %}
<h2>The papers' claims</h2>
{{ table(extras.claims, "words claims") }}
{% endif %}
{% if extras.peers %}
<h2>Peers on the same work</h2>
{{ table(extras.peers, "words") }}
{% endif %}
{% if extras.end_to_end %}
<h2>From end to end</h2>
{{ table(extras.end_to_end, "words") }}
<p class="muted">Decoding, finding faces and AUs. Published figures were not measured here; machines and harnesses
differ, so they show orders of magnitude only.</p>
{% endif %}
{% if photo %}
<h2>On a photo</h2>
<figure><img src="{{ photo|safe }}" alt="annotated photo"><figcaption>{{ extras.photo_caption }}</figcaption></figure>
{% endif %}
{% if conditions %}
<h2>Conditions</h2>
<table class="words">
{% for key, value in conditions %}
<tr><td data-name="">{{ key }}</td><td>{{ value }}</td></tr>
{% endfor %}
</table>
{% endif %}
</html>
"""
