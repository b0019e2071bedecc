import csv
import json

import pytest

from edgeau.runtime.cli import main

QUICK = ["--seconds", "0.01", "--warmup", "0", "--rounds", "2", "--no-memory", "--no-limit", "--no-stages"]


def bench(package, *more):
    return main(["bench", str(package.path), *QUICK, *more])


def test_json_has_a_record_per_backend_thread_count_and_batch(package, capsys):
    assert bench(package, "--threads", "1,2", "--batch", "1,3", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert {(r["backend"], r["threads"], r["batch"]) for r in document["records"]} == {
        (backend, threads, batch) for backend in ("onnxruntime", "openvino") for threads in (1, 2) for batch in (1, 3)
    }
    assert document["failures"] == []


def test_the_table_has_a_row_per_record(package, capsys):
    assert bench(package) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["variant", "backend", "threads"]
    assert [line.split()[:2] for line in lines[2:]] == [["fp32", "onnxruntime"], ["fp32", "openvino"]]


def test_labelled_crops_add_f1(package, labelled, tmp_path, capsys):
    out = tmp_path / "records.json"
    assert bench(package, "--backends", "onnxruntime", "--eval", str(labelled), "-o", str(out)) == 0
    (record,) = json.loads(out.read_text())["records"]
    assert record["accuracy"]["samples"] == 10
    assert record["accuracy"]["f1"]["AU01"] is None
    assert 0 <= record["accuracy"]["f1"]["AU12"] <= 1
    assert record["data"] == str(labelled)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--backends", "caffe", "onnxruntime"),
        ("--threads", "0", "a whole number from 1"),
        ("--batch", "one", "a whole number from 1"),
        ("--seconds", "0", "more than 0"),
        ("--variants", "int8", "no variant 'int8'"),
        ("--eval", "nowhere", "no such folder"),
    ],
)
def test_invalid_options_are_a_one_line_error_with_exit_code_2(package, capsys, option, value, says):
    assert main(["bench", str(package.path), option, value]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_an_altered_variant_is_reported_and_not_measured(package, capsys):
    file = package.path / "fp32.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert bench(package) == 1
    assert "altered or truncated" in capsys.readouterr().err


def test_csv_has_a_row_per_record_with_empty_cells_for_unknown_values(package, tmp_path, capsys):
    assert bench(package, "--csv", str(tmp_path / "records.csv"), "-o", str(tmp_path / "records.json")) == 0
    with (tmp_path / "records.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    records = json.loads((tmp_path / "records.json").read_text())["records"]
    for row, record in zip(rows, records, strict=True):
        assert float(row["p50_ms"]) == pytest.approx(record["latency"]["p50_ms"], rel=1e-5)
        assert row["backend"] == record["backend"]
        assert row["energy_mj"] == row["mean_f1"] == ""


def test_records_of_several_devices_are_joined_by_candidate(package, tmp_path, capsys):
    folder = tmp_path / "devices"
    folder.mkdir()
    assert bench(package, "-o", str(folder / "a.json")) == 0
    document = json.loads((folder / "a.json").read_text())
    for record in document["records"]:
        record["device"] = "another board"
    (folder / "b.json").write_text(json.dumps({**document, "records": document["records"][:1]}))
    capsys.readouterr()
    assert main(["bench", "--device-matrix", str(folder), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert len(value["devices"]) == 2
    assert [row["another board, p50 ms"] == "-" for row in value["rows"]] == [False, True]
    assert main(["bench", "--device-matrix", str(folder)]) == 0
    assert "another board, p50 ms" in capsys.readouterr().out


def test_a_folder_without_records_is_refused(tmp_path, capsys):
    assert main(["bench", "--device-matrix", str(tmp_path)]) == 2
    assert "one file per device" in capsys.readouterr().err
    (tmp_path / "x.json").write_text("[1]")
    assert main(["bench", "--device-matrix", str(tmp_path)]) == 2
    assert "no records" in capsys.readouterr().err
