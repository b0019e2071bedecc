"""A TensorRT engine as a file: a plain plan, its sidecar, and whether both fit this machine.

``NAME.engine`` is the plan as TensorRT wrote it, so that trtexec, DeepStream and Triton load it. What edgeau knows of
it stands beside it in ``NAME.engine.json``. A plan is native code: it is deserialized only after ``preflight`` found
its hash in the sidecar, and neither TensorRT nor a GPU is needed for that.

The plan's header: bytes 0..3 are ``ftrt`` (TensorRT) or ``vtrt`` (TensorRT for RTX), and bytes 24..27 the version as
major, minor, patch, build (TensorRT 10.3 to 11.1, samples/common/sampleEngines.cpp, ``printPlanVersion``; TensorRT 8
has no such reader, so of its plans the header says nothing here).
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from .decode import decode
from .errors import EdgeauWarning, EngineError, InputError, PackageError
from .files import PathLike, sha256_file, write_json
from .machine import Machine, read_machine
from .manifest import Parity

SIDECAR_VERSION = 1
HEADER_BYTES = 28
_FLAVOURS = {b"ftrt": "tensorrt", b"vtrt": "tensorrt_rtx"}
# The first major version whose header layout is known, by flavour.
_FIRST_MAJOR = {"tensorrt": 10, "tensorrt_rtx": 1}


@dataclass(frozen=True)
class EngineSidecar:
    """What is known of an engine: where it came from, where it runs, and how it was checked.

    Attributes:
        engine_sha256, engine_size_bytes: of the plan.
        onnx_file, onnx_sha256: the ONNX file that it was built from, and its variant's name in ``made_from``.
        package: name of the package.
        flavour: ``tensorrt`` or ``tensorrt_rtx``.
        tensorrt: version of the builder, such as ``10.3.0.30``.
        device: name of the board or GPU; ``compute_capability`` as ``8.7``. Both are "" for an engine that was built
            where there is no GPU (TensorRT for RTX).
        cuda, driver, l4t, jetpack: versions on the machine that built it, None where unknown.
        precision: what was built; ``asked_precision`` is what was wanted. They differ when the ladder went down.
        batch: smallest, preferred and largest batch of the optimisation profile.
        inputs: [H, W, 3] by input name; the plan's shapes are [N, H, W, 3].
        settings: of the builder: workspace_mib, optimization_level, strongly_typed, tactic_sources, dla_core.
        ladder: one line for each precision that failed before this one was built.
        layers: number of layers in the network; ``fell_back`` names those that could not run on DLA.
        parity: engine against the FP32 ONNX on this device, None where it was not measured.
        notes: anything else, such as build_s, parity's cosine, the layers to suspect.
        built_at: UTC, ISO 8601.
    """

    engine_sha256: str
    engine_size_bytes: int
    onnx_file: str
    onnx_sha256: str
    made_from: str
    package: str
    flavour: str
    tensorrt: str
    precision: str
    asked_precision: str
    batch: Tuple[int, int, int]
    inputs: Dict[str, Any]
    device: str = ""
    compute_capability: str = ""
    cuda: Optional[str] = None
    driver: Optional[str] = None
    l4t: Optional[str] = None
    jetpack: Optional[str] = None
    settings: Dict[str, Any] = field(default_factory=dict)
    ladder: Tuple[str, ...] = ()
    layers: int = 0
    fell_back: Tuple[str, ...] = ()
    parity: Optional[Parity] = None
    notes: Dict[str, Any] = field(default_factory=dict)
    built_at: str = ""
    schema_version: int = SIDECAR_VERSION

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class PlanHeader:
    """The first bytes of a plan.

    Attributes:
        flavour: ``tensorrt`` or ``tensorrt_rtx``.
        version: such as ``10.3.0.30``; None where the layout is not known (TensorRT 8).
    """

    flavour: str
    version: Optional[str]


def sidecar_path(engine: PathLike) -> Path:
    """Where the sidecar of an engine lies: its name with ``.json`` added."""
    path = Path(engine)
    return path.with_name(path.name + ".json")


def write_sidecar(engine: PathLike, sidecar: EngineSidecar) -> None:
    """Write the sidecar beside its engine, whole or not at all."""
    write_json(sidecar_path(engine), sidecar.to_json())


def read_sidecar(engine: PathLike) -> EngineSidecar:
    """Read the sidecar beside an engine. Raises EngineError where it is missing, damaged or of another schema."""
    path = sidecar_path(engine)
    hint = f"build the engine again: {rebuild_command(engine)}"
    try:
        value = json.loads(path.read_bytes().decode("utf-8"))
        version = value.get("schema_version") if isinstance(value, dict) else None
        if version != SIDECAR_VERSION:
            raise EngineError(f"{path}: schema_version is {version!r}, this edgeau reads {SIDECAR_VERSION}; {hint}")
        return decode(EngineSidecar, value, str(path))
    except FileNotFoundError:
        raise EngineError(
            f"{engine} has no sidecar {path.name}, so nothing says that it is safe to load; {hint}"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, PackageError) as error:
        raise EngineError(f"{path} is damaged ({error}); {hint}") from error


def read_header(engine: PathLike) -> PlanHeader:
    """Read a plan's header. Raises InputError where there is no such file, EngineError where it is no plan."""
    try:
        with open(engine, "rb") as stream:
            head = stream.read(HEADER_BYTES)
    except OSError as error:
        raise InputError(f"engine {engine}", got=error.strerror, expected="a TensorRT engine") from error
    if len(head) < HEADER_BYTES:
        raise EngineError(f"{engine} is truncated: {len(head)} bytes; build it again: {rebuild_command(engine)}")
    flavour = _FLAVOURS.get(head[:4])
    if flavour is None:
        raise EngineError(
            f"{engine} is not a plain TensorRT plan: it begins with {head[:4]!r} in place of b'ftrt'; "
            f"build it again: {rebuild_command(engine)}"
        )
    known = head[4:8] == b"\0\0\0\0" and head[24] >= _FIRST_MAJOR[flavour]
    return PlanHeader(flavour, ".".join(str(number) for number in head[24:28]) if known else None)


