"""Check that an engine is intact and fits this machine, without TensorRT or a GPU.

A plan is native code: only bytes whose hash is in the sidecar are deserialized. ``preflight`` reads the plan once and
returns the same bytes that it checked.
"""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

from .engine_file import EngineSidecar, PlanHeader, parse_header, read_header, read_sidecar, rebuild_command
from .errors import EdgeauError, EdgeauWarning, EngineError
from .files import PathLike
from .machine import Machine, read_machine
from .model_file import ModelFile, read_model_file


@dataclass(frozen=True)
class VerifiedEngine:
    """A plan that may be deserialized on this machine.

    Attributes:
        file: the plan; its bytes are those that were checked.
        sidecar: the facts recorded about it.
    """

    file: ModelFile
    sidecar: EngineSidecar


def preflight(engine: Union[PathLike, ModelFile], machine: Machine) -> VerifiedEngine:
    """Compare an engine with its sidecar and this machine, before anything is deserialized.

    A newer driver than the one that it was built under, or another Jetson with the same chip, gives an EdgeauWarning:
    such engines load.

    Args:
        engine: the plan's path, or the plan as it was read; its sidecar is beside that path.
        machine: this machine; unknown facts (None) are not compared.

    Raises:
        InputError: no such file.
        EngineError: truncated or altered, or built for another TensorRT, compute capability, board or driver; the
            message says which, and the command that fixes it.
    """
    file = engine if isinstance(engine, ModelFile) else read_model_file(engine)
    header, sidecar = parse_header(file.data, file.path), read_sidecar(file.path)
    reason = _damage(len(file.data), header, sidecar) or _alteration(file, sidecar) or _misfit(sidecar, machine)
    if reason:
        raise EngineError(f"{file.path} {reason}; build it again here: {rebuild_command(file.path, sidecar)}")
    if _older(sidecar.driver, machine.driver):
        warnings.warn(
            f"{file.path} was built under driver {sidecar.driver}, this machine has {machine.driver}: it loads, but "
            f"was tuned for the other; for full speed: {rebuild_command(file.path, sidecar)}",
            EdgeauWarning,
            stacklevel=2,
        )
    if _differs(sidecar, machine):
        warnings.warn(
            f"{file.path} was built on {sidecar.device}, this machine is {machine.model}, with the same chip: it "
            f"loads, but may be tuned for other clocks; for full speed: {rebuild_command(file.path, sidecar)}",
            EdgeauWarning,
            stacklevel=2,
        )
    return VerifiedEngine(file, sidecar)


def engine_obstacle(engine: PathLike, machine: Machine) -> Optional[str]:
    """Why an engine can't run on a machine, in one line; None if there is no known reason.

    A quick look at header, size and sidecar, to choose among engines; ``preflight`` checks whether the plan was altered
    when it is loaded.
    """
    try:
        header, sidecar = read_header(engine), read_sidecar(engine)
    except EdgeauError as error:
        return str(error)
    reason = _damage(Path(engine).stat().st_size, header, sidecar) or _misfit(sidecar, machine)
    return reason and f"{engine} {reason}; build it again here: {rebuild_command(engine, sidecar)}"


