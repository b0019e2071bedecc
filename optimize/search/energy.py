"""Energy per inference, from counters of the kernel.

There are four sources. Three are plain files:
- RAPL of x86 (``/sys/class/powercap/intel-rapl:N/energy_uj``, microjoules, wraps at ``max_energy_range_uj``);
- the INA3221 monitors of a Jetson (``/sys/bus/i2c/drivers/ina3221/*/hwmon/*``: ``inN_label``, ``inN_input`` in mV,
  ``currN_input`` in mA). On boards with a rail for the whole module (``VDD_IN``, ``POM_5V_IN``) only that is read, on
  others the sum of all rails;
- the INA238 at a Jetson Thor's input, which measures the module and its carrier (``/sys/class/hwmon/hwmonN`` whose
  ``name`` is ``ina238``: ``power1_input`` in microwatts; the kernel's documentation of ina238). Thor's INA3221 misses
  what doesn't pass its rails, so the INA238 is preferred (NVIDIA's forum, topic 366461).

The fourth is the energy counter of NVIDIA GPUs (``nvml``), which is added to RAPL where both are.

A thread samples while the work runs. Idle power is measured before, so that net energy is what the work added. Without
a counter the result says why there is none; it is never zero.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .nvml import GpuCounters, find_gpu_counters

INTERVAL_S = 0.02
_TOTAL_RAILS = ("VDD_IN", "POM_5V_IN")
_NO_RAIL = ("sum of shunt voltages", "NC")


@dataclass(frozen=True)
class Energy:
    """Energy per call, or why it is unknown.

    Attributes:
        source: ``rapl``, ``nvml``, ``rapl+nvml``, ``ina3221``, ``ina238``, or None where there is no counter.
        reason: why there is none, else "".
        rails: names of the counters that are summed.
        idle_w, active_w: mean power before, and during the work.
        energy_mj: energy per call, in millijoules.
        net_energy_mj: the same without idle power.
    """

    source: str | None
    reason: str = ""
    rails: tuple[str, ...] = ()
    idle_w: float | None = None
    active_w: float | None = None
    energy_mj: float | None = None
    net_energy_mj: float | None = None


@dataclass(frozen=True)
class Meter:
    """A set of energy or power counters.

    Attributes:
        source: ``rapl``, ``nvml``, ``rapl+nvml``, ``ina3221`` or ``ina238``.
        rails: names of its counters.
        read: for RAPL and NVML the microjoules of each counter, for the others the watts of each rail.
        wraps: for RAPL and NVML the value at which each counter wraps, in microjoules, which for NVML is infinity;
            empty for the others.
    """

    source: str
    rails: tuple[str, ...]
    read: Callable[[], tuple[float, ...]]
    wraps: tuple[float, ...] = ()


def find_meter(
    root: Path = Path("/"), gpu_counters: Callable[[], GpuCounters | None] = find_gpu_counters
) -> Meter | str:
    """The energy counters of the system at ``root`` and of its GPUs, or the reason why there are none."""
    jetson = _ina238(root) or _ina3221(root)
    if jetson is not None:
        return jetson
    cpu, gpu = _rapl(root), gpu_counters()
    if gpu is None:
        return cpu
    wraps = (math.inf,) * len(gpu.names)
    if isinstance(cpu, str):
        return Meter("nvml", gpu.names, gpu.read, wraps)
    read_cpu = cpu.read
    return Meter("rapl+nvml", (*cpu.rails, *gpu.names), lambda: (*read_cpu(), *gpu.read()), (*cpu.wraps, *wraps))


def _rapl(root: Path) -> Meter | str:
    zones = sorted((root / "sys/class/powercap").glob("intel-rapl:[0-9]"))
    if not zones:
        return "this machine has neither RAPL (/sys/class/powercap), INA3221 or INA238 (Jetson), nor NVML (NVIDIA GPU)"
    files = [zone / "energy_uj" for zone in zones]
    try:
        for file in files:
            file.read_text()
        names = tuple((zone / "name").read_text().strip() for zone in zones)
        wraps = tuple(float((zone / "max_energy_range_uj").read_text()) for zone in zones)
    except PermissionError:
        return f"only root may read RAPL; type: sudo chmod a+r {' '.join(str(f) for f in files)}"
    except OSError as error:
        return f"RAPL can't be read: {error.strerror}"
    return Meter("rapl", names, lambda: tuple(float(file.read_text()) for file in files), wraps)


class Sampler:
    """Context manager that measures the energy of its block.

    Attributes:
        joules: energy of the block, once it has ended.
        seconds: its duration.
    """

    def __init__(self, meter: Meter, interval_s: float = INTERVAL_S) -> None:
        self.joules, self.seconds = 0.0, 0.0
        self._meter, self._interval_s = meter, interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="energy", daemon=True)

    def __enter__(self) -> Sampler:
        self._last, self._last_time = self._meter.read(), time.perf_counter()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._add()

    def _loop(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._add()

    def _add(self) -> None:
        values, now = self._meter.read(), time.perf_counter()
        elapsed = now - self._last_time
        if self._meter.wraps:
            steps = zip(values, self._last, self._meter.wraps, strict=True)
            self.joules += sum((new - old) % wrap for new, old, wrap in steps) / 1e6
        else:
            # Trapezoidal rule between two readings of power.
            self.joules += (sum(values) + sum(self._last)) / 2 * elapsed
        self.seconds += elapsed
        self._last, self._last_time = values, now


def idle_power_w(meter: Meter, seconds: float = 0.5) -> float:
    """Mean power while this process sleeps."""
    with Sampler(meter) as sampler:
        time.sleep(seconds)
    return sampler.joules / sampler.seconds


def energy_of(meter: Meter, idle_w: float, joules: float, seconds: float, calls: int) -> Energy:
    """Energy per call, of ``calls`` calls that took ``joules`` and ``seconds`` in total."""
    return Energy(
        source=meter.source,
        rails=meter.rails,
        idle_w=idle_w,
        active_w=joules / seconds,
        energy_mj=joules / calls * 1e3,
        net_energy_mj=(joules - idle_w * seconds) / calls * 1e3,
    )


def _ina238(root: Path) -> Meter | None:
    """The board's input; rails are named by their labels, or by the chip where the driver gives none."""
    files: dict[str, Path] = {}
    for name in sorted((root / "sys/class/hwmon").glob("hwmon*/name")):
        power, label = name.with_name("power1_input"), name.with_name("in1_label")
        if name.read_text().strip() == "ina238" and power.is_file():
            files[label.read_text().strip() if label.is_file() else f"ina238 {name.parent.name}"] = power
    if not files:
        return None
    return Meter("ina238", tuple(files), lambda: tuple(float(file.read_text()) / 1e6 for file in files.values()))


def _ina3221(root: Path) -> Meter | None:
    """The rails of the monitors; only the module's total where a board has it."""
    rails: dict[str, tuple[Path, Path]] = {}
    for label in sorted((root / "sys/bus/i2c/drivers/ina3221").glob("*/hwmon/hwmon*/in*_label")):
        name, number = label.read_text().strip(), label.name[2 : -len("_label")]
        volts, amperes = label.with_name(f"in{number}_input"), label.with_name(f"curr{number}_input")
        if name not in _NO_RAIL and volts.is_file() and amperes.is_file():
            rails[name] = (volts, amperes)
    if not rails:
        return None
    total = [name for name in _TOTAL_RAILS if name in rails]
    names = tuple(total[:1] or sorted(rails))
    files = [rails[name] for name in names]
    return Meter("ina3221", names, lambda: tuple(_watts(*pair) for pair in files))


def _watts(volts: Path, amperes: Path) -> float:
    return float(volts.read_text()) * float(amperes.read_text()) / 1e6
