"""On a PC: packages with every file that TensorRT is to build, so that the machine with a GPU needs nothing but them.

    python -m edgeau.benchmarks.studies.gpu.prepare build/gpu

Of each preset a package with random weights, whose speed and rounding are those of trained ones and whose decisions
mean nothing; and the shipped package. Each gets FP32 for TensorRT 8, FP16, INT8 for every TensorRT, what FP32 gives for
the parity crops, and beside it NNCF's INT8 file before it is finished.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch

from edgeau.export.package import ExportOptions, export_package
from edgeau.optimize.half.variant import add_fp16
from edgeau.optimize.quantization.nncf_quantize import quantize_model
from edgeau.optimize.quantization.quantize import QuantizeOptions, quantize_package
from edgeau.optimize.samples import graph_inputs
from edgeau.optimize.single import add_fp32_for
from edgeau.optimize.variants import read_float_variant
from edgeau.runtime.action_units import UNION
from edgeau.runtime.crop_source import read_crops
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.manifest import CropSpec, NeutralSpec
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.terminal import note, say
from edgeau.train.checkpoint import Checkpoint, save_checkpoint
from edgeau.train.models import build_model, resolve_model

from .engines import UNFINISHED

PRESETS = ("cednn-s", "cednn-m", "cednn-xs", "fan-trans-s", "fan-trans-m", "sma-net-s", "eau-s")
FLAVOURS = ("tensorrt", "tensorrt-fp16", "tensorrt-8")
CALIBRATION = "synthetic:subjects=16,frames=8,seed=5"
SAMPLES = 64


def random_package(preset: str, package: Path) -> Package:
    """A package of a preset with random weights, whose batch norms do something."""
    torch.manual_seed(0)
    family, config = resolve_model(preset, {"aus": UNION})
    model = build_model(family, config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            mean, variance = module.get_buffer("running_mean"), module.get_buffer("running_var")
            torch.nn.init.uniform_(mean, -0.3, 0.3)
            torch.nn.init.uniform_(variance, 0.5, 2.0)
    checkpoint = Checkpoint(
        family=family,
        config=model.config.to_dict(),
        state_dict=model.state_dict(),
        crop=CropSpec(size_px=model.config.size_px),
        neutral=NeutralSpec("running" if model.takes_neutral else "none"),
        thresholds=(0.5,) * len(model.config.aus),
        provenance={"weights": "random", "seed": 0},
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{preset}.pt"
        save_checkpoint(file, checkpoint)
        return export_package(file, package, ExportOptions(name=preset))


def add_files(package: Package) -> None:
    """Everything that an engine may be built from, and NNCF's unfinished file beside the package."""
    _, model = read_float_variant(package)
    crops = read_crops(CALIBRATION, package.manifest.crop, limit=SAMPLES, seed=0)
    unfinished = package.path.parent / f"{package.path.stem}{UNFINISHED}"
    onnx.save(quantize_model(model, graph_inputs(crops, package.manifest)), str(unfinished))
    options = QuantizeOptions(flavours=FLAVOURS, samples=SAMPLES)
    package, _ = quantize_package(package.path, CALIBRATION, options, progress=note)
    add_fp32_for(add_fp16(package, CALIBRATION), "tensorrt-8", CALIBRATION)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the packages in a folder; those that are there are left as they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--presets", default=",".join(PRESETS), help="separated by commas (default %(default)s)")
    args = parser.parse_args(arguments)
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in ("shipped", *filter(None, args.presets.split(","))):
        path = args.folder / f"{name}.edgeau"
        if path.exists():
            continue
        note(name)
        shipped = name == "shipped"
        add_files(Package.open(shipped_package()).copy_to(path) if shipped else random_package(name, path))
    size = sum(file.stat().st_size for file in args.folder.rglob("*") if file.is_file())
    say(f"{args.folder}: {size / 2**20:.0f} MiB")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeauError as error:
        note(f"edgeau: {error}")
        sys.exit(2)
