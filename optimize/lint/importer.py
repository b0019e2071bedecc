"""What TensorRT's own ONNX importer says about a model, where TensorRT for RTX is installed. It needs no GPU.

Its importer is that of a recent TensorRT: what it refuses, 10 and 11 refuse too; what it takes, TensorRT 8 may not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from edgeau.optimize.engine.builder import make_builder, parse
from edgeau.optimize.engine.library import load_tensorrt, version
from edgeau.runtime.backends.tensorrt_log import listen
from edgeau.runtime.errors import EngineError
from edgeau.runtime.model_file import ModelFile

MODULE = "tensorrt_rtx"


@dataclass(frozen=True)
class Verdict:
    """The importer's answer.

    Attributes:
        importer: its name and version.
        taken: whether it read the model.
        error: why not; "" if it did.
        warnings: one line each.
    """

    importer: str
    taken: bool
    error: str
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        if not self.taken:
            return f"{self.importer} refuses it: {self.error}"
        count = f" with {len(self.warnings)} warnings, such as: {self.warnings[0]}" if self.warnings else ""
        return f"{self.importer} reads it{count}"


def ask_importer(model: onnx.ModelProto) -> Verdict | None:
    """Let the importer parse a model. None where TensorRT for RTX is not installed or can't be used."""
    try:
        trt = load_tensorrt(MODULE)
        builder = make_builder(trt, listen(trt))
    except EngineError:
        return None
    log = listen(trt)  # from here on: the builder warns where the process had another logger first
    network, name = builder.create_network(0), f"TensorRT for RTX {version(trt)}"
    try:
        parse(trt, network, ModelFile(Path("the model"), model.SerializeToString(), ""), log)
    except EngineError as error:
        return Verdict(name, False, str(error).partition("can't parse the model: ")[2] or str(error), ())
    return Verdict(name, True, "", tuple(log.warnings))
