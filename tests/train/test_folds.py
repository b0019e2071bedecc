"""Whole protocols and `edgeau data check`, on generated faces in the layouts of BP4D and DISFA."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fakes.data_sets import FRAMES, disfa_labels, picture, write_bp4d, write_disfa

from edgeau.runtime.action_units import BP4D, DISFA
from edgeau.runtime.cli import main
from edgeau.runtime.errors import InputError
from edgeau.train.checkpoint import load_checkpoint
from edgeau.train.folds import Fold, _require_disjoint, summarise, table_lines
from edgeau.train.protocols import PROTOCOLS


def options(tiny_config: list[str], out: Path) -> list[str]:
    pairs = [word for value in tiny_config for word in ("--config", value)]
    return ["--out", str(out), "--steps", "2", "--batch", "8", "--device", "cpu", "--eval-every", "2", *pairs]


@pytest.mark.slow
def test_one_command_runs_a_protocol_and_prints_the_means(
    tmp_path: Path, tiny_config: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for word, write, aus in (("bp4d", write_bp4d, BP4D), ("disfa", write_disfa, DISFA)):
        root, out = write(tmp_path / word), tmp_path / f"{word}-runs"
        words = ["train", "--model", "cednn", "--data", f"{word}:{root}", "--folds", "all", *options(tiny_config, out)]
        words += ["--intensity", "--flip"] if word == "disfa" else []
        assert main([*words, "--json"]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert list(summary["folds"]) == ["part1", "part2", "part3"]
        assert tuple(summary["f1"]) == aus
        assert all(fold["samples"] == 2 * FRAMES for fold in summary["folds"].values())
        means = [fold["mean_f1"] for fold in summary["folds"].values()]
        assert summary["mean_f1"] == pytest.approx(np.mean(means))
        assert summary["flip_averaged"] == (word == "disfa")
        assert ("mean_icc" in summary, "mean_pcc" in summary) == (word == "disfa", word == "disfa")
        for part, held in PROTOCOLS[word].parts.items():
            provenance = json.loads((out / part / "metrics.json").read_text())
            assert provenance["members"]["cednn"]["test"]["samples"] == 2 * FRAMES, held
        # The same command again repeats nothing, and a different one does not overwrite it.
        before = (out / "part1" / "best.pt").stat().st_mtime_ns
        assert main(words) == 0
        assert (out / "part1" / "best.pt").stat().st_mtime_ns == before
        printed = capsys.readouterr().out
        assert "F1 in %" in printed
        assert all((text in printed) == (word == "disfa") for text in ("ICC(3,1)", "PCC", "mirror image"))
        assert main([*words, "--seed", "5"]) == 2
        assert "other options" in capsys.readouterr().err


@pytest.mark.slow
def test_students_and_peers_run_a_protocol_too(
    make_crop_set, tmp_path: Path, tiny_config: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each fold's student learns from the teacher of that fold; any other teacher has seen who is held out."""
    data = ["--data", str(make_crop_set()), "--folds", "2"]
    teachers = tmp_path / "teachers"
    assert main(["train", "--model", "cednn", *data, *options(tiny_config, teachers)]) == 0
    words = ["distill", "--student", "cednn", *data]
    capsys.readouterr()
    assert main([*words, "--teacher", str(teachers), *options(tiny_config, tmp_path / "students"), "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["folds"]) == ["part1", "part2"]
    for part in ("part1", "part2"):
        taught, teacher = (load_checkpoint(tmp_path / run / part / "best.pt") for run in ("students", "teachers"))
        assert taught.provenance["subjects"] == teacher.provenance["subjects"]

    teachers.rename(tmp_path / "swapped")
    for part, other in (("part1", "x"), ("part2", "part1"), ("x", "part2")):
        (tmp_path / "swapped" / part).rename(tmp_path / "swapped" / other)
    assert main([*words, "--teacher", str(tmp_path / "swapped"), *options(tiny_config, tmp_path / "no")]) == 2
    assert "expected a teacher that holds out the same people" in capsys.readouterr().err
    one = tmp_path / "swapped" / "part1" / "best.pt"
    assert main([*words, "--teacher", str(one), *options(tiny_config, tmp_path / "no")]) == 2
    assert "one teacher would have seen people that are held out" in capsys.readouterr().err

    assert main(["distill", "--peers", "cednn,cednn", *data, *options(tiny_config, tmp_path / "peers")]) == 0
    printed = capsys.readouterr().out
    assert ("cednn:" in printed, "cednn-2:" in printed) == (True, True)
    assert json.loads((tmp_path / "peers" / "folds.json").read_text())["others"][0]["model"] == "cednn-2"


@pytest.mark.slow
def test_data_without_a_protocol_is_split_by_subject(
    make_crop_set, tmp_path: Path, tiny_config: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--model", "cednn", "--data", str(make_crop_set()), *options(tiny_config, tmp_path / "runs")]
    assert main([*words, "--folds", "2", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [fold["samples"] for fold in summary["folds"].values()] == [4 * 12, 4 * 12]
    assert main([*words, "--folds", "all", "--out", str(tmp_path / "others")]) == 2
    assert "or a number of folds" in capsys.readouterr().err


def test_the_table_shows_published_results_with_their_source() -> None:
    test = {"samples": 9, "mean_f1": 0.5, "per_au": {au: {"f1": 0.5} for au in BP4D}}
    results = {part: {"members": {"fan-trans-s": {"test": test}}} for part in ("part1", "part2")}
    lines = table_lines(summarise(results, "bp4d", "fan-trans-s"))
    assert lines[0].split() == ["AU", "part1", "part2", "mean", "FAN-Trans"]
    assert lines[1].split() == ["AU01", "50.0", "50.0", "50.0", "55.4"]
    assert lines[len(BP4D) + 1].split() == ["mean", "50.0", "50.0", "50.0", "64.8"]
    assert any("MDHR" in line for line in lines)


def test_intensity_agreement_has_a_table_of_its_own() -> None:
    def result_of(icc: float, pcc: float | None) -> dict[str, object]:
        one = {"f1": 0.5, "icc": icc, "pcc": pcc}
        return {"samples": 9, "mean_f1": 0.5, "mean_icc": icc, "mean_pcc": pcc, "per_au": {"AU12": one}}

    parts = {"part1": result_of(0.25, None), "part2": result_of(0.75, 0.8)}
    summary = summarise(
        {name: {"members": {"cednn-m": {"test": test}}} for name, test in parts.items()}, "disfa", "cednn-m"
    )
    assert (summary["mean_icc"], summary["icc"], summary["mean_pcc"]) == (0.5, {"AU12": 0.5}, 0.8)
    lines = [line.split() for line in table_lines(summary)]
    assert ["AU12", "0.250", "0.750", "0.500"] in lines
    assert ["AU12", "-", "0.800", "0.800"] in lines


def test_a_subject_in_two_parts_and_an_au_without_positives_are_refused(
    tmp_path: Path, tiny_config: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="F001 in part1 and part2"):
        _require_disjoint((Fold("part1", ("F001",)), Fold("part2", ("F001", "F002"))))
    root = write_disfa(tmp_path / "disfa", people=1)
    for file in root.rglob("*_au9.txt"):
        file.write_text("\n".join(f"{n},0" for n in range(1, FRAMES + 1)))
    words = ["train", "--model", "cednn", "--data", f"disfa:{root}", "--folds", "all"]
    assert main([*words, *options(tiny_config, tmp_path / "runs")]) == 2
    assert "no training image with AU09" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_initial_weights_that_have_seen_the_held_out_people_are_refused(
    make_crop_set, tmp_path: Path, tiny_config: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--model", "cednn", "--data", str(make_crop_set())]
    assert main([*words, *options(tiny_config, tmp_path / "first")]) == 0
    init = ["--init", str(tmp_path / "first" / "best.pt")]
    assert main([*words, *options(tiny_config, tmp_path / "same"), *init]) == 0
    assert main([*words, *options(tiny_config, tmp_path / "other"), *init, "--seed", "5"]) == 2
    assert "whom this run holds out, expected weights that have not seen them" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_expressions_alone_are_not_enough_and_are_scored_beside_aus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for person in ("F0001", "F0002", "M0001", "M0002"):
        for number, code in enumerate(("NE00", "AN01", "HA03", "SU02")):
            picture(tmp_path / f"BU3DFE/{person}/{person}_{code}WH_F2D.bmp", 60 + 40 * number)
    assert main(["data", "check", f"bu3dfe:{tmp_path}"]) == 0
    assert "ready to train on, beside data that has AU labels" in capsys.readouterr().out
    words = ["train", "--model", "sma-net", "--data", f"bu3dfe:{tmp_path}", "--out", str(tmp_path / "run")]
    assert main(words) == 2
    assert "got labels of expressions only" in capsys.readouterr().err
    plain = {"samples": 9, "mean_f1": 0.5, "per_au": {"AU12": {"f1": 0.5}}}
    tests = {"part1": {**plain, "expression_accuracy": 0.5}, "part2": {**plain, "expression_accuracy": 1.0}}
    results = {name: {"members": {"eau": {"test": test}}} for name, test in tests.items()}
    assert ["50.0", "100.0", "75.0"] in [line.split() for line in table_lines(summarise(results, None, "eau"))]


def test_disfa_with_disfaplus_is_refused_without_shared_subjects(tmp_path: Path, capsys) -> None:
    words = ["train", "--model", "cednn-s", "--data", f"disfa:{tmp_path}", "--data", f"disfaplus:{tmp_path}"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 2
    assert "show the same people" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "run"), "--shared-subjects"]) == 2
    assert "none of its label files" in capsys.readouterr().err


def test_data_check_accepts_a_complete_copy_and_lists_missing_files(tmp_path: Path, capsys) -> None:
    root = write_bp4d(tmp_path / "BP4D", people=1)
    assert main(["data", "check", f"bp4d:{root}"]) == 0
    good = capsys.readouterr().out
    assert "BP4D, 3 of 41 subjects, 3 recordings, 18 labelled frames, 0 of them without an image" in good
    assert "ready to train on" in good
    assert "AU12" in good
    for number in (102, 103):
        (root / "img" / "F001" / "T1" / f"{number:04d}.jpg").unlink()
    for image in (root / "img" / "F003" / "T1").iterdir():
        image.unlink()
    assert main(["data", "check", f"bp4d:{root}"]) == 1
    broken = capsys.readouterr().out
    assert "PROBLEM: recording F003_T1" in broken
    assert "none of its 6 labelled frames has an image" in broken
    assert "F001_T1.csv): 2 of 6 labelled frames have no image: 102, 103" in broken
    assert "NOT ready" in broken
    words = ["train", "--model", "cednn-s", "--data", f"bp4d:{root}", "--out", str(tmp_path / "run")]
    assert main(words) == 2
    assert "`edgeau data check` lists what is missing" in capsys.readouterr().err
    assert main(["data", "check", f"bp4d:{root}", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["missing"] == 8


def test_prepare_lists_undecodable_images_and_crops_the_rest(tmp_path: Path, capsys) -> None:
    root, out = write_bp4d(tmp_path / "BP4D", people=1), tmp_path / "crops"
    broken = root / "img" / "F001" / "T1" / "0103.jpg"
    broken.write_bytes(broken.read_bytes()[:100])
    assert main(["data", "prepare", f"bp4d:{root}", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "17 crops of 3 subjects" in printed.out
    assert f"1 of 18 can't be decoded, such as {broken}" in printed.err
    assert (out / "skipped.csv").read_text().splitlines()[1:] == [f"F001_T1,103,{broken},not decoded"]
    for image in (root / "img" / "F003" / "T1").iterdir():
        image.write_bytes(b"half-copied")
    assert main(["data", "prepare", f"bp4d:{root}", "--out", str(tmp_path / "others")]) == 2
    assert "6 of 6 images of F003_T1 that can't be decoded" in capsys.readouterr().err
    assert not (tmp_path / "others" / "index.json").exists()


@pytest.mark.slow
def test_prepare_gives_the_same_bytes_when_parallel_or_resumed(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeau.runtime import prepare

    monkeypatch.setattr(prepare, "_WORTH_PROCESSES", 1)
    monkeypatch.setattr(prepare, "_SHARD_FRAMES", FRAMES)
    root = write_disfa(tmp_path / "DISFA", people=1)
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(["data", "prepare", f"disfa:{root}", "--out", str(one), "--workers", "1"]) == 0
    assert "18 crops of 3 subjects" in capsys.readouterr().out
    assert (one / "contact-sheet.png").is_file()
    assert main(["data", "prepare", f"disfa:{root}", "--out", str(two), "--workers", "2"]) == 0
    shards = sorted(file.name for file in (one / "shards").iterdir())
    assert len(shards) == 9
    assert all((one / "shards" / name).read_bytes() == (two / "shards" / name).read_bytes() for name in shards)
    # As after an interruption: no index, and a shard that has not been written.
    (two / "index.json").unlink()
    for suffix in ("npy", "npz", "json"):
        (two / "shards" / f"s00001.{suffix}").unlink()
    before = (two / "shards" / "s00000.npy").stat().st_mtime_ns
    assert main(["data", "prepare", f"disfa:{root}", "--out", str(two), "--workers", "1"]) == 0
    assert (two / "shards" / "s00000.npy").stat().st_mtime_ns == before
    assert (two / "shards" / "s00001.npy").read_bytes() == (one / "shards" / "s00001.npy").read_bytes()
    disfa_labels(root, "SN001", {12: [5] * FRAMES}, FRAMES)
    assert main(["data", "prepare", f"disfa:{root}", "--out", str(two)]) == 2
    assert "other labels" in capsys.readouterr().err
