"""The page of claims is drawn from the kept records."""

import re
from html import unescape
from pathlib import Path

import pytest

from edgeau.benchmarks.claims.claims import read_claims
from edgeau.benchmarks.claims.page import doubts, network_rows, read_claims_file, write_page
from edgeau.runtime.errors import InputError

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


@pytest.fixture(scope="module")
def kept():
    return read_claims_file(RESULTS / "claims.json.gz")


def test_the_page_has_every_claim_and_every_figure_of_the_records(kept, tmp_path):
    write_page(tmp_path / "claims.html", kept)
    html = (tmp_path / "claims.html").read_text()
    cells = {" ".join(unescape(cell).split()) for cell in re.findall(r"<td[^>]*>(.*?)</td>", html, re.DOTALL)}
    for row in kept["rows"]:
        assert {row["claim"], row["ours"], row["compared with"].replace("; ", " "), row["verdict"]} <= cells
    for row in network_rows(kept["networks"]):
        assert set(row.values()) <= cells


def test_the_kept_records_have_an_outcome_for_every_claim(kept):
    _, claims = read_claims()
    assert {claim.id for claim in claims} == {outcome["claim"]["id"] for outcome in kept["outcomes"]}


def test_an_interruption_is_on_the_page_once(kept, tmp_path):
    cut = {name: {**record, "warnings": ["interrupted after 3 rounds"]} for name, record in kept["networks"].items()}
    write_page(tmp_path / "claims.html", {**kept, "networks": cut})
    assert (tmp_path / "claims.html").read_text().count("interrupted after 3 rounds") == 1
    assert doubts(kept["networks"]) == []


def test_records_without_a_schema_are_refused(tmp_path):
    (tmp_path / "old.json").write_text('{"papers": {}, "outcomes": [], "networks": {}}')
    with pytest.raises(InputError, match="schema None"):
        read_claims_file(tmp_path / "old.json")
