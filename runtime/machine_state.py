"""The current state of this machine: clocks, governor, temperature and load, on which every timing depends.

Read below a root folder, as in ``machine``; facts that the kernel doesn't publish are None. Paths: the kernel's
documentation of cpufreq, devfreq and thermal; the GPU's devfreq names are those of Tegra (``17000000.gpu``, ``ga10b``,
``gpu-gpc-0``).
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from .files import PathLike

_GPU_NODES = ("*gpu", "*gv11b", "*ga10b", "gpu-gpc-0", "gpu-nvd-0")


@dataclass(frozen=True)
class MachineState:
    """The state of a machine at one moment.

    Attributes:
        governor: governor of the CPUs' clock; several are joined by commas.
        cpu_mhz: current lowest clock of the online CPUs; ``cpu_max_mhz`` is the highest allowed for any.
        gpu_mhz, gpu_max_mhz: the same for a Jetson's GPU.
        temperature_c: temperature of the hottest zone.
        load_1m: mean number of running tasks in the last minute.
    """

    governor: Optional[str] = None
    cpu_mhz: Optional[float] = None
    cpu_max_mhz: Optional[float] = None
    gpu_mhz: Optional[float] = None
    gpu_max_mhz: Optional[float] = None
    temperature_c: Optional[float] = None
    load_1m: Optional[float] = None

    @property
    def clocks_locked(self) -> Optional[bool]:
        """Whether CPU and GPU run at their highest allowed clock, as after ``jetson_clocks``; None if unknown."""
        pairs = ((self.cpu_mhz, self.cpu_max_mhz), (self.gpu_mhz, self.gpu_max_mhz))
        known = [now >= 0.99 * top for now, top in pairs if now is not None and top is not None]
        return all(known) if known else None

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


def read_state(root: PathLike = "/") -> MachineState:
    """Read the current state of the machine whose files are below ``root``."""
    top = Path(root)
    cpu_mhz, cpu_max_mhz = _cpu_clocks(top)
    gpu_mhz, gpu_max_mhz = _gpu_clocks(top)
    return MachineState(
        governor=_governor(top),
        cpu_mhz=cpu_mhz,
        cpu_max_mhz=cpu_max_mhz,
        gpu_mhz=gpu_mhz,
        gpu_max_mhz=gpu_max_mhz,
        temperature_c=_temperature(top),
        load_1m=_number(top / "proc/loadavg"),
    )


def _number(path: Path) -> Optional[float]:
    try:
        return float(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _numbers(paths: List[Path]) -> List[float]:
    return [value for value in map(_number, paths) if value is not None]


def _cpu_clocks(root: Path) -> Tuple[Optional[float], Optional[float]]:
    folders = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq"))
    now = _numbers([folder / "scaling_cur_freq" for folder in folders])
    top = _numbers([folder / "scaling_max_freq" for folder in folders])
    if now:
        return min(now) / 1e3, max(top) / 1e3 if top else None
    try:
        text = (root / "proc/cpuinfo").read_text()
    except OSError:
        return None, None
    # Virtual machines have no cpufreq; x86 still reports the clock here.
    clocks = [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text, re.MULTILINE)]
    return (min(clocks), None) if clocks else (None, None)


def _gpu_clocks(root: Path) -> Tuple[Optional[float], Optional[float]]:
    for pattern in _GPU_NODES:
        for node in sorted((root / "sys/class/devfreq").glob(pattern)):
            now, top = _number(node / "cur_freq"), _number(node / "max_freq")
            if now is not None:
                return now / 1e6, top / 1e6 if top is not None else None
    return None, None


def _governor(root: Path) -> Optional[str]:
    governors = set()
    for file in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"):
        try:
            governors.add(file.read_text().strip())
        except OSError:
            continue
    return ", ".join(sorted(governors)) or None


def _temperature(root: Path) -> Optional[float]:
    zones = sorted((root / "sys/class/thermal").glob("thermal_zone*/temp"))
    # A zone that is switched off reads as an error or as a value far below zero.
    values = [value / 1e3 for value in _numbers(zones) if value > 0]
    return max(values) if values else None
