"""Tables of training runs: reading them, grouping seeds and comparing rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeau.benchmarks.records import read_records
from edgeau.benchmarks.studies.training_table import main, summary
from edgeau.runtime.errors import InputError


def figures(mean: float, samples: int = 10) -> dict:
    """Figures as `edgeau train` writes them; AU02 is never labelled."""
    per_au = {"AU01": {"f1": mean + 0.1}, "AU02": {"f1": None}, "AU04": {"f1": mean - 0.1}}
    return {"mean_f1": mean, "samples": samples, "per_au": per_au}


@pytest.fixture
def write_run(tmp_path):
    """A function that writes a run from its name and the members' F1 on validation and held-out data."""

    def write(name: str, validation: dict[str, float], heldout: dict[str, float], parent: str = ".") -> Path:
        folder = tmp_path / parent / name
        folder.mkdir(parents=True)
        members = {
            member: {"checkpoint": f"{member}.pt", "parameters": 1000, "val": figures(f1), "test": None}
            for member, f1 in validation.items()
        }
        (folder / "metrics.json").write_text(json.dumps({"members": members, "train_s": 1.0, "train_samples": 640}))
        for member, f1 in heldout.items():
            (folder / f"{member}.heldout.json").write_text(json.dumps(figures(f1)))
        return folder

    return write


def test_seeds_share_a_row_and_gaps_are_paired_by_seed(write_run):
    runs = [write_run(f"alone-{i}", {"s": 0.5}, {"s": 0.40 + i / 10}) for i in (1, 2, 3)]
    runs += [write_run(f"taught-{i}", {"s": 0.6}, {"s": 0.45 + i / 10 + i / 100}) for i in (1, 2, 3)]
    result = summary(runs, ["taught:alone"])
    alone = result["rows"][0]
    assert (alone["name"], alone["seeds"], alone["parameters"]) == ("alone", [1, 2, 3], 1000)
    heldout = alone["sets"]["heldout"]
    assert heldout["mean_f1"] == pytest.approx(0.6)
    assert heldout["deviation"] == pytest.approx(0.1)
    assert (heldout["lowest"], heldout["highest"]) == pytest.approx((0.5, 0.7))
    assert heldout["f1"] == pytest.approx({"AU01": 0.7, "AU04": 0.5})
    gap = result["gaps"][0]["sets"]["heldout"]
    assert gap["by_seed"] == pytest.approx([0.06, 0.07, 0.08])
    # 0.07 -+ 4.303 * 0.01 / sqrt(3)
    assert gap["interval_95"] == pytest.approx([0.0452, 0.0948], abs=1e-4)


def test_peers_of_one_model_share_a_row_and_others_have_their_own(write_run):
    same = write_run("online-1", {"s": 0.4, "s-2": 0.6}, {"s": 0.2, "s-2": 0.4})
    mixed = write_run("mixed-1", {"s": 0.4, "dw": 0.6}, {})
    rows = {row["name"]: row for row in summary([same, mixed])["rows"]}
    assert set(rows) == {"online", "mixed s", "mixed dw"}
    assert rows["online"]["sets"]["heldout"]["mean_f1"] == pytest.approx(0.3)
    assert rows["mixed dw"]["sets"]["val"]["mean_f1"] == 0.6


def test_one_seed_has_neither_deviation_nor_interval(write_run):
    runs = [write_run("a-1", {"s": 0.5}, {}), write_run("b-1", {"s": 0.4}, {})]
    result = summary(runs, ["a:b"])
    assert result["rows"][0]["sets"]["val"]["deviation"] is None
    assert result["gaps"][0]["sets"]["val"] == {
        "by_seed": [pytest.approx(0.1)],
        "mean": pytest.approx(0.1),
        "interval_95": None,
    }


def test_the_command_writes_markdown_and_json(write_run, tmp_path, capsys):
    run = write_run("alone-1", {"s": 0.5}, {"s": 0.25})
    assert main([str(run), "-o", str(tmp_path / "table")]) == 0
    assert "| alone | 1 | 1,000 | - | 640 | 0.500 | 0.250 |" in capsys.readouterr().out
    assert "| AU04 | 0.150 |" in (tmp_path / "table.md").read_text()
    assert read_records(tmp_path / "table.json.gz")["rows"][0]["name"] == "alone"


