import json
import signal
import subprocess

import pytest

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
