"""Your own ONNX model: imported, quantized within an accuracy budget, and built into a TensorRT engine.

The model reads one face crop and returns one value per action unit. CROPS are face crops for calibration: a folder of
crops, a crop set or an .npz file.

    pip install 'edgeau[optimize]'
    python examples/own_model.py model.onnx --aus 1,2,4,12 --crops crops/ --out my-model.edgeau

The model here expects RGB from 0 to 1 in NCHW order and returns logits. `Wrapping` has options for other conventions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeau.optimize.engine import MakeOptions, make_engine
from edgeau.optimize.importing import ImportOptions, Wrapping, import_model
from edgeau.optimize.quantization.quantize import QuantizeOptions, quantize_package
from edgeau.runtime import EngineError, load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--aus", required=True, help="numbers of the action units, in the order of the output: 1,2,4")
    parser.add_argument("--crops", required=True)
    parser.add_argument("--out", type=Path, default=Path("my-model.edgeau"))
    args = parser.parse_args()
    aus = tuple(f"AU{int(number):02d}" for number in args.aus.split(","))

    package = import_model(args.model, args.out, ImportOptions(aus, Wrapping(activation="sigmoid")))
    options = QuantizeOptions(flavours=("onnxruntime", "tensorrt"), max_drop=0.01)
    package, _ = quantize_package(package.path, args.crops, options, evaluation=args.crops)
    for variant in package.manifest.variants:
        print(f"{variant.name:<18} {variant.size_bytes / 1024:8.1f} KiB")

    try:
        engine = make_engine(package.path, MakeOptions("int8", crops=args.crops))
        print(f"{engine.variant.name}: {engine.sidecar.tensorrt} for {engine.sidecar.device}")
    except EngineError as reason:
        print(f"no engine: {reason}")  # such as a machine without TensorRT or a GPU

    with load(package.path) as analyzer:
        print(f"runs {analyzer.choice.variant} on {analyzer.choice.backend}: {analyzer.choice.reason}")


if __name__ == "__main__":
    main()
