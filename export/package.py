"""Turn a checkpoint into a package with one variant, ``fp32``, whose parity is proven before anything is written."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import onnx

from edgeau.runtime.errors import InputError
from edgeau.runtime.files import PathLike, sha256_file
from edgeau.runtime.manifest import InputSpec, Manifest, Variant
from edgeau.runtime.package import Package
from edgeau.runtime.parity_crops import store_reference
from edgeau.train.checkpoint import Checkpoint, load_checkpoint, model_from_checkpoint
from edgeau.train.models import AuModel
from edgeau.train.provenance import without_names

from .graph import input_names, to_onnx
from .proof import prove_parity

__all__ = ["ExportOptions", "export_package"]

VARIANT, FILE = "fp32", "fp32.onnx"
RENDERED_ONLY = (
    "Trained on rendered (synthetic) faces only: it shows the chain working and is no measuring instrument. "
    "Train on data under licence, such as BP4D or DISFA, before drawing conclusions about people."
)
_TOOLS = ("edgeau", "torch", "onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        name: of the package; None uses the folder's name.
        opset: ONNX operator set, 17 to 20.
        data: data specification of real crops for the parity check; None uses a public photo.
        notes: limits and intended use, for people; None adds a note if all training data was rendered.
    """

    name: str | None = None
    opset: int = 18
    data: str | None = None
    notes: str | None = None


def export_package(checkpoint_file: PathLike, package: PathLike, options: ExportOptions = ExportOptions()) -> Package:
    """Write a package whole or not at all.

    Args:
        checkpoint_file: written by ``edgeau train`` or ``edgeau distill``.
        package: the folder to make; a package there is replaced. Anything else there is left alone.

    Raises:
        InputError: the checkpoint can't be used, or the output exists and is not a package.
        EdgeauError: the graph's outputs differ from the model's.
    """
    target = Path(package)
    Package.check_output(target, checkpoint_file)
    checkpoint = load_checkpoint(checkpoint_file)
    model = model_from_checkpoint(checkpoint)
    graph = to_onnx(model, options.opset)
    manifest = _manifest(checkpoint, model, options.name or target.stem, sha256_file(checkpoint_file))
    notes = options.notes if options.notes is not None else _default_notes(checkpoint)
    manifest = dataclasses.replace(manifest, notes=notes)

    def write(folder: Path) -> Manifest:
        file = folder / FILE
        onnx.save(graph, str(file))
        parity = prove_parity(model, file, checkpoint.crop, checkpoint.thresholds, options.data)
        variant = Variant(
            name=VARIANT,
            file=FILE,
            sha256=sha256_file(file),
            size_bytes=file.stat().st_size,
            precision="fp32",
            backends=("onnxruntime", "openvino"),
            made_by=f"edgeau export --opset {options.opset}",
            parity=parity,
            notes={"parameters": sum(p.numel() for p in model.parameters())},
        )
        return manifest.with_variant(variant)

    created = Package.create(target, manifest, write, checkpoint_file)
    store_reference(created)
    return created


def _default_notes(checkpoint: Checkpoint) -> str:
    sources = checkpoint.provenance.get("data") or []
    rendered = [isinstance(s, dict) and (s.get("generator") or {}).get("name") == "edgeau synth" for s in sources]
    return RENDERED_ONLY if rendered and all(rendered) else ""


def _manifest(checkpoint: Checkpoint, model: AuModel, name: str, sha256: str) -> Manifest:
    side = model.config.size_px
    if checkpoint.crop.size_px != side:
        raise InputError(
            "checkpoint's crop", got=f"{checkpoint.crop.size_px} px", expected=f"{side} px, the model's input"
        )
    if len(checkpoint.thresholds) != len(model.config.aus):
        raise InputError(
            "checkpoint's thresholds",
            got=str(len(checkpoint.thresholds)),
            expected=f"{len(model.config.aus)}, one per AU",
        )
    made = {"checkpoint_sha256": sha256, "versions": {tool: version(tool) for tool in _TOOLS}}
    neutral = checkpoint.neutral if model.takes_neutral else dataclasses.replace(checkpoint.neutral, policy="none")
    return Manifest(
        name=name,
        family=model.family,
        aus=tuple(model.config.aus),
        thresholds=checkpoint.thresholds,
        inputs=tuple(InputSpec(input_name, side, side) for input_name in input_names(model)),
        crop=checkpoint.crop,
        neutral=neutral,
        expressions=tuple(model.config.expressions),
        intensity=model.config.intensity,
        provenance={**without_names(checkpoint.provenance), "model": checkpoint.config, "export": made},
    )