def test_runs_that_cannot_be_read_or_matched_are_refused(write_run, tmp_path):
    run = write_run("alone-1", {"s": 0.5}, {})
    with pytest.raises(InputError, match=r"no metrics\.json"):
        summary([tmp_path])
    with pytest.raises(InputError, match="--compare: got other, expected one of alone"):
        summary([run], ["alone:other"])
    other = write_run("other-2", {"s": 0.5}, {})
    with pytest.raises(InputError, match="no seed in common"):
        summary([run, other], ["alone:other"])
    (run / "metrics.json").write_text("{")
    with pytest.raises(InputError, match=r"unreadable metrics\.json"):
        summary([run])


def test_a_set_without_positives_has_no_f1_and_is_left_out_of_means(write_run, tmp_path, capsys):
    runs = [write_run(f"{name}-{seed}", {"s": 0.5}, {"s": 0.4}) for name in ("a", "b") for seed in (1, 2)]
    nothing = {**figures(0.0), "mean_f1": None, "per_au": {"AU01": {"f1": None}}}
    for run in runs:
        (run / "s.bare.json").write_text(json.dumps(nothing))
    (runs[0] / "s.heldout.json").write_text(json.dumps(nothing))
    assert main([*map(str, runs), "--compare", "a:b", "-o", str(tmp_path / "table")]) == 0
    assert "| a | 2 | 1,000 | - | 640 | 0.500 ± 0.000 (0.500 to 0.500) | - | 0.400 |" in capsys.readouterr().out
    result = read_records(tmp_path / "table.json.gz")
    assert result["rows"][0]["sets"]["heldout"]["seeds"] == 1
    assert result["gaps"][0]["sets"]["heldout"]["by_seed"] == [0.0]
    assert "bare" not in result["gaps"][0]["sets"]


@pytest.mark.parametrize("text", ['{"note": "mine"}', "[]", '{"per_au": [], "mean_f1": 1, "samples": 1}'])
def test_a_file_that_is_not_an_evaluation_is_a_one_line_error(text, write_run):
    run = write_run("alone-1", {"s": 0.5}, {})
    (run / "s.note.json").write_text(text)
    with pytest.raises(InputError, match=r"s\.note\.json: got .*expected .*edgeau eval --json.*; rename") as raised:
        summary([run])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ['{"steps": 1}', "[]"])
def test_unrelated_metrics_are_refused(text, write_run):
    run = write_run("alone-1", {"s": 0.5}, {})
    (run / "metrics.json").write_text(text)
    with pytest.raises(InputError, match=r"^run .*alone-1: got "):
        summary([run])


def test_two_folders_with_the_same_name_and_seed_are_refused(write_run):
    runs = [write_run("alone-1", {"s": 0.5}, {}), write_run("alone-1", {"s": 0.6}, {}, parent="again")]
    with pytest.raises(InputError, match=r"got .*alone-1 and .*again/alone-1, expected one folder"):
        summary(runs)
    with pytest.raises(InputError, match="expected one folder"):
        summary([runs[0], write_run("alone", {"s": 0.5}, {})])


def test_an_au_is_included_even_if_the_first_seed_lacks_it(write_run):
    runs = [write_run(f"alone-{i}", {"s": 0.5, "s-2": 0.5}, {}) for i in (1, 2)]
    few = {**figures(0.5), "per_au": {"AU04": {"f1": 0.5}}}
    (runs[0] / "s.heldout.json").write_text(json.dumps(few))
    (runs[0] / "s-2.heldout.json").write_text(json.dumps(few))
    (runs[1] / "s.heldout.json").write_text(json.dumps(few))
    (runs[1] / "s-2.heldout.json").write_text(json.dumps(figures(0.7)))
    heldout = summary(runs)["rows"][0]["sets"]["heldout"]
    assert list(heldout["f1"].items()) == [("AU01", pytest.approx(0.8)), ("AU04", pytest.approx(0.525))]


def test_results_on_photos_are_read_as_a_set_of_pairs(write_run):
    run = write_run("alone-1", {"best": 0.5}, {})
    value = {"photos": {"neutral": 3}, "models": [{"mean": 0.7, "pairs": {"AU12 happiness": 0.9, "AU04 anger": None}}]}
    (run / "best.photos.json").write_text(json.dumps(value))
    (row,) = summary([run])["rows"]
    assert row["sets"]["photos"]["mean_f1"] == 0.7
    assert row["sets"]["photos"]["f1"] == {"AU12 happiness": 0.9}
    (run / "best.photos.json").write_text("{}")
    with pytest.raises(InputError, match="what real_photos writes"):
        summary([run])
