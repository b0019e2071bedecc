"""The claims as a table for the terminal, as JSON, and as one HTML page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeau.benchmarks.measurement import Measurement
from edgeau.benchmarks.records import read_records
from edgeau.benchmarks.report import conditions, environment
from edgeau.benchmarks.style import STYLE
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import write_text

from .claims import Paper
from .evaluate import FAILS, HOLDS, Outcome, Versus
from .networks import NETWORKS

_UNITS = {"parameters": (1e-6, ".2f", "M"), "macs": (1e-6, ".0f", "MMAC"), "p50_ms": (1, ".2f", "ms"),
          "model_mib": (1, ".0f", "MiB")}  # fmt: skip
_MARKS = {HOLDS: "✓", FAILS: "✗"}


SCHEMA = "edgeau-claims-2"


def read_claims_file(path: Path) -> dict[str, Any]:
    """What `edgeau bench claims -o` wrote. Raises InputError if it is another kind of file."""
    value = read_records(path)
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        got = value.get("schema") if isinstance(value, dict) else None
        raise InputError(str(path), got=f"schema {got}", expected=SCHEMA, hint="type: edgeau bench claims -o FILE")
    return value


def read_rows(path: Path) -> list[dict[str, str]]:
    """The table of a file that `edgeau bench claims -o` wrote. Raises InputError if it is another kind of file."""
    table: list[dict[str, str]] = read_claims_file(path)["rows"]
    return table


def to_json(
    papers: Mapping[str, Paper], outcomes: Sequence[Outcome], records: Mapping[str, Measurement]
) -> dict[str, Any]:
    """Everything as plain values; measurements without their samples."""
    return {
        "schema": SCHEMA,
        "rows": rows(papers, outcomes),
        "papers": {family: dataclasses.asdict(paper) for family, paper in papers.items()},
        "outcomes": [_outcome(outcome) for outcome in outcomes],
        "networks": {name: {**record.to_json(), "samples_ms": []} for name, record in records.items()},
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    value = dataclasses.asdict(outcome)
    value["versus"] = [{**dataclasses.asdict(each), "ratio": each.ratio.to_json()} for each in outcome.versus]
    return value


def rows(papers: Mapping[str, Paper], outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """One row per claim and package."""
    return [
        {
            "paper": papers[outcome.claim.family].name,
            "claim": f"“{outcome.claim.quote}”" if outcome.claim.quote else "none on efficiency",
            "as a test": outcome.claim.meaning,
            "ours": _ours(outcome),
            "compared with": "; ".join(_versus(outcome.claim.metric, each) for each in outcome.versus)
            or outcome.claim.published
            or "-",
            "verdict": f"{_MARKS.get(outcome.verdict, '–')} {outcome.verdict}"
            + (f": {outcome.reason}" if outcome.reason else ""),
        }
        for outcome in outcomes
    ]


def lines(papers: Mapping[str, Paper], outcomes: Sequence[Outcome]) -> list[str]:
    """The claims for a terminal, a paragraph each."""
    text = []
    for row in rows(papers, outcomes):
        text += [f"{row['paper']}: {row['claim']}", f"    test: {row['as a test']}"]
        text += [f"    ours: {row['ours']}; {row['compared with']}", f"    {row['verdict']}", ""]
    return text


def doubts(networks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What makes the figures doubtful, such as an interruption: each warning once, with the networks that have it."""
    names: dict[str, list[str]] = {}
    for name, record in networks.items():
        for warning in record["warnings"]:
            names.setdefault(warning, []).append(_title(name))
    return [f"{warning}: {', '.join(each)}" for warning, each in names.items()]


def network_rows(records: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """What each network costs, from measurements as JSON."""
    return [
        {
            "network": _title(name),
            "parameters": _cell(record, "parameters"),
            "multiply-adds": _cell(record, "macs"),
            "p50": _cell(record, "p50_ms"),
            "95% interval": _interval(record),
            "memory": _cell(record, "model_mib"),
            "from": _source(name),
        }
        for name, record in records.items()
    ]


def write_page(path: Path, value: Mapping[str, Any]) -> None:
    """One HTML file that needs no other, from what `to_json` gave. Raises MissingExtraError without jinja2."""
    page = environment().from_string(_TEMPLATE).render(
        style=STYLE,
        claims=value["rows"],
        networks=network_rows(value["networks"]),
        doubts=doubts(value["networks"]),
        papers=list(value["papers"].values()),
        conditions=conditions(list(value["networks"].values())),
    )  # fmt: skip
    write_text(path, page)


def _title(name: str) -> str:
    network, _, side = name.partition("@")
    return f"{NETWORKS[network].title} at {side} px" if network in NETWORKS else name


def _source(name: str) -> str:
    network = NETWORKS.get(name.partition("@")[0])
    return network.source if network else "edgeau"


def _ours(outcome: Outcome) -> str:
    if not outcome.versus:
        return "-"
    return f"{outcome.package}: {_amount(outcome.claim.metric, outcome.versus[0].ours)}"


def _versus(metric: str, versus: Versus) -> str:
    ratio = versus.ratio
    span = "" if ratio.low == ratio.high else f" ({ratio.low:.3g} to {ratio.high:.3g})"
    return f"{versus.title} {_amount(metric, versus.theirs)}, ratio {ratio.value:.3g}{span}"


def _amount(metric: str, value: float) -> str:
    scale, layout, unit = _UNITS[metric]
    return f"{value * scale:{layout}} {unit}"


def _cell(record: Mapping[str, Any], metric: str) -> str:
    group = {"p50_ms": "latency", "model_mib": "memory"}.get(metric, "facts")
    value = (record[group] or {}).get(metric)
    return "-" if value is None else _amount(metric, value)


def _interval(record: Mapping[str, Any]) -> str:
    low, high = record["latency"]["p50_interval_ms"]
    return f"{low:.2f} to {'unknown' if high is None else f'{high:.2f}'} ms"


_TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The papers' efficiency claims</title>
<style>
{{ style|safe }}
</style>
<h1>The papers' efficiency claims</h1>
<p>Quotes are from the papers' abstracts; their bodies were not available, and they claim efficiency in words. What a
claim means as a test is our reading. The models measured are our designs after the abstracts: no figure under
“ours” is a paper's. F1 that others published is given with its data and never mixed with ours.</p>
{% for doubt in doubts %}
<p class="warning">{{ doubt }}</p>
{% endfor %}
<table class="words claims">
<tr>{% for name in claims[0] %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in claims %}
<tr>{% for name, cell in row.items() %}
<td data-name="{{ name }}">{{ cell.replace("; ", "\n") if name == "compared with" else cell }}</td>
{% endfor %}</tr>
{% endfor %}
</table>
<h2>What was measured</h2>
<p>One face, float32, all in the same rounds in random order. Networks of the papers' day have random weights, which
change no cost: a convolutional trunk, a global average and one linear layer to the AUs. Their usual input is larger
than ours, which is part of the difference; claims on arithmetic, memory and speed are tested at equal input too.</p>
<table class="words figures">
<tr>{% for name in networks[0] %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in networks %}
<tr>{% for name, cell in row.items() %}<td data-name="{{ name }}">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table>
<h2>Papers</h2>
<ul>
{% for paper in papers %}
<li>{{ paper.name }}: {{ paper.title }}. {{ paper.source }}.</li>
{% endfor %}
</ul>
<h2>Conditions</h2>
<table class="words">
{% for key, value in conditions %}
<tr><td>{{ key }}</td><td>{{ value }}</td></tr>
{% endfor %}
</table>
</html>
"""
