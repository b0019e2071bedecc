"""The files that the quantization table compares: FP32, FP16, NNCF's, edgeau's for each target, and other tools'."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from edgeau.optimize.quantization.flavours import FLAVOURS, Flavour, finish_for
from edgeau.optimize.quantization.nncf_quantize import quantize_model
from edgeau.optimize.samples import RANGE_CROPS, some
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.terminal import note

from .rival_quantizers import rivals


@dataclass(frozen=True)
class FileOptions:
    """What the files are made from and evaluated on.

    Attributes:
        calibration, evaluation: crop sets.
        samples, eval_samples: how many crops of each.
        olive_python: interpreter of an environment with olive-ai; None for this one.
    """

    calibration: str
    evaluation: str
    samples: int = 128
    eval_samples: int = 480
    olive_python: str | None = None


def make_files(
    model: onnx.ModelProto, samples: list[dict[str, np.ndarray]], olive_python: str | None = None
) -> tuple[dict[str, onnx.ModelProto], dict[str, str]]:
    """Every file that is compared, by name, and the reason why each of the others could not be produced."""
    note("quantizing")
    unfinished = quantize_model(model, samples)
    few = some(samples, RANGE_CROPS)
    makers: dict[str, Callable[[], onnx.ModelProto]] = {
        "fp32": lambda: model,
        # Given a float model, this flavour produces the file that `edgeau optimize` adds as fp16.
        "fp16": lambda: _finished(model, FLAVOURS["tensorrt-fp16"], few),
        "NNCF, not finished": lambda: unfinished,
    }
    for flavour in (each for each in FLAVOURS.values() if each.name != "tensorrt-8"):
        makers[flavour.variant] = functools.partial(_finished, unfinished, flavour, few)
    for name, rival in rivals(olive_python).items():
        makers[name] = functools.partial(rival, model, samples)
    files: dict[str, onnx.ModelProto] = {}
    failures: dict[str, str] = {}
    for name, make in makers.items():
        try:
            files[name] = make()
        except Exception as error:  # noqa: BLE001 - a rival that fails is a result, whatever it raises
            failures[name] = reason(error)
            note(f"{name}: {failures[name]}")
    return files, failures


def reason(error: Exception) -> str:
    """What went wrong, in one line."""
    text = (str(error).strip().splitlines() or [""])[0][:200].rstrip()
    return text if isinstance(error, EdgeauError) else f"{type(error).__name__}: {text}"


def _finished(model: onnx.ModelProto, flavour: Flavour, samples: list[dict[str, np.ndarray]]) -> onnx.ModelProto:
    return finish_for(model, flavour, samples).model
