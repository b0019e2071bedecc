import csv
import json

import cv2
import pytest

from edgeau.runtime.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("synth") / "faces"
    assert main(["synth", "--out", str(out), "--subjects", "3", "--frames", "8", "--size", "64", "--workers", "1"]) == 0
    return out


def test_the_table_has_a_row_per_picture(folder):
    with open(folder / "index.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert rows[0]["expression"] == "neutral"
    assert {row["subject"] for row in rows} == {"S00000", "S00001", "S00002"}
    assert 0 <= float(rows[-1]["AU12"]) <= 5


def test_the_cooccurrence_table_has_conditional_probabilities(folder):
    with open(folder / "cooccurrence.csv", newline="") as file:
        rows = {row["given"]: row for row in csv.DictReader(file)}
    with open(folder / "index.csv", newline="") as file:
        pictures = list(csv.DictReader(file))
    both = sum(float(p["AU12"]) >= 2 and float(p["AU25"]) >= 2 for p in pictures)
    smiles = sum(float(p["AU12"]) >= 2 for p in pictures)
    assert smiles > 0
    assert float(rows["AU12"]["AU25"]) == pytest.approx(both / smiles, abs=0.002)
    assert float(rows["AU12"]["rate"]) == pytest.approx(smiles / 24, abs=0.002)


def test_the_contact_sheet_has_a_row_per_subject(folder):
    sheet = cv2.imread(str(folder / "contact-sheet.png"))
    assert sheet.shape == (3 * (64 + 16), 10 * 64, 3)


def test_a_second_run_renders_nothing_and_reports_the_same(folder, capsys):
    before = (folder / "shards" / "s00000.npy").stat().st_mtime_ns
    command = ["synth", "--out", str(folder), "--subjects", "3", "--frames", "8", "--size", "64", "--json"]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == 24
    assert set(report["rates"]) >= {"AU12", "AU25"}
    assert (folder / "shards" / "s00000.npy").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--seed", "9"], "seed=9"),
        (["--size", "8"], "32 to 512"),
        (["--workers", "0"], "--workers"),
        (["--subjects", "0"], "whole number from 1"),
    ],
)
def test_invalid_input_is_a_one_line_error_with_exit_code_2(folder, capsys, options, word):
    command = ["synth", "--out", str(folder), "--subjects", "3", "--frames", "8", "--size", "64", *options]
    assert main(command) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert word in errors[0]
