import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeau.runtime import machine as machine_module
from edgeau.runtime.errors import InputError
from edgeau.runtime.machine import read_machine
from edgeau.runtime.machine_state import read_state

MACHINES = Path(__file__).parent / "machines"

KNOWN = {
    "orin-nano-jp6.2": {
        "model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        "soc": "tegra234", "l4t": "36.4.3", "jetpack": "6.2", "power_mode": "25W",
        "power_modes": {0: "15W", 1: "25W", 2: "MAXN_SUPER"}, "tensorrt": "10.3.0", "driver": "540.4.0",
        "compute_capability": "8.7", "cores": 6, "memory_mib": 7619, "python": "3.10", "arch": "aarch64",
        "container": False,
    },
    "agx-orin-jp6.0": {
        "model": "NVIDIA Jetson AGX Orin Developer Kit", "soc": "tegra234", "l4t": "36.3.0", "jetpack": "6.0",
        "power_mode": "MAXN", "tensorrt": "8.6.2", "driver": "540.3.0", "compute_capability": "8.7", "cores": 12,
    },
    "xavier-nx-jp5.1.2": {
        "model": "NVIDIA Jetson Xavier NX Developer Kit", "soc": "tegra194", "l4t": "35.4.1", "jetpack": "5.1.2",
        # The mode was never set, so nvpmodel has written no status and the default applies.
        "power_mode": "MODE_10W_2CORE", "tensorrt": "8.5.2", "cuda": "11.4.19", "driver": None,
        "compute_capability": "7.2", "python": "3.8",
    },
    "agx-thor-jp7.0": {
        "model": "NVIDIA Jetson AGX Thor Developer Kit", "soc": "tegra264", "l4t": "38.2.0", "jetpack": "7.0",
        "power_mode": "120W", "tensorrt": "10.13.3", "cuda": "13.0.0", "compute_capability": "11.0", "cores": 14,
    },
    "orin-nano-container-jp6.2": {
        # The device tree is masked: Jetson Linux 36 runs on one chip only, which gives the capability.
        "model": None, "soc": "tegra234", "l4t": "36.4.3", "jetpack": "6.2", "compute_capability": "8.7",
        "container": True, "tensorrt": "10.3.0", "power_mode": None, "memory_mib": 7619,
    },
    "pc-rtx": {
        "model": "NVIDIA GeForce RTX 3060", "gpu": "NVIDIA GeForce RTX 3060", "soc": None, "l4t": None,
        "jetpack": None, "power_mode": None, "power_modes": {}, "driver": "535.129.03", "tensorrt": "8.6.1",
        "cuda": "12.2.2", "cpu": "AMD Ryzen 7 5800X 8-Core Processor", "cores": 16, "arch": "x86_64",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_a_machine_is_read_from_its_files(name):
    machine = read_machine(MACHINES / name)
    assert {key: getattr(machine, key) for key in KNOWN[name]} == KNOWN[name]
    assert machine.is_jetson == (name != "pc-rtx")


@pytest.mark.parametrize(
    ("named", "model"),
    [
        ("NVIDIA Jetson Orin Nano Developer Kit", "NVIDIA Jetson Orin Nano Developer Kit"),
        ("orin-nano", "Jetson Orin Nano"),
    ],
)
def test_in_a_container_edgeau_board_names_the_board(named, model, monkeypatch):
    monkeypatch.setenv("EDGEAU_BOARD", named)
    machine = read_machine(MACHINES / "orin-nano-container-jp6.2")
    assert (machine.model, machine.soc, machine.compute_capability) == (model, "tegra234", "8.7")


def test_the_device_tree_takes_precedence_over_edgeau_board(monkeypatch):
    monkeypatch.setenv("EDGEAU_BOARD", "thor")
    assert read_machine(MACHINES / "orin-nano-jp6.2").soc == "tegra234"


def test_an_unknown_board_in_edgeau_board_is_refused(monkeypatch):
    monkeypatch.setenv("EDGEAU_BOARD", "raspberry-pi")
    with pytest.raises(
        InputError, match=r"EDGEAU_BOARD: got 'raspberry-pi', expected the text of /proc/device-tree/model"
    ):
        read_machine(MACHINES / "orin-nano-container-jp6.2")


def test_without_a_cuda_driver_the_compute_capability_is_unknown(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError(name)))
    assert machine_module._cuda_capability() is None


def test_the_compute_capability_is_read_from_the_cuda_driver(monkeypatch):
    """The attribute numbers are those in CUDA 12.6's header: COMPUTE_CAPABILITY_MAJOR = 75, _MINOR = 76."""

    def attribute(target, number, device):
        target._obj.value = {75: 8, 76: 7}[number]
        return 0

    driver = SimpleNamespace(
        cuInit=lambda flags: 0, cuDeviceGet=lambda device, ordinal: 0, cuDeviceGetAttribute=attribute
    )
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    assert machine_module._cuda_capability() == "8.7"
    driver.cuInit = lambda flags: 100  # CUDA_ERROR_NO_DEVICE
    assert machine_module._cuda_capability() is None


def test_an_empty_tree_gives_a_machine_with_unknown_facts(tmp_path):
    machine = read_machine(tmp_path)
    assert machine.model is machine.l4t is machine.tensorrt is machine.cores is None
    assert not machine.is_jetson


def test_an_unknown_release_has_no_jetpack(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R99 (release), REVISION: 1.2, GCID: 1\n")
    machine = read_machine(tmp_path)
    assert (machine.l4t, machine.jetpack) == ("99.1.2", None)


def test_damaged_files_give_unknown_facts_instead_of_errors(tmp_path):
    for name, text in {
        "etc/nv_tegra_release": "garbage",
        "usr/local/cuda/version.json": "{",
        "proc/meminfo": "",
        "etc/nvpmodel.conf": "< POWER_MODEL >",
        "var/lib/nvpmodel/status": "pmode:0007",
        "proc/loadavg": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    machine = read_machine(tmp_path)
    assert (machine.l4t, machine.cuda, machine.memory_mib) == (None, None, None)
    assert machine.power_mode == "mode 7"
    assert read_state(tmp_path).load_1m is None


def test_this_machine_has_a_cpu_and_memory():
    machine = read_machine()
    assert machine.cores >= 1
    assert machine.memory_mib > 100
    assert machine.python.startswith("3.")


def test_clocks_below_their_limit_are_not_locked():
    state = read_state(MACHINES / "orin-nano-jp6.2")
    assert (state.cpu_mhz, state.cpu_max_mhz) == (729.6, 1344.0)
    assert (state.gpu_mhz, state.gpu_max_mhz) == (306.0, 918.0)
    assert state.clocks_locked is False
    assert state.governor == "schedutil"


def test_clocks_at_their_limit_are_locked():
    assert read_state(MACHINES / "agx-orin-jp6.0").clocks_locked is True


def test_a_disabled_thermal_zone_is_ignored():
    assert read_state(MACHINES / "orin-nano-jp6.2").temperature_c == pytest.approx(49.218)


def test_the_gpu_clock_is_found_on_each_board():
    assert read_state(MACHINES / "xavier-nx-jp5.1.2").gpu_max_mhz == pytest.approx(803.25)
    assert read_state(MACHINES / "agx-thor-jp7.0").gpu_max_mhz == pytest.approx(1386.0)
