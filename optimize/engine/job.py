"""What is asked for when an engine is made, and what it is made with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from edgeau.runtime.machine import Machine
from edgeau.runtime.package import Package
from edgeau.runtime.report import Report, silent
from edgeau.runtime.targets import slug_of

from .builder import BuilderSettings
from .library import version
from .timing_cache import cache_name

ENGINES = "engines"


@dataclass(frozen=True)
class MakeOptions:
    """What to build.

    Attributes:
        precision: where the ladder starts.
        builder: settings of TensorRT's builder.
        crops: data for parity, as ``read_crops`` takes it; None means the built-in faces.
        parity: whether the engine is run and compared after it was built.
        fall_back: whether lower precisions are tried if this one can't be built.
    """

    precision: str = "int8"
    builder: BuilderSettings = field(default_factory=BuilderSettings)
    crops: Optional[str] = None
    parity: bool = True
    fall_back: bool = True


@dataclass(frozen=True)
class Job:
    """One engine to make.

    Attributes:
        package: gets the engine, and has the ONNX files.
        options: what to build.
        trt: TensorRT's module.
        machine: where the engine is built, hence where it runs.
        report: gets lines of progress.
    """

    package: Package
    options: MakeOptions
    trt: Any
    machine: Machine
    report: Report = silent

    @property
    def timing_cache(self) -> Path:
        """What TensorRT measured on this device, kept in the package for the next build."""
        return self.package.path / ENGINES / cache_name(slug_of(self.machine.model), version(self.trt))
