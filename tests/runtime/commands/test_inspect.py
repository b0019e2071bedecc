from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgeau.runtime.cli import main
from edgeau.runtime.package import shipped_package


def test_a_package_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect"]) == 0
    text = capsys.readouterr().out
    for part in ("cednn", "AU12", "uint8 [N, 112, 112, 3]", "fp32", "runs here on"):
        assert part in text


def test_json_includes_the_choice_for_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["chosen_here"]["backend"] in ("onnxruntime", "openvino", "tensorrt")


def test_an_altered_package_exits_with_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = tmp_path / "altered.edgeau"
    shutil.copytree(shipped_package(), package)
    file = package / "fp32.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert main(["inspect", str(package)]) == 1
    assert "differs from the SHA-256" in capsys.readouterr().out
    assert main(["run", "nowhere.png", "-p", str(package)]) == 2


def test_an_onnx_file_is_linted_for_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed, which lint needs")
    assert main(["inspect", str(shipped_package() / "fp32.onnx"), "--target", "tensorrt-10.3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["findings"] == []


@pytest.mark.parametrize("name", ["absent.onnx", "notes.txt"])
def test_a_file_that_cannot_be_inspected_is_a_one_line_error(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert main(["inspect", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
