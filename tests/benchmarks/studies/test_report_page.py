"""The report of kept records shows what they hold, and what was measured elsewhere apart from it."""

import json
from pathlib import Path

from edgeau.benchmarks.studies.report_page import main

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def test_the_page_of_the_kept_records_has_claims_peers_and_published_speeds(tmp_path):
    out = tmp_path / "report.html"
    claims, peers = str(RESULTS / "claims.json.gz"), str(RESULTS / "peers.json")
    assert main([str(RESULTS / "report.json.gz"), "--claims", claims, "--peers", peers, "-o", str(out)]) == 0
    page = out.read_text()
    for each in json.loads(Path(peers).read_text())["published"]:
        assert f"published: {each['source']}" in page
    for words in ("in runs of their own", "The papers&#39; claims", "not measured here", "Roofline", "LiteRT"):
        assert words in page or words.replace("&#39;", "'") in page


def test_a_file_of_something_else_is_one_line_and_exit_code_2(tmp_path, capsys):
    (tmp_path / "x.json").write_text("{}")
    assert main([str(tmp_path / "x.json"), "-o", str(tmp_path / "x.html")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no records" in line