def preflight(engine: PathLike, machine: Machine) -> EngineSidecar:
    """Compare an engine with its sidecar and this machine, before anything is deserialized.

    A newer driver than the one that it was built under gives an EdgeauWarning: such engines load.

    Args:
        engine: the plan, with its sidecar beside it.
        machine: what this machine is; facts that it does not know (None) are not compared.

    Raises:
        InputError: no such file.
        EngineError: truncated or altered, or built for another TensorRT, compute capability, board or driver; the
            message says which, and the command that fixes it.
    """
    header, sidecar = read_header(engine), read_sidecar(engine)
    wrong = _damage(Path(engine), header, sidecar) or _misfit(sidecar, machine)
    if wrong:
        raise EngineError(f"{engine} {wrong}; build it again here: {rebuild_command(engine, sidecar)}")
    if _older(sidecar.driver, machine.driver):
        warnings.warn(
            f"{engine} was built under driver {sidecar.driver}, this machine has {machine.driver}: it loads, but was "
            f"tuned for the other; for full speed: {rebuild_command(engine, sidecar)}",
            EdgeauWarning,
            stacklevel=2,
        )
    return sidecar


def rebuild_command(engine: PathLike, sidecar: Optional[EngineSidecar] = None) -> str:
    """The command that builds this engine again, ready to type."""
    folder = Path(engine).parent.parent
    package = shlex.quote(str(folder)) if (folder / "manifest.json").is_file() else "PACKAGE"
    if sidecar is None:
        return f"edgeau build {package}"
    words = [f"edgeau build {package} --precision {sidecar.asked_precision}"]
    if sidecar.batch != (1, 1, 1):
        words.append("--batch " + ",".join(str(n) for n in sidecar.batch))
    core = sidecar.settings.get("dla_core")
    if core is not None:
        words.append(f"--dla {core}")
    return " ".join(words)


