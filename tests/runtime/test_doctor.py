import json
from pathlib import Path

import pytest

from edgeau.runtime.cli import main
from edgeau.runtime.commands import doctor
from edgeau.runtime.commands.doctor import examine_board, extras_table
from edgeau.runtime.machine import Machine, read_machine
from edgeau.runtime.machine_state import MachineState, read_state

MACHINES = Path(__file__).parent / "machines"


def board(name):
    root = MACHINES / name
    return {check.name: check for check in examine_board(read_machine(root), read_state(root))}


def test_an_orin_nano_below_its_fastest_mode_gets_the_command_to_type():
    checks = board("orin-nano-jp6.2")
    assert checks["JetPack"].text == "6.2 (L4T 36.4.3)"
    assert checks["TensorRT"].text == "10.3.0"
    assert checks["power mode"].hint == "sudo nvpmodel -m 2"
    assert checks["clocks"].hint == "sudo jetson_clocks"
    assert "306 of 918 MHz" in checks["clocks"].text


def test_a_board_at_full_speed_gets_no_hints():
    checks = board("agx-orin-jp6.0")
    assert checks["power mode"].ok is True
    assert "clocks" not in checks
    assert not any(check.hint for check in checks.values())


def test_a_mode_table_without_maxn_gives_no_power_mode_hint():
    assert board("xavier-nx-jp5.1.2")["power mode"].hint == ""


def test_a_board_without_tensorrt_gets_the_command_to_type():
    machine = Machine(soc="tegra234", l4t="36.4.3", jetpack="6.2")
    checks = {check.name: check for check in examine_board(machine, MachineState())}
    assert checks["TensorRT"].ok is False
    assert "apt-get install" in checks["TensorRT"].hint


def test_jetpack_4_is_too_old():
    (jetpack, *_) = examine_board(Machine(soc="tegra210", l4t="32.7.1"), MachineState())
    assert jetpack.ok is False
    assert "too old" in jetpack.text


def test_a_container_that_masks_the_device_tree_gets_the_option_to_start_it_with():
    checks = board("orin-nano-container-jp6.2")
    assert checks["JetPack"].text == "6.2 (L4T 36.4.3)"
    assert "/proc/device-tree is masked" in checks["container"].text
    assert "-e EDGEAU_BOARD=" in checks["container"].hint


def test_a_container_with_edgeau_board_set_gets_no_warning(monkeypatch):
    monkeypatch.setenv("EDGEAU_BOARD", "orin-nano")
    assert "container" not in board("orin-nano-container-jp6.2")


def test_a_container_that_shows_nothing_of_the_board_lists_everything_missing(machine_tree):
    root = machine_tree({".dockerenv": "", "usr/lib/aarch64-linux-gnu/libc.so.6": ""})
    (check,) = examine_board(read_machine(root), read_state(root))
    for missing in ("/proc/device-tree", "/etc/nv_tegra_release", "no CUDA driver"):
        assert missing in check.text


def test_a_pc_has_no_board_to_examine():
    assert board("pc-rtx") == {}


def test_an_extra_includes_the_extras_it_requires():
    table = extras_table(
        ["numpy>=1.19", 'onnxruntime>=1.17; extra == "cpu"', 'edgeau[cpu]; extra == "optimize"',
         'nncf>=3.0 ; python_version > "3.9" and extra == "optimize"']
    )  # fmt: skip
    assert table == {"cpu": {"onnxruntime"}, "optimize": {"onnxruntime", "nncf"}}


def test_a_missing_library_gives_the_command_to_install_it(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_requirements", lambda: ['surely-not-installed>=1; extra == "cpu"'])
    main(["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["extra cpu"] == {
        "name": "extra cpu", "ok": False, "text": "lacks surely-not-installed", "hint": "pip install 'edgeau[cpu]'",
    }  # fmt: skip


@pytest.mark.parametrize(("machine", "hint"), [(Machine(), "pip install"), (Machine(soc="tegra234"), "apt-get")])
def test_without_opencv_the_face_detector_check_fails(monkeypatch, machine, hint):
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    checks = {check.name: check for check in doctor.examine_software(machine)}
    assert checks["face detector"].ok is False
    assert hint in checks["face detector"].hint


def test_hints_on_a_jetson_use_apt_and_never_pip(monkeypatch):
    """cuda-python 13 rejects the driver of JetPack 6 and numpy 2 breaks its cv2, so missing packages come from apt."""
    monkeypatch.setattr(doctor, "missing", lambda name: f"{name} is not installed; type: pip install 'edgeau[cpu]'")
    monkeypatch.setattr(doctor, "installed_binding", lambda: None)
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    monkeypatch.setattr(
        doctor,
        "_requirements",
        lambda: ['numpy<2; extra == "jetson"', 'absent>=1; extra == "cpu"', 'absent; extra == "gpu"'],
    )
    checks = doctor.examine_software(read_machine(MACHINES / "orin-nano-jp6.2"))
    assert [check.name for check in checks if "pip install" in check.hint] == []
    hints = {check.name: check.hint for check in checks}
    assert "python3-libnvinfer" in hints["tensorrt"]
    assert hints["CUDA binding"] == "sudo apt-get install nvidia-jetpack"
    assert hints["face detector"] == "sudo apt-get install python3-opencv"


def test_the_jetson_extra_replaces_nothing_that_jetpack_installs():
    import re

    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    (jetson,) = re.findall(r"^jetson = (.*)$", text, re.MULTILINE)
    assert jetson == '["numpy<2"]'
    (needed,) = re.findall(r"^dependencies = (.*)$", text, re.MULTILINE)
    assert needed == '["numpy>=1.17"]'  # Ubuntu 20.04, the base of JetPack 5, has 1.17.4


def test_doctor_describes_this_machine(capsys):
    main(["doctor"])
    out = capsys.readouterr().out
    for word in ("CPU", "onnxruntime", "openvino", "face detector", "package"):
        assert word in out


@pytest.mark.parametrize("name", sorted(folder.name for folder in MACHINES.iterdir() if folder.is_dir()))
def test_doctor_describes_a_recorded_machine_as_json(name, capsys):
    assert main(["doctor", "--root", str(MACHINES / name), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["machine"]["model"] == read_machine(MACHINES / name).model
    assert report["state"]["temperature_c"] > 30


def test_a_root_that_does_not_exist_is_refused(capsys):
    assert main(["doctor", "--root", "/no/such/tree"]) == 2
    assert "no such folder" in capsys.readouterr().err
