"""Olive's static quantization of one ONNX file; runs in an environment of Olive's own, without edgeau.

    python -m venv /tmp/olive && /tmp/olive/bin/pip install olive-ai requests onnxruntime onnx
    /tmp/olive/bin/python benchmarks/studies/olive_quantize.py fp32.onnx crops.npz int8.onnx

``crops.npz`` holds the graph's inputs by name, uint8 [N, H, W, 3]. The pass `OnnxStaticQuantization` runs with its
defaults, as its documentation advises a newcomer.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx


def quantize(source: Path, crops: Path, target: Path) -> None:
    """Quantize ``source`` on the crops and write ``target``."""
    from olive.data.config import DataComponentConfig, DataConfig
    from olive.data.registry import Registry
    from olive.hardware import AcceleratorSpec
    from olive.model import ONNXModelHandler
    from olive.passes.olive_pass import create_pass_from_dict
    from olive.passes.onnx.quantization import OnnxStaticQuantization

    with np.load(crops) as arrays:
        inputs = {name: arrays[name] for name in arrays.files}

    class Crops:
        def __len__(self) -> int:
            return len(next(iter(inputs.values())))

        def __getitem__(self, index: int) -> tuple[dict[str, np.ndarray], int]:
            return {name: array[index : index + 1] for name, array in inputs.items()}, 0

    Registry.register_dataset("edgeau_crops")(lambda **_: Crops())
    data = DataConfig(
        name="crops",
        type="DummyDataContainer",
        load_dataset_config=DataComponentConfig(type="edgeau_crops"),
        dataloader_config=DataComponentConfig(params={"batch_size": 1}),
    )
    accelerator = AcceleratorSpec("cpu", "CPUExecutionProvider")
    step = create_pass_from_dict(OnnxStaticQuantization, {"data_config": data}, True, accelerator)
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        quantized = step.run(ONNXModelHandler(str(source)), str(Path(folder) / "out"))
        onnx.save(onnx.load(quantized.model_path), str(target))


if __name__ == "__main__":
    quantize(*(Path(argument) for argument in sys.argv[1:4]))
