"""This machine's board, software and GPU, read from files that Linux and JetPack publish.

Everything is read below a root folder, so that a tree recorded on a board can stand in for it. A fact that is not in
the files is None, never guessed. Sources of the paths: NVIDIA's Jetson Linux developer guide (device tree,
``nv_tegra_release``, ``nvpmodel``), the kernel's documentation of procfs and sysfs.

A container hides the board: ``/proc/device-tree`` points into ``/sys/firmware``, which Docker masks (moby's list of
masked paths; home-assistant/supervisor issue 4863 says how to show it). There the board is taken from
EDGEAU_BOARD; without it, the chip may still follow from ``nv_tegra_release``, which NVIDIA's container runtime mounts,
and the compute capability from CUDA's driver.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import platform
import re
import subprocess
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from .device import board_model, cpu_model, gpu_names, usable_cores
from .errors import InputError
from .files import PathLike
from .targets import JETPACK_BY_L4T, Board, board_of, only_soc_of, parse_target

BOARD_VARIABLE = "EDGEAU_BOARD"
# System on chip, as the device tree names it -> compute capability (CUDA's list of devices).
CAPABILITY_BY_SOC = {"tegra210": "5.3", "tegra186": "6.2", "tegra194": "7.2", "tegra234": "8.7", "tegra264": "11.0"}


@dataclass(frozen=True)
class Machine:
    """One computer.

    Attributes:
        model: the board's name in the device tree; elsewhere the NVIDIA GPU's name; None if there is neither.
        soc: system on chip of a Jetson, such as ``tegra234``.
        l4t, jetpack: releases of Jetson Linux and of JetPack.
        power_mode: name of the active nvpmodel mode; ``power_modes`` are those of the board, by
            number.
        tensorrt, cuda, driver: versions; TensorRT's is that of the Python package where there is one.
        gpu: name of the NVIDIA GPU.
        compute_capability: such as ``8.7``.
        cpu: model name; ``cores`` is the number of CPUs online; ``memory_mib`` is the total memory.
        python, system: version of Python, and of the operating system.
        arch: such as ``x86_64`` or ``aarch64``.
        container: whether this runs inside a container.
    """

    model: Optional[str] = None
    soc: Optional[str] = None
    l4t: Optional[str] = None
    jetpack: Optional[str] = None
    power_mode: Optional[str] = None
    power_modes: Dict[int, str] = field(default_factory=dict)
    tensorrt: Optional[str] = None
    cuda: Optional[str] = None
    driver: Optional[str] = None
    gpu: Optional[str] = None
    compute_capability: Optional[str] = None
    cpu: Optional[str] = None
    cores: Optional[int] = None
    memory_mib: Optional[int] = None
    python: Optional[str] = None
    system: Optional[str] = None
    arch: Optional[str] = None
    container: bool = False

    @property
    def is_jetson(self) -> bool:
        """Whether this is an NVIDIA Jetson."""
        return self.soc is not None or self.l4t is not None

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


def read_machine(root: PathLike = "/") -> Machine:
    """Read the machine below ``root``. For ``/``, also ask this Python, ``nvidia-smi`` and CUDA's driver.

    Raises:
        InputError: EDGEAU_BOARD does not name a board.
    """
    top = Path(root)
    live = top == Path("/")
    l4t = _l4t(top)
    board, soc = _board(top, l4t)
    gpu, driver, capability = _nvidia_smi() if live and soc is None else (None, None, None)
    gpu = gpu or next(iter(gpu_names(top / "proc/driver/nvidia/gpus")), None)
    if live and capability is None and (soc is None and l4t is not None):
        capability = _cuda_capability()
    modes = _power_modes(top)
    return Machine(
        model=board or gpu,
        soc=soc,
        l4t=l4t,
        jetpack=JETPACK_BY_L4T.get(l4t or ""),
        power_mode=_power_mode(top, modes),
        power_modes=modes,
        tensorrt=(_package_version("tensorrt") if live else None) or _tensorrt(top),
        cuda=_cuda(top),
        driver=driver or _driver(top),
        gpu=gpu,
        compute_capability=capability or CAPABILITY_BY_SOC.get(soc or ""),
        cpu=cpu_model(top / "proc/cpuinfo"),
        cores=usable_cores() if live else _cores(top),
        memory_mib=_memory_mib(top),
        python=platform.python_version() if live else _system_python(top),
        system=_system(top),
        arch=platform.machine() if live else _arch(top),
        container=any((top / mark).exists() for mark in (".dockerenv", "run/.containerenv")),
    )


def _text(path: Path) -> Optional[str]:
    """A file's text without surrounding blanks and device-tree NULs; None if it can't be read or is empty."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip("\0 \t\r\n") or None
    except OSError:
        return None


