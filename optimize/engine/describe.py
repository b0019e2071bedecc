"""What an engine's sidecar says of it, and the name of its file."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass
from typing import Tuple

from edgeau.runtime.engine_file import EngineSidecar
from edgeau.runtime.machine import Machine
from edgeau.runtime.targets import slug_of

from .builder import BuiltEngine


@dataclass(frozen=True)
class EngineOrigin:
    """What an engine was built from.

    Attributes:
        package: its name.
        made_from: the variant, or the file that the ONNX file was made from.
        onnx_file, onnx_sha256: what TensorRT read.
        precision, asked_precision: of the engine, and what was asked for; they differ where ``failures`` says why.
        batch: smallest, usual and largest.
        failures: a line for each precision that was tried before.
    """

    package: str
    made_from: str
    onnx_file: str
    onnx_sha256: str
    precision: str
    asked_precision: str
    batch: Tuple[int, int, int] = (1, 1, 1)
    failures: Tuple[str, ...] = ()


def engine_name(machine: Machine, built: BuiltEngine, precision: str) -> str:
    """Such as ``orin-nano.trt10.3.0.int8.engine``."""
    numbers = ".".join(built.tensorrt.split(".")[:3])
    return f"{slug_of(machine.model)}.trt{numbers}.{precision}.engine"


def make_sidecar(built: BuiltEngine, origin: EngineOrigin, machine: Machine) -> EngineSidecar:
    """The sidecar of an engine that was built now, on this machine."""
    return EngineSidecar(
        engine_sha256=hashlib.sha256(built.plan).hexdigest(),
        engine_size_bytes=len(built.plan),
        onnx_file=origin.onnx_file,
        onnx_sha256=origin.onnx_sha256,
        made_from=origin.made_from,
        package=origin.package,
        flavour=built.flavour,
        tensorrt=built.tensorrt,
        precision=origin.precision,
        asked_precision=origin.asked_precision,
        batch=origin.batch,
        inputs=dict(built.inputs),
        device=machine.model or "",
        compute_capability=machine.compute_capability or "",
        cuda=machine.cuda,
        driver=machine.driver,
        l4t=machine.l4t,
        jetpack=machine.jetpack,
        settings=built.settings,
        ladder=origin.failures,
        layers=built.layers,
        fell_back=built.fell_back,
        notes={"build_s": round(built.build_s, 3), "warnings": list(built.warnings)},
        built_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )
