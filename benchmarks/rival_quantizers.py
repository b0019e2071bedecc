"""Other people's INT8 of the same FP32 ONNX on the same calibration crops: ONNX Runtime's own, and Olive's.

Both are used as their documentation tells a newcomer to, with defaults, because that is what edgeau is compared with.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgeau.runtime.errors import EdgeauError

Samples = list[dict[str, np.ndarray]]


def onnxruntime_static(model: onnx.ModelProto, samples: Samples) -> onnx.ModelProto:
    """`quant_pre_process`, then `quantize_static` with QDQ format and per-channel weights, else defaults."""
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
        quant_pre_process(str(source), str(ready))
        quantize_static(str(ready), str(target), Reader(), quant_format=QuantFormat.QDQ, per_channel=True)
        return onnx.load(str(target))


def olive_static(model: onnx.ModelProto, samples: Samples) -> onnx.ModelProto:
    """Olive's pass `OnnxStaticQuantization` with defaults. Raises EdgeauError where olive-ai isn't installed."""
    try:
        from olive.data.config import DataComponentConfig, DataConfig
        from olive.data.registry import Registry
        from olive.hardware import AcceleratorSpec
        from olive.model import ONNXModelHandler
        from olive.passes.olive_pass import create_pass_from_dict
        from olive.passes.onnx.quantization import OnnxStaticQuantization
    except ImportError as error:
        raise EdgeauError(f"comparing with Olive needs {error.name}; type: pip install olive-ai requests") from error

    class Crops:
        def __len__(self) -> int:
            return len(samples)

        def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], int]:
            return samples[index], 0

    Registry.register_dataset("edgeau_crops")(lambda **_: Crops())
    data = DataConfig(
        name="crops",
        type="DummyDataContainer",
        load_dataset_config=DataComponentConfig(type="edgeau_crops"),
        dataloader_config=DataComponentConfig(params={"batch_size": 1}),
    )
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        source = Path(folder) / "in.onnx"
        onnx.save(model, str(source))
        accelerator = AcceleratorSpec("cpu", "CPUExecutionProvider")
        step = create_pass_from_dict(OnnxStaticQuantization, {"data_config": data}, True, accelerator)
        made: Any = step.run(ONNXModelHandler(str(source)), str(Path(folder) / "out"))
        return onnx.load(made.model_path)


RIVALS: dict[str, Callable[[onnx.ModelProto, Samples], onnx.ModelProto]] = {
    "onnxruntime quantize_static": onnxruntime_static,
    "olive OnnxStaticQuantization": olive_static,
}
