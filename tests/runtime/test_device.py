from __future__ import annotations

from edgeau.runtime.device import board_model, cpu_model, fingerprint, gpu_names, usable_cores


def test_the_fingerprint_is_stable_and_includes_the_cores():
    assert fingerprint() == fingerprint()
    assert f"{usable_cores()} cores" in fingerprint()


def test_cpu_model_of_a_pc_and_of_a_board(tmp_path):
    pc = tmp_path / "pc"
    pc.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2.50GHz\nmodel name\t: Some CPU @ 2.50GHz\n")
    assert cpu_model(pc) == "Some CPU @ 2.50GHz"
    arm = tmp_path / "arm"
    arm.write_text("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n")
    assert cpu_model(arm) == "CPU part 0xd42"
    assert cpu_model(tmp_path / "absent")


def test_the_board_model_drops_the_trailing_null_byte(tmp_path):
    file = tmp_path / "model"
    file.write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\x00")
    assert board_model(file) == "NVIDIA Jetson Orin Nano Developer Kit"
    assert board_model(tmp_path / "absent") is None


def test_gpu_names_come_from_the_driver(tmp_path):
    for index in (0, 1):
        (tmp_path / str(index)).mkdir()
        (tmp_path / str(index) / "information").write_text("Model: \t\t NVIDIA Some GPU\nIRQ: 1\n")
    assert gpu_names(tmp_path) == ["NVIDIA Some GPU"] * 2
    assert gpu_names(tmp_path / "absent") == []
