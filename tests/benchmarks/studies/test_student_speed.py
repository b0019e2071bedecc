"""The table of students: what is measured of each, and no F1 without trained weights."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from edgeau.benchmarks.studies.student_speed import Student, candidates, main, markdown
from edgeau.runtime.package import Package, shipped_package

TRAINED = Student("trained", "fp32 on onnxruntime", True, 0.7, 286_000, 51_000_000, 1_161_000, 0.66, 2.2, 2.0, 10)


def test_an_untrained_student_has_a_speed_but_no_f1():
    fresh = dataclasses.replace(TRAINED, package="fresh", trained=False, f1=None, macs=10_000_000, stream_ms=1.6)
    rows = [line for line in markdown([fresh, TRAINED], "here").splitlines() if "onnxruntime" in line]
    assert [row.split(" | ")[0] for row in rows] == ["| trained", "| fresh"]
    assert rows[0].endswith("| 0.66 | 2.20 | 500 | 0.700 |")
    assert rows[1].endswith("| 625 | untrained |")


def test_int8_files_are_measured_on_their_backend_and_tensorrts_in_openvino(tmp_path):
    shutil.copytree(shipped_package(), tmp_path / "copy.edgeau")
    package = Package.open(tmp_path / "copy.edgeau")
    fp32 = package.variant("fp32")
    for name in ("int8-ort", "int8-openvino", "int8-tensorrt"):
        package = package.with_manifest(
            package.manifest.with_variant(
                dataclasses.replace(fp32, name=name, precision="int8", backends=("tensorrt",))
            )
        )
    readings = {candidate.reading for candidate in candidates(package)}
    assert readings - {"fp32 on openvino in bf16", "fp32 on openvino in f16"} == {
        "fp32 on onnxruntime",
        "fp32 on openvino",
        "int8-ort on onnxruntime",
        "int8-openvino on openvino",
        "int8-tensorrt on openvino",
    }
    assert {candidate.threads for candidate in candidates(package)} == {1}


@pytest.mark.parametrize("wrong", [["nowhere.edgeau"], []], ids=["package", "data"])
def test_invalid_input_is_a_one_line_error(tmp_path, capsys, wrong):
    arguments = [*wrong, "--presets", "--calib", "nowhere", "--eval", "nowhere", "--work", str(tmp_path), "-o", "out"]
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("student_speed: ")] == lines[-1:]
    assert "nowhere" in lines[-1]
