import json
import signal
import subprocess
from pathlib import Path

import cv2
import pytest

from edgeau.benchmarks.peers.page import end_to_end_rows, read_peers
from edgeau.runtime.cli import main

QUICK = ["--seconds", "0.01", "--warmup", "0", "--rounds", "2", "--tools", "none"]


def test_json_and_table_list_what_was_measured(package, tmp_path, capsys):
    out = tmp_path / "peers.json"
    assert main(["bench", "peers", str(package.path), *QUICK, "--peers", "onnxruntime", "-o", str(out)]) == 0
    table = capsys.readouterr().out
    value = json.loads(out.read_text())
    assert value["package"] == "small"
    assert value["interrupted"] is False
    assert "interrupted" not in table
    for entry in value["entries"]:
        assert entry["title"] in table


def test_ctrl_c_keeps_the_rounds_and_marks_them_as_interrupted(package, tmp_path, interruptible_edgeau):
    out = tmp_path / "peers.json"
    endless = ["--seconds", "3600", "--precision", "1e-9", "--warmup", "0", "--peers", "onnxruntime", "--tools", "none"]
    command = [*interruptible_edgeau, "bench", "peers", str(package.path), *endless, "-o", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stderr:
            if line.startswith("round 2"):
                running.send_signal(signal.SIGINT)
                break
        table = running.stdout.read()
        assert running.wait(60) == 0
    value = json.loads(out.read_text())
    assert value["interrupted"] is True
    rounds = {len(entry["rounds_p50_ms"]) for entry in value["entries"]}
    assert len(rounds) == 1
    assert f"interrupted after {rounds.pop()} rounds" in table


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [("--peers", "caffe", "onnxruntime"), ("--tools", "x", "libreface"), ("--tflite", "no.tflite", "TensorFlow Lite")],
)
def test_invalid_options_are_a_one_line_error_with_exit_code_2(package, capsys, option, value, says):
    assert main(["bench", "peers", str(package.path), option, value]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_a_clip_is_measured_and_stands_apart_from_what_others_published(photo_bgr, tmp_path, capsys):
    out = tmp_path / "peers.json"
    short = tmp_path / "short.avi"
    width, height = 160, 120
    writer = cv2.VideoWriter(str(short), cv2.VideoWriter_fourcc(*"MJPG"), 24, (width, height))
    for _ in range(8):
        writer.write(cv2.resize(photo_bgr, (width, height)))
    writer.release()
    assert main(["bench", "peers", *QUICK, "--peers", "none", "--clip", str(short), "-o", str(out)]) == 0
    table = capsys.readouterr().out
    value = json.loads(out.read_text())
    assert (value["clip"]["frames"], value["clip"]["width"], value["clip"]["height"]) == (8, width, height)
    assert len(value["clip"]["frames_per_s"]) == 6
    measured = [line for line in table.splitlines() if f"here: short.avi, 8 frames of {width}x{height}" in line]
    assert len(measured) == 1
    assert measured[0].startswith("edgeau, ")
    published = [line for line in table.splitlines() if "published: " in line]
    assert len(published) == len(value["published"]) > 0
    assert not any(line.startswith("edgeau") for line in published)
    assert "not measured here" in table


def test_without_a_clip_nothing_of_edgeau_stands_beside_published_figures(package, capsys):
    assert main(["bench", "peers", str(package.path), *QUICK, "--peers", "none", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["clip"] is None
    assert all(row["measured"].startswith("published: ") for row in end_to_end_rows(value))


def test_a_file_without_published_figures_is_still_read(tmp_path):
    kept = Path(__file__).parents[3] / "benchmarks" / "results" / "peers.json"
    old = {key: value for key, value in json.loads(kept.read_text()).items() if key not in ("clip", "published")}
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert end_to_end_rows(read_peers(tmp_path / "old.json")) == []
