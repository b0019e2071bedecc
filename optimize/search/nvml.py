"""The energy counters of NVIDIA GPUs, through the driver's own library (NVML) and ctypes.

``nvmlDeviceGetTotalEnergyConsumption`` gives millijoules since the driver was loaded, from Volta on (NVML's reference).
On a Jetson NVML can be opened but supports no counter; there the board's monitors are read instead.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_LIBRARY = "libnvidia-ml.so.1"
_SUCCESS = 0
_NAME_BYTES = 96


@dataclass(frozen=True)
class GpuCounters:
    """Counters of energy, one for each GPU that has one.

    Attributes:
        names: of the GPUs, with their number.
        read: microjoules of each since some time in the past.
    """

    names: tuple[str, ...]
    read: Callable[[], tuple[float, ...]]


def find_gpu_counters(load: Callable[[str], Any] = ctypes.CDLL) -> GpuCounters | None:
    """The counters of this machine's GPUs; None without a driver, or if no GPU has one."""
    try:
        nvml = load(_LIBRARY)
        if nvml.nvmlInit_v2() != _SUCCESS:
            return None
    except (OSError, AttributeError):
        return None
    count = ctypes.c_uint()
    if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != _SUCCESS:
        return None
    devices: dict[str, ctypes.c_void_p] = {}
    for number in range(count.value):
        device, name = ctypes.c_void_p(), ctypes.create_string_buffer(_NAME_BYTES)
        if nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(device)) != _SUCCESS:
            continue
        if _millijoules(nvml, device) is None:
            continue
        nvml.nvmlDeviceGetName(device, name, ctypes.c_uint(_NAME_BYTES))
        devices[f"GPU {number} {name.value.decode('utf-8', 'replace')}".strip()] = device
    if not devices:
        return None
    return GpuCounters(
        tuple(devices), lambda: tuple((_millijoules(nvml, device) or 0) * 1e3 for device in devices.values())
    )


def _millijoules(nvml: Any, device: ctypes.c_void_p) -> int | None:
    energy = ctypes.c_ulonglong()
    if nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(energy)) != _SUCCESS:
        return None
    return energy.value
