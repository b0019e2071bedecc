"""The fingerprint of this device, under which a package stores the best choice measured on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import List, Optional

_PROC = Path("/proc")


def fingerprint() -> str:
    """CPU model, usable cores, architecture and, if present, board and GPU: ``Cortex-A78AE, 6 cores, aarch64, ...``.

    Two devices with the same fingerprint are assumed to run a variant equally fast. Power modes and clocks are not
    part of it: they change between runs and are recorded with each measurement.
    """
    parts = [cpu_model(), f"{usable_cores()} cores", platform.machine()]
    return ", ".join(part for part in [*parts, board_model(), *gpu_names()] if part)


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model(cpuinfo: Path = _PROC / "cpuinfo") -> str:
    """Name of the CPU according to the kernel, or the machine's architecture."""
    for key in ("model name", "Model", "Hardware", "CPU part"):
        value = _field(cpuinfo, key)
        if value:
            return f"CPU part {value}" if key == "CPU part" else value
    return platform.processor() or platform.machine()


def board_model(file: Path = _PROC / "device-tree" / "model") -> Optional[str]:
    """Name of the board, such as ``NVIDIA Jetson Orin Nano Developer Kit``; None if the kernel has none."""
    text = _text(file).replace("\x00", "").strip()
    return text or None


def gpu_names(folder: Path = _PROC / "driver" / "nvidia" / "gpus") -> List[str]:
    """Names of NVIDIA GPUs from the driver's files in /proc; empty without a driver."""
    files = sorted(folder.glob("*/information")) if folder.is_dir() else []
    return [name for name in (_field(file, "Model") for file in files) if name]


def _field(file: Path, key: str) -> Optional[str]:
    """Value of the first ``key : value`` line of a file."""
    for line in _text(file).splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip() == key and value.strip():
            return " ".join(value.split())
    return None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