def describe_engine(engine: PathLike, machine: Optional[Machine] = None) -> Dict[str, Any]:
    """What an engine is, read without TensorRT and without a GPU.

    Args:
        engine: the plan.
        machine: where it should run; by default this machine.

    Returns:
        ``file``, ``size_bytes``, ``flavour``, ``tensorrt`` (None where neither header nor sidecar says), ``intact``
        (True, False, or None without a sidecar), ``ok`` (intact), ``wrong`` (what is wrong with the file, one line or
        None), ``here`` (why it can't run on the machine, one line; None where nothing speaks against it) and
        ``sidecar`` (its fields, or None).

    Raises:
        InputError: no such file.
        EngineError: not a TensorRT plan.
    """
    path, header = Path(engine), read_header(engine)
    found: Dict[str, Any] = {
        "file": str(path),
        "size_bytes": path.stat().st_size,
        "flavour": header.flavour,
        "tensorrt": header.version,
        "intact": None,
        "ok": False,
        "wrong": None,
        "here": None,
        "sidecar": None,
    }
    try:
        sidecar = read_sidecar(path)
    except EngineError as error:
        found["wrong"] = str(error)
        return found
    damage = _damage(path, header, sidecar)
    misfit = _misfit(sidecar, machine or read_machine()) or _absent(machine or read_machine())
    hint = f"build it again here: {rebuild_command(path, sidecar)}"
    found.update(
        intact=damage is None,
        ok=damage is None,
        sidecar=sidecar.to_json(),
        tensorrt=header.version or sidecar.tensorrt,
        wrong=damage and f"{path} {damage}; {hint}",
        here=misfit and f"it {misfit}; {hint}",
    )
    return found


def _damage(engine: Path, header: PlanHeader, sidecar: EngineSidecar) -> Optional[str]:
    """What is wrong with the file itself; None where it is what the sidecar says."""
    size = engine.stat().st_size
    if size < sidecar.engine_size_bytes:
        return f"is truncated: {size} of {sidecar.engine_size_bytes} bytes"
    if header.flavour != sidecar.flavour:
        return f"is a {header.flavour} plan, but its sidecar was written for {sidecar.flavour}"
    if header.version is not None and not _same_version(header.version, sidecar.tensorrt):
        return f"says TensorRT {header.version} in its header and {sidecar.tensorrt} in its sidecar"
    if sha256_file(engine) != sidecar.engine_sha256:
        return "was altered after it was built: its SHA-256 is not the one in its sidecar"
    return None


def _misfit(sidecar: EngineSidecar, machine: Machine) -> Optional[str]:
    """Why an intact engine can't run on this machine; None where it can."""
    if sidecar.flavour == "tensorrt_rtx":
        return f"was built by TensorRT for RTX {sidecar.tensorrt}, which runs on no Jetson and not in TensorRT"
    if machine.tensorrt is not None and not _same_version(sidecar.tensorrt, machine.tensorrt):
        return f"was built with TensorRT {sidecar.tensorrt}, this machine has {machine.tensorrt}"
    capability = machine.compute_capability
    if capability is not None and sidecar.compute_capability and sidecar.compute_capability != capability:
        return f"was built for compute capability {sidecar.compute_capability}, this machine has {capability}"
    if machine.model is not None and sidecar.device and sidecar.device != machine.model:
        return f"was built on {sidecar.device}, this machine is {machine.model}"
    if _older(machine.driver, sidecar.driver):
        return f"was built under driver {sidecar.driver}, this machine has the older {machine.driver}"
    return None


def _absent(machine: Machine) -> Optional[str]:
    """Why no engine at all runs on this machine; None where it has what engines need."""
    if machine.model is None:
        return "needs an NVIDIA GPU, and this machine has none"
    return "needs TensorRT, which is not installed here" if machine.tensorrt is None else None


def _same_version(first: str, second: str) -> bool:
    """Whether two versions agree as far as both are told: 10.3.0 and 10.3.0.30 do."""
    a, b = first.split("."), second.split(".")
    shared = min(len(a), len(b))
    return a[:shared] == b[:shared]


def _older(first: Optional[str], second: Optional[str]) -> bool:
    """Whether driver ``first`` is older than ``second``; False where one is unknown."""
    return first is not None and second is not None and _numbers(first) < _numbers(second)


def _numbers(version: str) -> List[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