def _found(pattern: str, text: Optional[str]) -> Optional[str]:
    match = re.search(pattern, text or "", re.MULTILINE)
    return match.group(1).strip() if match else None


def _board(root: Path, l4t: Optional[str]) -> Tuple[Optional[str], Optional[str]]:
    """Model and chip of a Jetson: the device tree's, else EDGEAU_BOARD's, else the chip alone from Jetson Linux."""
    soc = _found(r"nvidia,(tegra\d+)\b", _text(root / "proc/device-tree/compatible"))
    if soc is not None:
        return board_model(root / "proc/device-tree/model"), soc
    named = os.environ.get(BOARD_VARIABLE)
    if named:
        board = board_of(named) or _target_board(named)
        return (named if board_of(named) else board.title), board.soc
    return None, only_soc_of(l4t)


def _target_board(named: str) -> Board:
    try:
        return parse_target(named).board
    except InputError as error:
        expected = f"the text of /proc/device-tree/model, or one of {error.expected}"
        raise InputError(BOARD_VARIABLE, got=repr(named), expected=expected) from None


def _cuda_capability() -> Optional[str]:
    """Compute capability of the first GPU according to CUDA's driver; None without one.

    ``cuDeviceGetAttribute`` with 75 and 76, the major and the minor number (CUDA driver API, enum CUdevice_attribute).
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    calls = (
        lambda: cuda.cuInit(0),
        lambda: cuda.cuDeviceGet(ctypes.byref(device), 0),
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device),
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device),
    )
    return f"{major.value}.{minor.value}" if all(call() == 0 for call in calls) else None


def _l4t(root: Path) -> Optional[str]:
    text = _text(root / "etc/nv_tegra_release")
    release, revision = _found(r"# R(\d+)", text), _found(r"REVISION: ([\d.]+)", text)
    return f"{release}.{revision}" if release and revision else None


def _power_modes(root: Path) -> Dict[int, str]:
    """Names of the modes by their number, from lines such as ``< POWER_MODEL ID=0 NAME=15W >``."""
    text = _text(root / "etc/nvpmodel.conf") or ""
    return {int(i): name for i, name in re.findall(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)", text, re.MULTILINE)}


def _power_mode(root: Path, modes: Dict[int, str]) -> Optional[str]:
    """The active mode: its number is in nvpmodel's status file once it has been set; until then the default applies."""
    number = _found(r"pmode:(\d+)", _text(root / "var/lib/nvpmodel/status"))
    if number is None:
        number = _found(r"PM_CONFIG\s+DEFAULT=(\d+)", _text(root / "etc/nvpmodel.conf"))
    return None if number is None else modes.get(int(number), f"mode {int(number)}")


def _tensorrt(root: Path) -> Optional[str]:
    for file in sorted((root / "usr/lib").glob("*-linux-gnu/libnvinfer.so.*.*.*")):
        return file.name[len("libnvinfer.so.") :]
    return None


def _cuda(root: Path) -> Optional[str]:
    text = _text(root / "usr/local/cuda/version.json")
    try:
        return str(json.loads(text)["cuda"]["version"]) if text else None
    except (ValueError, KeyError, TypeError):
        return None


def _driver(root: Path) -> Optional[str]:
    text = _text(root / "proc/driver/nvidia/version")
    return _found(r"Kernel Module(?: for \S+)?\s+([\d.]+)", text)


def _nvidia_smi() -> Tuple[Optional[str], Optional[str], Optional[str]]:
    """Name, driver and compute capability of the first GPU, according to the driver's own tool."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None, None, None
    fields = [field.strip() for field in done.stdout.strip().splitlines()[:1][0].split(",")] if done.stdout else []
    return (fields[0], fields[1], fields[2]) if len(fields) == 3 else (None, None, None)


def _package_version(name: str) -> Optional[str]:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cores(root: Path) -> Optional[int]:
    return len(re.findall(r"^processor\s*:", _text(root / "proc/cpuinfo") or "", re.MULTILINE)) or None


def _memory_mib(root: Path) -> Optional[int]:
    kib = _found(r"^MemTotal:\s*(\d+)", _text(root / "proc/meminfo"))
    return int(kib) // 1024 if kib else None


def _system(root: Path) -> Optional[str]:
    return _found(r'^PRETTY_NAME="?([^"\n]+)', _text(root / "etc/os-release"))


def _system_python(root: Path) -> Optional[str]:
    link = root / "usr/bin/python3"
    return _found(r"python(3\.\d+)$", os.readlink(link)) if link.is_symlink() else None


def _arch(root: Path) -> Optional[str]:
    for folder in sorted((root / "usr/lib").glob("*-linux-gnu")):
        return folder.name.split("-")[0]
    return None
