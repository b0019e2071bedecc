"""Energy that this device has used, from what its kernel exposes: RAPL on Intel and AMD, INA3221 on a Jetson.

Energy is of the whole package or board, other processes and idle draw included.
Sources: Linux's Documentation/power/powercap and hwmon/ina3221; on Jetsons the rail of the whole module is VDD_IN
(Orin Nano, NX) or POM_5V_IN (Nano); boards without one are the sum of their rails.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from edgeau.runtime.errors import InputError

RAPL = Path("/sys/class/powercap")
HWMON = Path("/sys/class/hwmon")
_TOTAL_RAILS = ("VDD_IN", "POM_5V_IN")
_SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Rail:
    """One INA3221 channel: files with millivolts and milliamperes."""

    label: str
    voltage: Path
    current: Path

    def power_mw(self) -> float:
        """Power now, in milliwatts."""
        return int(self.voltage.read_text()) * int(self.current.read_text()) / 1e3


class EnergyMeter:
    """Measures the energy of a block: ``with meter: work()``, then ``meter.energy_mj``.

    Attributes:
        source: what is read, for the record.
        energy_mj: millijoules of the last block.
    """

    source: str
    energy_mj: float = 0.0

    def __enter__(self) -> EnergyMeter:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError


class RaplMeter(EnergyMeter):
    """Differences of RAPL's package counters, which wrap around."""

    def __init__(self, zones: list[Path]) -> None:
        self._zones = zones
        self._start: list[int] = []
        self.source = "RAPL " + ", ".join(zone.name for zone in zones)

    def __enter__(self) -> RaplMeter:
        self._start = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        micro = 0
        for zone, start, end in zip(self._zones, self._start, self._read(), strict=True):
            wrapped = int((zone / "max_energy_range_uj").read_text()) if end < start else 0
            micro += end - start + wrapped
        self.energy_mj = micro / 1e3

    def _read(self) -> list[int]:
        return [int((zone / "energy_uj").read_text()) for zone in self._zones]


class RailMeter(EnergyMeter):
    """Power of INA3221 rails sampled every 20 ms in a thread, times the time that passed."""

    def __init__(self, rails: list[Rail]) -> None:
        self._rails = rails
        self.source = "INA3221 " + " + ".join(rail.label for rail in rails)

    def __enter__(self) -> RailMeter:
        self._samples_mw = [self._power_mw()]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._begin = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        seconds = time.perf_counter() - self._begin
        self._done.set()
        self._thread.join()
        self._samples_mw.append(self._power_mw())
        self.energy_mj = sum(self._samples_mw) / len(self._samples_mw) * seconds

    def _sample(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._samples_mw.append(self._power_mw())

    def _power_mw(self) -> float:
        return sum(rail.power_mw() for rail in self._rails)


def find_meter(rapl: Path = RAPL, hwmon: Path = HWMON) -> EnergyMeter:
    """The meter of this device. Raises InputError where there is none that may be read."""
    zones = [zone for zone in sorted(rapl.glob("intel-rapl:*")) if zone.name.count(":") == 1]
    if zones and all(_readable(zone / "energy_uj") for zone in zones):
        return RaplMeter(zones)
    rails = _rails(hwmon)
    if rails:
        return RailMeter(rails)
    reason = f"{zones[0] / 'energy_uj'} is not readable (it needs root)" if zones else "neither RAPL nor INA3221"
    raise InputError("energy can't be measured on this device", got=reason, mend="use --for latency")


def _rails(hwmon: Path) -> list[Rail]:
    rails = []
    for chip in sorted(hwmon.glob("hwmon*")):
        if not _readable(chip / "name") or "ina3221" not in (chip / "name").read_text():
            continue
        for label in sorted(chip.glob("in*_label")):
            number = label.name[2:-6]
            rail = Rail(label.read_text().strip(), chip / f"in{number}_input", chip / f"curr{number}_input")
            if _readable(rail.voltage) and _readable(rail.current):
                rails.append(rail)
    total = [rail for rail in rails if rail.label in _TOTAL_RAILS]
    return total[:1] or rails


def _readable(file: Path) -> bool:
    try:
        file.read_text()
    except OSError:
        return False
    return True
