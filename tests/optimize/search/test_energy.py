import time
from pathlib import Path

import pytest

from edgeau.optimize.search.energy import Meter, Sampler, energy_of, find_meter, idle_power_w
from edgeau.optimize.search.nvml import GpuCounters

RAPL = "sys/class/powercap/intel-rapl:0"


def ina(rail, number, millivolts, milliamperes, chip="1-0040", monitor="hwmon3"):
    folder = f"sys/bus/i2c/drivers/ina3221/{chip}/hwmon/{monitor}"
    return {
        f"{folder}/in{number}_label": f"{rail}\n",
        f"{folder}/in{number}_input": f"{millivolts}\n",
        f"{folder}/curr{number}_input": f"{milliamperes}\n",
    }


def test_without_a_counter_find_meter_gives_the_reason(tmp_path):
    assert "neither RAPL" in find_meter(tmp_path)


def test_rapl_counts_microjoules_and_wraps_around(machine_tree):
    root = machine_tree(
        {f"{RAPL}/name": "package-0\n", f"{RAPL}/energy_uj": "900000\n", f"{RAPL}/max_energy_range_uj": "1000000\n"}
    )
    meter = find_meter(root)
    assert isinstance(meter, Meter)
    assert (meter.source, meter.rails) == ("rapl", ("package-0",))
    with Sampler(meter, interval_s=60) as sampler:
        (root / RAPL / "energy_uj").write_text("100000\n")
    assert sampler.joules == pytest.approx(0.2)


def test_a_gpu_counter_is_added_to_rapl_or_used_alone(machine_tree, tmp_path):
    root = machine_tree(
        {f"{RAPL}/name": "package-0\n", f"{RAPL}/energy_uj": "900000\n", f"{RAPL}/max_energy_range_uj": "1000000\n"}
    )
    energy_uj = [5e6]
    gpu = GpuCounters(("GPU 0 H",), lambda: (energy_uj[0],))
    meter = find_meter(root, lambda: gpu)
    assert (meter.source, meter.rails) == ("rapl+nvml", ("package-0", "GPU 0 H"))
    with Sampler(meter, interval_s=60) as sampler:
        (root / RAPL / "energy_uj").write_text("100000\n")
        energy_uj[0] = 8e6
    assert sampler.joules == pytest.approx(3.2)
    assert find_meter(tmp_path / "bare", lambda: gpu).source == "nvml"


def test_rapl_readable_only_by_root_gives_the_command_to_type(machine_tree, monkeypatch):
    root = machine_tree(
        {f"{RAPL}/name": "package-0\n", f"{RAPL}/energy_uj": "1\n", f"{RAPL}/max_energy_range_uj": "2\n"}
    )
    read = Path.read_text

    def refuse(path, *args, **kwargs):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert "sudo chmod a+r" in find_meter(root)


def test_a_total_rail_is_used_alone(machine_tree):
    root = machine_tree({**ina("VDD_IN", 1, 5000, 1000), **ina("VDD_CPU_GPU_CV", 2, 5000, 400)})
    meter = find_meter(root)
    assert meter.rails == ("VDD_IN",)
    assert meter.read() == (5.0,)


def test_a_thor_is_measured_by_its_ina238_in_microwatts(machine_tree):
    """Names and units are from the kernel's documentation of ina238 (power1_input in microwatts)."""
    chip = "sys/class/hwmon/hwmon4"
    root = machine_tree(
        {
            **ina("VDD_GPU", 1, 20000, 900),
            f"{chip}/name": "ina238\n",
            f"{chip}/power1_input": "47120000\n",
            "sys/class/hwmon/hwmon5/name": "nvme\n",
        }
    )
    meter = find_meter(root)
    assert (meter.source, meter.rails) == ("ina238", ("ina238 hwmon4",))
    assert meter.read() == (pytest.approx(47.12),)


def test_the_recorded_thor_has_a_meter():
    machines = Path(__file__).parents[2] / "runtime" / "machines"
    assert find_meter(machines / "agx-thor-jp7.0").source == "ina238"


def test_rails_are_summed_if_there_is_no_total(machine_tree):
    # Shunt sums have a label but no current.
    shunt = {"sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/in7_label": "sum of shunt voltages\n"}
    root = machine_tree(
        {**ina("VDD_GPU_SOC", 1, 10000, 200), **ina("VDD_CPU_CV", 2, 10000, 100),
         **ina("NC", 3, 10000, 900), **ina("VIN_SYS_5V0", 1, 5000, 600, "1-0041", "hwmon4"), **shunt}
    )  # fmt: skip
    meter = find_meter(root)
    assert meter.rails == ("VDD_CPU_CV", "VDD_GPU_SOC", "VIN_SYS_5V0")
    assert sum(meter.read()) == pytest.approx(6.0)


def test_power_is_integrated_over_time():
    with Sampler(Meter("ina3221", ("VDD_IN",), lambda: (4.0,)), interval_s=0.005) as sampler:
        time.sleep(0.03)
    assert sampler.joules == pytest.approx(4.0 * sampler.seconds)
    assert idle_power_w(Meter("ina3221", ("VDD_IN",), lambda: (4.0,)), 0.01) == pytest.approx(4.0)


def test_idle_power_is_subtracted_from_the_net_energy():
    meter = Meter("ina3221", ("VDD_IN",), lambda: (0.0,))
    energy = energy_of(meter, idle_w=3.0, joules=10.0, seconds=2.0, calls=1000)
    assert (energy.active_w, energy.energy_mj, energy.net_energy_mj) == pytest.approx((5.0, 10.0, 4.0))


MACHINES = Path(__file__).parents[2] / "runtime" / "machines"


@pytest.mark.parametrize(
    ("board", "rails", "watts"),
    [
        ("orin-nano-jp6.2", ("VDD_IN",), 5.299),
        ("agx-orin-jp6.0", ("VDD_CPU_CV", "VDD_GPU_SOC", "VIN_SYS_5V0"), 10.704),
        ("xavier-nx-jp5.1.2", ("VDD_IN",), 3.588),
    ],
)
def test_recorded_boards_are_measured_at_their_rails(board, rails, watts):
    meter = find_meter(MACHINES / board)
    assert meter.rails == rails
    assert sum(meter.read()) == pytest.approx(watts, abs=1e-3)
