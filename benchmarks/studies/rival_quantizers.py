"""Other tools' INT8 of the same FP32 ONNX on the same calibration crops: ONNX Runtime's own, and Olive's.

Both run with their defaults, as their documentation advises a newcomer, because that is what edgeau is compared with.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgeau.runtime.errors import EdgeauError

Samples = list[dict[str, np.ndarray]]
Rival = Callable[[onnx.ModelProto, Samples], onnx.ModelProto]
OLIVE_TIMEOUT_S = 600
OLIVE_HINT = "type: pip install olive-ai requests, or give --olive PYTHON"


def rivals(olive_python: str | None = None) -> dict[str, Rival]:
    """Quantizers by name; Olive runs in the given interpreter, or in this one."""
    return {
        "onnxruntime quantize_static": onnxruntime_static,
        "olive OnnxStaticQuantization": lambda model, samples: olive_static(model, samples, olive_python),
    }


def onnxruntime_static(model: onnx.ModelProto, samples: Samples) -> onnx.ModelProto:
    """`quant_pre_process`, then `quantize_static` with QDQ format and per-channel weights, otherwise defaults."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._samples: Iterator[dict[str, np.ndarray]] = iter(samples)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._samples, None)

    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        source, ready, target = (Path(folder) / name for name in ("in.onnx", "ready.onnx", "out.onnx"))
        onnx.save(model, str(source))
        with _working_in(folder):  # a failed symbolic shape inference leaves files there
            try:
                quant_pre_process(str(source), str(ready))
            except Exception:  # noqa: BLE001 - it raises a bare Exception; its documentation has this option for it
                quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
        quantize_static(str(ready), str(target), Reader(), quant_format=QuantFormat.QDQ, per_channel=True)
        return onnx.load(str(target))


@contextmanager
def _working_in(folder: str) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def olive_static(model: onnx.ModelProto, samples: Samples, python: str | None = None) -> onnx.ModelProto:
    """Run `olive_quantize` in a separate process. Raises EdgeauError with its last line if it fails."""
    script = Path(__file__).with_name("olive_quantize.py")
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        source, crops, target = (Path(folder) / name for name in ("in.onnx", "crops.npz", "out.onnx"))
        onnx.save(model, str(source))
        inputs: dict[str, Any] = {name: np.concatenate([sample[name] for sample in samples]) for name in samples[0]}
        np.savez(crops, **inputs)
        interpreter = os.path.abspath(shutil.which(python) or python) if python else sys.executable
        command = [interpreter, str(script), str(source), str(crops), str(target)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=OLIVE_TIMEOUT_S, check=False, cwd=folder
            )
        except OSError as error:
            raise EdgeauError(f"Olive: {error}; {OLIVE_HINT}") from error
        except subprocess.TimeoutExpired as error:
            raise EdgeauError(f"Olive: not finished after {OLIVE_TIMEOUT_S} s") from error
        if done.returncode != 0 or not target.exists():
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            missing = last.startswith("ModuleNotFoundError")
            raise EdgeauError(f"Olive: {last}; {OLIVE_HINT}" if missing else f"Olive: {last}")
        return onnx.load(str(target))
