import json

import pytest

from edgeau.runtime.cli import main

QUICK = ["--seconds", "0.01", "--warmup", "0", "--rounds", "2", "--tools", "none"]


def test_json_and_table_name_what_ran(package, tmp_path, capsys):
    out = tmp_path / "peers.json"
    assert main(["bench", "peers", str(package.path), *QUICK, "--peers", "onnxruntime", "-o", str(out)]) == 0
    table = capsys.readouterr().out
    value = json.loads(out.read_text())
    assert value["package"] == "small"
    for entry in value["entries"]:
        assert entry["title"] in table


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [("--peers", "caffe", "onnxruntime"), ("--tools", "x", "libreface"), ("--tflite", "no.tflite", "TensorFlow Lite")],
)
def test_wrong_options_are_one_line_and_exit_code_2(package, capsys, option, value, says):
    assert main(["bench", "peers", str(package.path), option, value]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
