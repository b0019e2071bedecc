from __future__ import annotations

import pytest

from edgeau.optimize.energy import RailMeter, RaplMeter, find_meter
from edgeau.runtime.errors import InputError


def _write(folder, **files):
    folder.mkdir(parents=True)
    for name, value in files.items():
        (folder / name).write_text(f"{value}\n")
    return folder


def test_rapl_packages_are_summed_and_their_parts_are_not(tmp_path):
    zones = [
        _write(tmp_path / "rapl" / name, energy_uj=1000, max_energy_range_uj=262143000)
        for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0")
    ]
    meter = find_meter(tmp_path / "rapl", tmp_path / "hwmon")
    assert isinstance(meter, RaplMeter)
    with meter:
        for zone in zones:
            (zone / "energy_uj").write_text("3500\n")
    assert meter.energy_mj == pytest.approx(5.0)


def test_a_rapl_counter_that_wraps_around_still_counts_up(tmp_path):
    zone = _write(tmp_path / "rapl" / "intel-rapl:0", energy_uj=99_000, max_energy_range_uj=100_000)
    with find_meter(tmp_path / "rapl", tmp_path / "hwmon") as meter:
        (zone / "energy_uj").write_text("4000\n")
    assert meter.energy_mj == pytest.approx(5.0)


def test_a_jetson_is_measured_at_its_total_rail(tmp_path):
    chip = _write(
        tmp_path / "hwmon" / "hwmon1",
        name="ina3221",
        in1_label="VDD_IN", in1_input=5000, curr1_input=1000,
        in2_label="VDD_CPU", in2_input=5000, curr2_input=400,
    )  # fmt: skip
    meter = find_meter(tmp_path / "rapl", tmp_path / "hwmon")
    assert isinstance(meter, RailMeter)
    assert meter.source == "INA3221 VDD_IN"
    with meter:
        pass
    assert meter.energy_mj > 0
    assert meter._power_mw() == pytest.approx(5000)
    assert chip.exists()


def test_without_a_total_rail_all_are_summed(tmp_path):
    _write(
        tmp_path / "hwmon" / "hwmon1",
        name="ina3221",
        in1_label="VDD_GPU_SOC", in1_input=5000, curr1_input=1000,
        in2_label="VDD_CPU_CV", in2_input=5000, curr2_input=400,
    )  # fmt: skip
    assert find_meter(tmp_path / "rapl", tmp_path / "hwmon").source == "INA3221 VDD_GPU_SOC + VDD_CPU_CV"


def test_a_device_without_counters_says_so(tmp_path):
    _write(tmp_path / "hwmon" / "hwmon0", name="coretemp")
    with pytest.raises(InputError, match="can't be measured on this device"):
        find_meter(tmp_path / "rapl", tmp_path / "hwmon")
