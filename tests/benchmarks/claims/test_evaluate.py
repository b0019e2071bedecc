"""Claims: the list is valid, each is judged by measurements, and untestable ones give the reason."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edgeau.benchmarks.claims.claims import Claim, read_claims
from edgeau.benchmarks.claims.evaluate import FAILS, HOLDS, UNDECIDED, UNTESTABLE, _judge, evaluate
from edgeau.benchmarks.claims.networks import NETWORKS
from edgeau.benchmarks.claims.page import rows
from edgeau.benchmarks.commands import claims as command
from edgeau.benchmarks.comparison import Ratio
from edgeau.benchmarks.measurement import BenchOptions
from edgeau.runtime.cli import main

QUICK = BenchOptions(warmup_s=0, seconds=0.05, rounds=10, memory=False, energy=False)
SMALL = Claim("small", "cednn", "is small", "fewer parameters", "parameters", ("mobilenetv2",))


def test_every_claim_names_a_paper_and_a_test_or_why_there_is_none() -> None:
    papers, claims = read_claims()
    assert len({claim.id for claim in claims}) == len(claims)
    for claim in claims:
        assert claim.family in papers
        assert claim.meaning
        assert bool(claim.untestable) != bool(claim.metric and claim.against)
        assert set(claim.against) <= {*NETWORKS, "ungrouped", "twice-the-aus"}
    assert {claim.family for claim in claims} == {"cednn", "fan-trans", "sma-net", "eau"}


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.4, 0.6, HOLDS), (0.9, 1.1, UNDECIDED), (1.1, 1.2, FAILS), (0.0, 1.0, HOLDS)]
)
def test_a_claim_holds_only_if_the_whole_interval_does(low: float, high: float, verdict: str) -> None:
    assert _judge(SMALL, Ratio(0.5, low, high)) == verdict


def test_claims_are_judged_by_measurements(package) -> None:
    claims = [
        SMALL,
        dataclasses.replace(SMALL, id="tiny", at_most=1e-9),
        Claim("fast", "cednn", "is fast", "less time", "p50_ms", ("mobilenetv2",), same_input=True),
        Claim("aus", "cednn", "extends", "arithmetic", "macs", ("twice-the-aus",), at_least=0.9),
        Claim("size", "cednn", "?", "at 256 px", "macs", ("fan2",), needs_size_px=256),
        Claim("other", "eau", "?", "another family", "macs", ("fan2",)),
        Claim("f1", "cednn", "?", "F1", untestable="under licence"),
    ]
    outcomes, records = evaluate(claims, [package], QUICK)
    verdicts = {outcome.claim.id: outcome.verdict for outcome in outcomes}
    assert verdicts == {
        "small": HOLDS, "tiny": FAILS, "fast": HOLDS, "aus": HOLDS, "size": UNTESTABLE, "other": UNTESTABLE,
        "f1": UNTESTABLE,
    }  # fmt: skip
    assert set(records) == {"small/fp32", "small/ungrouped", "mobilenetv2@224", "mobilenetv2@32"}
    reasons = {outcome.claim.id: outcome.reason for outcome in outcomes}
    assert "256 px; small has 32" in reasons["size"]
    assert "no package of the family eau" in reasons["other"]
    # 16 x 16 x 8 x 27 for the convolution, and 8 per AU.
    (twice,) = next(outcome.versus for outcome in outcomes if outcome.claim.id == "aus")
    assert (twice.ours, twice.theirs) == (16 * 16 * 8 * 27 + 16, 16 * 16 * 8 * 27 + 32)


def test_the_command_prints_and_writes_the_page(package, tmp_path: Path, monkeypatch, capsys) -> None:
    papers, _ = read_claims()
    untestable = Claim("f1", "cednn", "is <better>", "F1", published="60.0 on X", untestable="under licence")
    monkeypatch.setattr(command, "read_claims", lambda: (papers, [SMALL, untestable]))
    page, out = tmp_path / "claims.html", tmp_path / "claims.json"
    words = ["--seconds", "0.05", "--warmup", "0", "--rounds", "2", "--html", str(page), "-o", str(out)]
    assert main(["bench", "claims", str(package.path), *words]) == 0
    printed = capsys.readouterr().out
    assert "“is small”" in printed
    assert "✓ holds" in printed
    assert "cannot be tested here: under licence" in printed
    text = page.read_text("utf-8")
    assert "is &lt;better&gt;" in text
    assert "60.0 on X" in text
    assert "MobileNetV2 trunk at 224 px" in text
    value = json.loads(out.read_text("utf-8"))
    assert [outcome["verdict"] for outcome in value["outcomes"]] == [HOLDS, UNTESTABLE]


def test_published_figures_never_appear_in_our_column() -> None:
    papers, claims = read_claims()
    outcomes, _ = evaluate([claim for claim in claims if claim.untestable], [], QUICK)
    assert len(outcomes) >= 4
    assert {row["ours"] for row in rows(papers, outcomes)} == {"-"}


@pytest.mark.parametrize(
    ("words", "says"),
    [(["--backend", "caffe"], "onnxruntime or openvino"), (["--threads", "0"], "a whole number from 1")],
)
def test_invalid_options_are_a_one_line_error(words: list[str], says: str, capsys) -> None:
    assert main(["bench", "claims", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