@dataclass(frozen=True)
class EngineFacts:
    """What an engine is, and whether it can run.

    Attributes:
        file, size_bytes: of the plan.
        flavour: as in PlanHeader.
        tensorrt: version; None if neither header nor sidecar has it.
        intact: whether the plan matches its sidecar; None without a sidecar.
        wrong: what is wrong with the files, one line or None.
        here: why it can't run on the machine, one line; None if there is no known reason.
        sidecar: None if it is missing or damaged.
    """

    file: str
    size_bytes: int
    flavour: str
    tensorrt: Optional[str]
    intact: Optional[bool]
    wrong: Optional[str]
    here: Optional[str]
    sidecar: Optional[EngineSidecar]

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON values; ``ok`` says whether the engine is intact."""
        return {**dataclasses.asdict(self), "ok": bool(self.intact)}


def describe_engine(engine: PathLike, machine: Optional[Machine] = None) -> EngineFacts:
    """Describe an engine, without TensorRT or a GPU.

    Args:
        engine: the plan.
        machine: the machine to run it on; by default this one.

    Raises:
        InputError: no such file.
        EngineError: not a TensorRT plan.
    """
    file = read_model_file(engine)
    header, size, name = parse_header(file.data, file.path), len(file.data), str(file.path)
    try:
        sidecar = read_sidecar(file.path)
    except EngineError as error:
        return EngineFacts(name, size, header.flavour, header.version, None, str(error), None, None)
    machine = machine or read_machine()
    damage = _damage(size, header, sidecar) or _alteration(file, sidecar)
    misfit = _misfit(sidecar, machine) or _absent(machine)
    hint = f"build it again here: {rebuild_command(file.path, sidecar)}"
    return EngineFacts(
        file=name,
        size_bytes=size,
        flavour=header.flavour,
        tensorrt=header.version or sidecar.tensorrt,
        intact=damage is None,
        wrong=damage and f"{file.path} {damage}; {hint}",
        here=misfit and f"it {misfit}; {hint}",
        sidecar=sidecar,
    )


def _damage(size: int, header: PlanHeader, sidecar: EngineSidecar) -> Optional[str]:
    """How size and header contradict the sidecar; None if they don't."""
    if size < sidecar.engine_size_bytes:
        return f"is truncated: {size} of {sidecar.engine_size_bytes} bytes"
    if header.flavour != sidecar.flavour:
        return f"is a {header.flavour} plan, but its sidecar was written for {sidecar.flavour}"
    if header.version is not None and not _same_version(header.version, sidecar.tensorrt):
        return f"says TensorRT {header.version} in its header and {sidecar.tensorrt} in its sidecar"
    return None


def _alteration(file: ModelFile, sidecar: EngineSidecar) -> Optional[str]:
    if file.sha256 != sidecar.engine_sha256:
        return "was altered after it was built: its SHA-256 is not the one in its sidecar"
    return None


def _misfit(sidecar: EngineSidecar, machine: Machine) -> Optional[str]:
    """Why an intact engine can't run on this machine; None if it can."""
    if sidecar.flavour == "tensorrt_rtx":
        return f"was built by TensorRT for RTX {sidecar.tensorrt}, which runs on no Jetson and not in TensorRT"
    if machine.tensorrt is not None and not _same_version(sidecar.tensorrt, machine.tensorrt):
        return f"was built with TensorRT {sidecar.tensorrt}, this machine has {machine.tensorrt}"
    capability = machine.compute_capability
    if capability is not None and sidecar.compute_capability and sidecar.compute_capability != capability:
        return f"was built for compute capability {sidecar.compute_capability}, this machine has {capability}"
    if _differs(sidecar, machine) and not _same_chip(sidecar, machine):
        return f"was built on {sidecar.device}, this machine is {machine.model}"
    if _older(machine.driver, sidecar.driver):
        return f"was built under driver {sidecar.driver}, this machine has the older {machine.driver}"
    return None


def _differs(sidecar: EngineSidecar, machine: Machine) -> bool:
    """Whether the engine was built on a machine with a different name."""
    return machine.model is not None and bool(sidecar.device) and sidecar.device != machine.model


def _same_chip(sidecar: EngineSidecar, machine: Machine) -> bool:
    """Whether both are Jetsons with the same system on chip, which its compute capability identifies.

    The name in the device tree depends on the carrier as well as the module, and changes with a "Super" device tree.
    """
    return machine.is_jetson and sidecar.compute_capability == machine.compute_capability is not None


def _absent(machine: Machine) -> Optional[str]:
    """Why no engine can run on this machine; None if it has what engines need."""
    # A container hides a Jetson's name.
    if machine.model is None and not machine.is_jetson:
        return "needs an NVIDIA GPU, and this machine has none"
    return "needs TensorRT, which is not installed here" if machine.tensorrt is None else None


def _same_version(first: str, second: str) -> bool:
    """Whether two versions agree in the components that both have, as 10.3.0 and 10.3.0.30 do."""
    a, b = first.split("."), second.split(".")
    shared = min(len(a), len(b))
    return a[:shared] == b[:shared]


def _older(first: Optional[str], second: Optional[str]) -> bool:
    """Whether driver ``first`` is older than ``second``; False if one is unknown."""
    return first is not None and second is not None and _numbers(first) < _numbers(second)


def _numbers(version: str) -> List[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
