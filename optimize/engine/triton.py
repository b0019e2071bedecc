"""A model repository for NVIDIA Triton, for when one machine is not enough: the package's FP32 ONNX and its engines.

    MODEL/config.pbtxt     what Triton's ModelConfig asks for: inputs, outputs, batching, warm-up
    MODEL/aus.txt          labels of the output ``au``, one AU per line
    MODEL/1/model.onnx     or model.plan, a copy of the variant's file

Fields are those of Triton's model_config.proto. A plan runs only in a Triton with the same TensorRT on the same GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from edgeau.runtime.engine_check import describe_engine
from edgeau.runtime.engine_file import EngineSidecar, read_sidecar
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import PathLike
from edgeau.runtime.folders import Contents, FolderKind, atomic_folder
from edgeau.runtime.manifest import Manifest, Variant
from edgeau.runtime.model_file import ModelFile
from edgeau.runtime.package import Package

from .names import slug

LABELS = "aus.txt"
EXPRESSION_LABELS = "expressions.txt"
CONFIG = "config.pbtxt"
_SIGNED = b"made by edgeau"
_MODELS = ("1/model.onnx", "1/model.plan")


def _contents(config: bytes) -> Optional[Contents]:
    first = config.partition(b"\n")[0]
    allowed = (LABELS, EXPRESSION_LABELS, *_MODELS)
    return Contents((), allowed) if first.startswith(b"#") and _SIGNED in first else None


TRITON_MODEL = FolderKind("Triton model of edgeau", CONFIG, _contents)


@dataclass(frozen=True)
class Serving:
    """How Triton should serve.

    Attributes:
        onnx_max_batch: largest batch of the ONNX model; an engine has its profile's.
        queue_delay_us: how long a request may wait for others to share its batch, in microseconds.
        instances: copies of a model that run at the same time.
    """

    onnx_max_batch: int = 32
    queue_delay_us: int = 1000
    instances: int = 1


@dataclass(frozen=True)
class Repository:
    """What was written: the folder, the names of its models, and one line per variant that was left out."""

    path: Path
    models: Tuple[str, ...]
    left_out: Tuple[str, ...]


def write_repository(package: Package, folder: PathLike, serving: Serving = Serving()) -> Repository:
    """Write a model for the package's FP32 ONNX and one for each engine; others in the folder stay as they are.

    Raises:
        PackageError: a file is missing or altered.
        InputError: the package has neither an FP32 ONNX nor an engine that Triton can serve.
    """
    models: List[str] = []
    left_out: List[str] = []
    for variant in package.manifest.variants:
        model = package.read(variant)
        file = model.path
        sidecar = read_sidecar(file) if variant.file.endswith(".engine") else None
        why_not = _why_not(variant, file, sidecar)
        if why_not is not None:
            left_out.append(f"{variant.name}: {why_not}")
            continue
        name = f"{slug(package.manifest.name)}_{slug(variant.name)}"
        _write_model(Path(folder) / name, name, package.manifest, model, sidecar, serving)
        models.append(name)
    if not models:
        raise InputError(
            f"package {package.path}", got="nothing that Triton serves", expected="an fp32 ONNX or an engine"
        )
    return Repository(Path(folder), tuple(models), tuple(left_out))


def model_config(name: str, manifest: Manifest, sidecar: Optional[EngineSidecar], serving: Serving) -> str:
    """The text of ``config.pbtxt`` for the FP32 ONNX (no sidecar), or for an engine."""
    batch = sidecar.batch if sidecar is not None else (1, 1, serving.onnx_max_batch)
    # Triton forms batches of any size up to the largest. An engine that can't run small ones is given its batch's size.
    batched = batch[0] == 1
    lead = [] if batched else [batch[0] if batch[0] == batch[2] else -1]
    lines = [_origin(sidecar), f'name: "{name}"']
    lines.append(f'platform: "{"onnxruntime_onnx" if sidecar is None else "tensorrt_plan"}"')
    lines.append(f"max_batch_size: {batch[2] if batched else 0}")
    for spec in manifest.inputs:
        lines.append(_tensor("input", spec.name, "TYPE_UINT8", [*lead, spec.height, spec.width, 3]))
    lines.append(_tensor("output", "au", "TYPE_FP32", [*lead, len(manifest.aus)], LABELS))
    if manifest.expressions:
        lines.append(
            _tensor("output", "expression", "TYPE_FP32", [*lead, len(manifest.expressions)], EXPRESSION_LABELS)
        )
    if manifest.intensity:
        lines.append(_tensor("output", "intensity", "TYPE_FP32", [*lead, len(manifest.aus)], LABELS))
    if batched and batch[2] > 1:
        preferred = sorted({batch[1], batch[2]} - {1})
        lines.append(
            f"dynamic_batching {{\n  preferred_batch_size: {_numbers(preferred)}\n"
            f"  max_queue_delay_microseconds: {serving.queue_delay_us}\n}}"
        )
    kind = "KIND_AUTO" if sidecar is None else "KIND_GPU"
    lines.append(f"instance_group {{\n  count: {serving.instances}\n  kind: {kind}\n}}")
    if sidecar is not None:
        lines.append("optimization {\n  cuda {\n    graphs: true\n  }\n}")
    sizes = sorted({1, batch[1]}) if batched else [0]
    lines += [_warm_up(manifest, size, lead, batch[1]) for size in sizes]
    return "\n".join(lines) + "\n"


def _origin(sidecar: Optional[EngineSidecar]) -> str:
    if sidecar is None:
        return "# FP32 ONNX, made by edgeau"
    built_for = f"TensorRT {sidecar.tensorrt}, compute capability {sidecar.compute_capability or 'unknown'}"
    return f"# {sidecar.precision} engine, made by edgeau; runs only with {built_for}"


def _tensor(kind: str, name: str, data_type: str, dims: Sequence[int], labels: str = "") -> str:
    fields = [f'  name: "{name}"', f"  data_type: {data_type}", f"  dims: {_numbers(dims)}"]
    if labels:
        fields.append(f'  label_filename: "{labels}"')
    return "\n".join([f"{kind} {{", *fields, "}"])


def _warm_up(manifest: Manifest, batch: int, lead: Sequence[int], preferred: int) -> str:
    """One warm-up request, so that the first user does not wait for lazy loading."""
    lines = ["model_warmup {", f'  name: "batch {batch or preferred}"', f"  batch_size: {batch}"]
    for spec in manifest.inputs:
        dims = _numbers([*([preferred] if lead else []), spec.height, spec.width, 3])
        lines += [
            f'  inputs {{\n    key: "{spec.name}"\n    value {{',
            f"      data_type: TYPE_UINT8\n      dims: {dims}\n      random_data: true\n    }}\n  }}",
        ]
    return "\n".join([*lines, "}"])


def _write_model(
    target: Path, name: str, manifest: Manifest, model: ModelFile, sidecar: Optional[EngineSidecar], serving: Serving
) -> None:
    with atomic_folder(target, TRITON_MODEL) as folder:
        (folder / "1").mkdir()
        (folder / "1" / ("model.onnx" if sidecar is None else "model.plan")).write_bytes(model.data)
        (folder / CONFIG).write_text(model_config(name, manifest, sidecar, serving), encoding="utf-8")
        (folder / LABELS).write_text("\n".join(manifest.aus) + "\n", encoding="utf-8")
        if manifest.expressions:
            (folder / EXPRESSION_LABELS).write_text("\n".join(manifest.expressions) + "\n", encoding="utf-8")


def _why_not(variant: Variant, file: Path, sidecar: Optional[EngineSidecar]) -> Optional[str]:
    """Why a variant is not served; None if it is."""
    if sidecar is None:
        if variant.precision == "fp32" and variant.file.endswith(".onnx") and "target" not in variant.notes:
            return None
        return "an ONNX for another backend; Triton serves its engine, or the FP32 ONNX"
    if sidecar.flavour != "tensorrt":
        return "a plan of TensorRT for RTX, which Triton can't load"
    return describe_engine(file).wrong


def _numbers(values: Sequence[int]) -> str:
    return "[" + ", ".join(map(str, values)) + "]"
