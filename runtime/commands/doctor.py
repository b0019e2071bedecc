"""What this machine is, what of edgeau can run on it, and what to type for the rest.

example:
  edgeau doctor
  edgeau doctor --json
  edgeau doctor --fetch-detector      fetch the better face detector (needs a network)
"""

from __future__ import annotations

import argparse
import platform
import re
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Optional, Set

from edgeau.runtime import arguments
from edgeau.runtime.backends import BACKEND_NAMES, missing
from edgeau.runtime.backends.cuda import installed_binding
from edgeau.runtime.choose import choose
from edgeau.runtime.detect import examine_detector, fetch_yunet
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.machine import BOARD_VARIABLE, Machine, read_machine
from edgeau.runtime.machine_state import MachineState, read_state
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.terminal import EXIT_FAILED, EXIT_OK, emit_json, note, say

OLDEST_PYTHON = (3, 8)
_LIBRARIES = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu"), "openvino": ("openvino",), "tensorrt": ("tensorrt",)}
# Distributions that come under other names as well (headless, GPU builds, JetPack's own): their module decides.
_MODULES = {"opencv-python": "cv2", "onnxruntime": "onnxruntime"}
_MARKS = {True: "ok  ", False: "no  ", None: "note"}


@dataclass(frozen=True)
class Check:
    """One line of the examination.

    Attributes:
        name: of the thing.
        ok: True where it is in order, False where it is missing or broken, None for advice.
        text: what was found.
        hint: what to type, "" where there is nothing to do.
    """

    name: str
    ok: Optional[bool]
    text: str
    hint: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fetch-detector", action="store_true", help="fetch the YuNet face detector into the cache")
    parser.add_argument(
        "--root",
        type=arguments.name,
        default="/",
        metavar="DIR",
        help="read a recorded machine below DIR, not this one",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    if args.fetch_detector:
        note(f"face detector: {fetch_yunet()}")
    if not Path(args.root).is_dir():
        raise InputError(f"--root {args.root}", got="no such folder", expected="a tree with proc, sys and etc")
    machine, state = read_machine(args.root), read_state(args.root)
    here = Path(args.root) == Path("/")
    checks = (examine_software(machine) if here else []) + examine_board(machine, state)
    runs = not here or any(check.name == "package" and check.ok for check in checks)
    if args.json:
        emit_json(
            {"ok": runs, "machine": machine.to_json(), "state": state.to_json(), "checks": [vars(c) for c in checks]}
        )
    else:
        _print(machine, state, checks)
    return EXIT_OK if runs else EXIT_FAILED


def examine_board(machine: Machine, state: MachineState) -> List[Check]:
    """What a Jetson's owner should know: releases, TensorRT, power mode and clocks. Elsewhere empty."""
    may_be_jetson = machine.is_jetson or machine.arch == "aarch64"
    found = [_container(machine)] if machine.container and machine.model is None and may_be_jetson else []
    if not machine.is_jetson:
        return found
    found.append(_jetpack(machine))
    if machine.tensorrt is None:
        found.append(Check("TensorRT", False, "not found", "sudo apt-get install nvidia-jetpack"))
    else:
        found.append(Check("TensorRT", True, machine.tensorrt))
    found.append(_power(machine))
    if state.clocks_locked is False:
        clocks = f"CPU {_mhz(state.cpu_mhz, state.cpu_max_mhz)}, GPU {_mhz(state.gpu_mhz, state.gpu_max_mhz)}"
        found.append(Check("clocks", None, f"{clocks}: lock them before measuring", "sudo jetson_clocks"))
    return found


def examine_software(machine: Machine) -> List[Check]:
    """Python, backends, detector, the shipped package and the extras of this installation."""
    found = [_python()]
    found += [_backend(name, machine) for name in BACKEND_NAMES]
    if machine.gpu or machine.is_jetson:
        found.append(_binding(machine))
    found.append(_detector(machine))
    found.append(_package())
    return found + _extras(machine)


def _python() -> Check:
    version = platform.python_version()
    new_enough = tuple(int(part) for part in version.split(".")[:2]) >= OLDEST_PYTHON
    return Check("Python", new_enough, version, "" if new_enough else "install Python 3.8 or newer")


def _backend(name: str, machine: Machine) -> Check:
    versions = [_version(library) for library in _LIBRARIES[name]]
    version = next((v for v in versions if v), "")
    reason = missing(name)
    if reason is None:
        return Check(name, True, version)
    text, _, hint = reason.partition("; type: ")
    if name != "tensorrt":
        # pip's wheels would bring an OpenCV and a numpy beside JetPack's, and engines need neither.
        return (
            Check(name, None, f"{text}; engines run without it")
            if machine.is_jetson
            else Check(name, False, text, hint)
        )
    if machine.is_jetson:
        return Check(name, False, f"{text}; it comes from JetPack, not from pip", _tensorrt_hint(machine))
    # No loss where there is no NVIDIA GPU.
    return Check(name, False if machine.gpu else None, text if machine.gpu else "no NVIDIA GPU here", "")


def _tensorrt_hint(machine: Machine) -> str:
    if machine.tensorrt is None:
        return "sudo apt-get install nvidia-jetpack"
    return "sudo apt-get install python3-libnvinfer, and make the environment with --system-site-packages"


def _binding(machine: Machine) -> Check:
    name = installed_binding()
    if name is None:
        hint = "sudo apt-get install nvidia-jetpack" if machine.is_jetson else "pip install 'edgeau[gpu]'"
        return Check("CUDA binding", False, "neither CUDA's runtime library, cuda-python nor pycuda", hint)
    graphs = "; CUDA graphs need CUDA's runtime library or cuda-python" if name == "pycuda" else ""
    return Check("CUDA binding", True, name + graphs)


def _detector(machine: Machine) -> Check:
    if find_spec("cv2") is None:
        hint = "sudo apt-get install python3-opencv" if machine.is_jetson else "pip install 'edgeau[cpu]'"
        return Check("face detector", False, "OpenCV is not installed", hint)
    try:
        text, hint = examine_detector()
    except EdgeauError as error:
        text, _, hint = str(error).partition("; type: ")
        return Check("face detector", False, text, hint)
    return Check("face detector", None if hint else True, text, hint)


def _package() -> Check:
    try:
        package = Package.open(shipped_package())
        package.verify()
        choice = choose(package)
    except EdgeauError as error:
        return Check("package", False, str(error))
    names = ", ".join(variant.name for variant in package.manifest.variants)
    return Check(
        "package", True, f"{package.manifest.name} ({names}), intact; runs {choice.variant} on {choice.backend}"
    )


def _extras(machine: Machine) -> List[Check]:
    """One line for each extra of the installation's own metadata."""
    table = extras_table(_requirements())
    found = []
    for extra in table:
        # What else pip offers doesn't fit beside JetPack's OpenCV, numpy and CUDA.
        if extra in ("all", "dev") or machine.is_jetson != (extra == "jetson") or (extra == "gpu" and not machine.gpu):
            continue
        absent = sorted(name for name in table[extra] if not _present(name))
        hint = f"pip install 'edgeau[{extra}]'" if absent else ""
        text = f"lacks {', '.join(absent)}" if absent else "complete"
        found.append(Check(f"extra {extra}", not absent, text, hint))
    return found


def extras_table(requirements: List[str]) -> Dict[str, Set[str]]:
    """Distributions that each extra needs, from lines such as ``onnx>=1.16; extra == "optimize"``.

    Extras that name other extras of edgeau (``edgeau[cpu]``) get what those need.
    """
    direct: Dict[str, Set[str]] = {}
    nested: Dict[str, Set[str]] = {}
    for line in requirements:
        name = re.match(r"[A-Za-z0-9._-]+", line)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
        if name is None or extra is None:
            continue
        inner = re.match(r"edgeau\[([^]]+)\]", line)
        direct.setdefault(extra.group(1), set())
        if inner:
            nested.setdefault(extra.group(1), set()).update(part.strip() for part in inner.group(1).split(","))
        else:
            direct[extra.group(1)].add(name.group(0).lower())
    return {extra: _closure(extra, direct, nested) for extra in direct}


def _closure(extra: str, direct: Dict[str, Set[str]], nested: Dict[str, Set[str]]) -> Set[str]:
    found = set(direct.get(extra, ()))
    for inner in nested.get(extra, ()):
        if inner != extra:
            found |= _closure(inner, direct, nested)
    return found


def _requirements() -> List[str]:
    try:
        return metadata.requires("edgeau") or []
    except metadata.PackageNotFoundError:
        return []


def _present(distribution: str) -> bool:
    module = _MODULES.get(distribution)
    return _version(distribution) is not None or (module is not None and find_spec(module) is not None)


def _version(distribution: str) -> Optional[str]:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _container(machine: Machine) -> Check:
    """What a container hides, and how to start it so that it doesn't."""
    hidden = ["the board (/proc/device-tree is masked)"]
    if machine.l4t is None:
        hidden.append("JetPack (no /etc/nv_tegra_release)")
    if machine.compute_capability is None:
        hidden.append("the GPU (no CUDA driver)")
    told = f"; the chip follows from L4T {machine.l4t}" if machine.soc else ""
    hint = (
        f"on a Jetson start it with: docker run --runtime nvidia -e {BOARD_VARIABLE}=\"$(tr -d '\\0' < "
        '/proc/device-tree/model)" -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro'
    )
    return Check("container", None, f"hides {', '.join(hidden)}{told}", hint)


def _jetpack(machine: Machine) -> Check:
    if machine.l4t is None:
        return Check("JetPack", False, "no /etc/nv_tegra_release: not an image of NVIDIA's", "flash a JetPack image")
    text = f"{machine.jetpack or 'of an unknown release'} (L4T {machine.l4t})"
    if int(machine.l4t.split(".")[0]) < 35:
        return Check("JetPack", False, f"{text}: its Python 3.6 is too old", "flash JetPack 5 or newer")
    return Check("JetPack", True, text)


def _power(machine: Machine) -> Check:
    if machine.power_mode is None:
        return Check("power mode", None, "unknown: no /etc/nvpmodel.conf")
    offered = ", ".join(machine.power_modes.values())
    text = f"{machine.power_mode} of {offered}" if offered else machine.power_mode
    fastest = [(i, name) for i, name in machine.power_modes.items() if name.startswith("MAXN")]
    if fastest and not machine.power_mode.startswith("MAXN"):
        number, name = fastest[-1]
        return Check("power mode", None, f"{text}; the fastest is {name}", f"sudo nvpmodel -m {number}")
    return Check("power mode", True, text)


def _mhz(now: Optional[float], top: Optional[float]) -> str:
    return "unknown" if now is None else f"{now:.0f} of {top:.0f} MHz" if top else f"{now:.0f} MHz"


def _print(machine: Machine, state: MachineState, checks: List[Check]) -> None:
    for name, value in _facts(machine, state).items():
        say(f"{name:<12} {value}")
    say()
    for check in checks:
        say(f"{_MARKS[check.ok]} {check.name:<14} {check.text}" + (f"  ->  {check.hint}" if check.hint else ""))


def _facts(machine: Machine, state: MachineState) -> Dict[str, Any]:
    memory = f"{machine.memory_mib} MiB" if machine.memory_mib else None
    capability = f", compute capability {machine.compute_capability}" if machine.compute_capability else ""
    facts = {
        "machine": machine.model or machine.arch,
        "CPU": f"{machine.cpu}, {machine.cores} cores",
        "GPU": f"{machine.gpu or machine.soc}{capability}" if machine.gpu or machine.soc else None,
        "memory": memory,
        "system": machine.system,
        "Python": machine.python,
        "CUDA": machine.cuda,
        "driver": machine.driver,
        "TensorRT": machine.tensorrt,
        "governor": state.governor,
        "temperature": None if state.temperature_c is None else f"{state.temperature_c:.0f} C",
        "load": state.load_1m,
    }
    return {name: value for name, value in facts.items() if value is not None}
