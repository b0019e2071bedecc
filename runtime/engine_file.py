"""A TensorRT engine as files: a plain plan, and its sidecar.

``NAME.engine`` is the plan as TensorRT wrote it, so that trtexec, DeepStream and Triton load it. What edgeau knows
about it is beside it in ``NAME.engine.json``. ``engine_check`` checks that both are intact and fit a machine.

The plan's header:
    TensorRT          bytes 0..3 are ``ftrt``; where bytes 4..7 are zero, 24..27 are major, minor, patch, build of the
                      version (TensorRT 10.3 to 11.1, samples/common/sampleEngines.cpp, ``printPlanVersion``; TensorRT
                      8.6 has no such reader, so the version of its plans is not read here)
    before 8.6        bytes 0..3 are ``ptrt`` (seen in public plans of 8.2 and 8.4), then a serialization number instead
                      of a version (232 in 8.5.3: NVIDIA/TensorRT issue 3073)
    TensorRT for RTX  bytes 0..3 are ``vtrt``; 24..27 as above
"""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from .decode import decode, parse_json
from .errors import EngineError, InputError, PackageError
from .files import PathLike, write_json
from .manifest import Parity

SIDECAR_VERSION = 1
HEADER_BYTES = 28
_OLD_TAG = b"ptrt"
_FLAVOURS = {b"ftrt": "tensorrt", _OLD_TAG: "tensorrt", b"vtrt": "tensorrt_rtx"}
# The first major version whose header layout is known, by flavour.
_FIRST_MAJOR = {"tensorrt": 10, "tensorrt_rtx": 1}


@dataclass(frozen=True)
class EngineSidecar:
    """The facts recorded about an engine: its origin, where it runs, and how it was checked.

    Attributes:
        engine_sha256, engine_size_bytes: of the plan.
        onnx_file, onnx_sha256: the ONNX file that it was built from, and its variant's name in ``made_from``.
        package: name of the package.
        flavour: ``tensorrt`` or ``tensorrt_rtx``.
        tensorrt: version of the builder, such as ``10.3.0.30``.
        device: name of the board or GPU; ``compute_capability`` as ``8.7``. Both are "" for an engine built
            without a GPU (TensorRT for RTX).
        cuda, driver, l4t, jetpack: versions of the machine that built it, None if unknown.
        precision: of the engine; ``asked_precision`` is higher where a lower rung of the ladder was built.
        batch: smallest, preferred and largest batch of the optimisation profile.
        inputs: [H, W, 3] by input name; the plan's shapes are [N, H, W, 3].
        settings: of the builder: workspace_mib, optimization_level, strongly_typed, tactic_sources, dla_core.
        ladder: one line per precision that failed before this one was built.
        layers: number of layers in the network; ``fell_back`` names those that could not run on DLA.
        parity: engine against the FP32 ONNX on this device, None if it was not measured.
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
        version: such as ``10.3.0.30``; None if the header has none that can be read (TensorRT 8).
    """

    flavour: str
    version: Optional[str]


def sidecar_path(engine: PathLike) -> Path:
    """Path of an engine's sidecar: the engine's name with ``.json`` added."""
    path = Path(engine)
    return path.with_name(path.name + ".json")


def write_sidecar(engine: PathLike, sidecar: EngineSidecar) -> None:
    """Write the sidecar beside its engine, atomically."""
    write_json(sidecar_path(engine), sidecar.to_json())


def read_sidecar(engine: PathLike) -> EngineSidecar:
    """Read the sidecar beside an engine. Raises EngineError if it is missing, damaged or of another schema."""
    path = sidecar_path(engine)
    hint = f"build the engine again: {rebuild_command(engine)}"
    try:
        value = parse_json(path.read_bytes(), str(path))
        version = value.get("schema_version") if isinstance(value, dict) else None
        if version != SIDECAR_VERSION:
            raise EngineError(f"{path}: schema_version is {version!r}, this edgeau reads {SIDECAR_VERSION}; {hint}")
        sidecar = decode(EngineSidecar, value, str(path))
        # Some of it becomes lines of configuration files and of commands to type.
        wrong = [name for name, text in vars(sidecar).items() if isinstance(text, str) and not text.isprintable()]
        if wrong:
            raise PackageError(f"{wrong[0]} has control characters in it")
        return sidecar
    except FileNotFoundError:
        raise EngineError(
            f"{engine} has no sidecar {path.name}, so nothing says that it is safe to load; {hint}"
        ) from None
    except PackageError as error:
        raise EngineError(f"{path} is damaged ({error}); {hint}") from error


def read_header(engine: PathLike) -> PlanHeader:
    """Read a plan's header. Raises InputError if there is no such file, EngineError if it is not a plan."""
    try:
        with open(engine, "rb") as stream:
            return parse_header(stream.read(HEADER_BYTES), engine)
    except OSError as error:
        raise InputError(f"engine {engine}", got=error.strerror, expected="a TensorRT engine") from error


def parse_header(plan: bytes, engine: PathLike) -> PlanHeader:
    """The header of a plan that was read from ``engine``. Raises EngineError if it is not a plan."""
    if len(plan) < HEADER_BYTES:
        raise EngineError(f"{engine} is truncated: {len(plan)} bytes; build it again: {rebuild_command(engine)}")
    tag = plan[:4]
    flavour = _FLAVOURS.get(tag)
    if flavour is None:
        raise EngineError(
            f"{engine} is not a plain TensorRT plan: it begins with {tag!r} instead of b'ftrt'; "
            f"build it again: {rebuild_command(engine)}"
        )
    known = tag != _OLD_TAG and plan[4:8] == b"\0\0\0\0" and plan[24] >= _FIRST_MAJOR[flavour]
    return PlanHeader(flavour, ".".join(str(number) for number in plan[24:28]) if known else None)


def rebuild_command(engine: PathLike, sidecar: Optional[EngineSidecar] = None) -> str:
    """The command that builds this engine again, ready to type."""
    folder = Path(engine).parent.parent
    package = shlex.quote(str(folder)) if (folder / "manifest.json").is_file() else "PACKAGE"
    if sidecar is None:
        return f"edgeau build {package}"
    # A sidecar may come from anywhere, so all its text is quoted.
    words = [f"edgeau build {package} --precision {shlex.quote(sidecar.asked_precision)}"]
    if sidecar.batch != (1, 1, 1):
        words.append("--batch " + ",".join(str(n) for n in sidecar.batch))
    core = sidecar.settings.get("dla_core")
    if core is not None:
        words.append(f"--dla {shlex.quote(str(core))}")
    return " ".join(words)
