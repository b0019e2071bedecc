"""The default crops for comparing an engine with FP32, so that a board needs no renderer.

The shipped package has 32 rendered faces in its ``parity.npz``, a crop set in one file (see `crop_set`), which is also
the data specification ``shipped:parity``. Any package may have a ``parity.npz`` of its own, with these arrays as well:

    reference     float32 [N, A]   probabilities that the package's FP32 file gives for the crops
    fp32_sha256   hash of that file
    crops_sha256  hash of the crops; where the file has no ``faces``, they are the shipped ones at the package's size

A reference is used only if both hashes fit. With it a board needs no other backend to compare an engine with.

The shipped file was written by

    python -m edgeau.runtime.parity_crops PACKAGE --crops synthetic:subjects=4,frames=8,seed=7
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence

import numpy as np

from .backends import missing, open_backend
from .crop_set import CropSet, read_arrays, write_crop_file
from .crop_source import SHIPPED_PARITY, read_crops
from .errors import InputError
from .evaluate import predict_aus
from .files import atomic_path
from .manifest import Variant
from .package import PARITY_FILE, Package, shipped_package
from .terminal import say

REFERENCE = "reference"
_BACKENDS = ("onnxruntime", "openvino")


@dataclass(frozen=True)
class Evidence:
    """Crops and the FP32 file's outputs for them.

    Attributes:
        crops: at the size that the package takes.
        inputs: inputs of the package's graph, uint8 [N, H, W, 3] by name.
        reference: float32 [N, A], the FP32 variant's probabilities.
        data: the crops' data specification, for reports.
        variant: the FP32 variant.
    """

    crops: CropSet
    inputs: Mapping[str, np.ndarray]
    reference: np.ndarray
    data: str
    variant: Variant


def default_spec(package: Package) -> str:
    """The data specification of the default crops."""
    own = package.path / PARITY_FILE
    if package.path.resolve() == shipped_package().resolve() or not own.is_file():
        return SHIPPED_PARITY
    return str(own) if "faces" in read_arrays(own) else SHIPPED_PARITY


def gather(package: Package, fp32: Variant, spec: Optional[str] = None, *, limit: int = 64) -> Evidence:
    """Crops and their reference, which is computed here if no valid one is stored.

    Args:
        package: the package whose engine is compared.
        fp32: its FP32 variant.
        spec: a data specification; None takes the package's own crops, or else the shipped ones.
        limit: at most this many crops, spread evenly; an ``.npz`` is used completely.

    Raises:
        InputError: the crops can't be read, a stored reference does not fit them, or there is neither a reference nor
            a backend to compute one.
    """
    data = default_spec(package) if spec is None else spec
    in_file = data.endswith(".npz")
    crops = read_crops(data, package.manifest.crop, limit=None if in_file else limit)
    reference = _stored_reference(Path(data), crops, fp32, trusted=True) if in_file else None
    if reference is None and spec is None:
        reference = _stored_reference(package.path / PARITY_FILE, crops, fp32, trusted=False)
    if reference is None:
        reference = compute_reference(package, fp32, crops)
    elif reference.shape != (len(crops), len(package.manifest.aus)):
        shape = str([len(crops), len(package.manifest.aus)])
        raise InputError(f"reference in {data}", got=f"shape {list(reference.shape)}", expected=shape)
    return Evidence(crops, crops.inputs(package.manifest.takes_neutral), reference, data, fp32)


def compute_reference(package: Package, fp32: Variant, crops: CropSet) -> np.ndarray:
    """Probabilities float32 [N, A] of the FP32 file. Raises InputError if no backend here can run it."""
    for name in _BACKENDS:
        if name in fp32.backends and missing(name) is None:
            with open_backend(name, package.read(fp32)) as backend:
                # One at a time, so that files with a fixed batch size work as well.
                return predict_aus(backend, crops.inputs(package.manifest.takes_neutral), batch=1)
    raise InputError(
        "reference for parity",
        got="crops without stored outputs and neither onnxruntime nor openvino installed",
        hint="give --crops a parity.npz from a bundle (`edgeau build PACKAGE --target BOARD` makes one)",
    )


def write_evidence(file: Path, evidence: Evidence) -> None:
    """Write crops and reference into one file, which `gather` reads on a device that has no other backend."""
    takes_neutral = "neutral" in evidence.inputs
    crops = evidence.crops if takes_neutral else dataclasses.replace(evidence.crops, neutrals=evidence.crops.faces)
    write_crop_file(file, crops, _reference_arrays(evidence.variant, evidence.reference, crops))


def store_reference(package: Package) -> bool:
    """Write what FP32 gives for the shipped crops into a package, so that a board needs no other backend.

    Returns:
        False where nothing was written: the package has no FP32 variant, or no backend here can run it.
    """
    fp32 = package.manifest.fp32_onnx
    if fp32 is None or not any(name in fp32.backends and missing(name) is None for name in _BACKENDS):
        return False
    crops = read_crops(SHIPPED_PARITY, package.manifest.crop)
    reference = compute_reference(package, fp32, crops)
    with atomic_path(package.path / PARITY_FILE) as temporary:
        np.savez_compressed(temporary, **_reference_arrays(fp32, reference, crops))
    return True


def _reference_arrays(fp32: Variant, reference: np.ndarray, crops: CropSet) -> Dict[str, Any]:
    digests = {"fp32_sha256": np.array(fp32.sha256), "crops_sha256": np.array(crops.sha256)}
    return {REFERENCE: reference, **digests}


def _stored_reference(file: Path, crops: CropSet, fp32: Variant, trusted: bool) -> Optional[np.ndarray]:
    """The reference in a file; None if it has none for these crops. A ``trusted`` one may lack the hashes."""
    if not file.is_file():
        return None
    arrays = read_arrays(file)
    for key, digest in (("fp32_sha256", fp32.sha256), ("crops_sha256", crops.sha256)):
        if str(arrays.get(key, digest if trusted else None)) != digest:
            return None
    return arrays[REFERENCE].astype(np.float32) if REFERENCE in arrays else None


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Write a package's own parity crops and their reference."""
    parser = argparse.ArgumentParser(description="Write PACKAGE/parity.npz: crops, and what FP32 gives for them.")
    parser.add_argument("package", metavar="PACKAGE")
    parser.add_argument("--crops", metavar="DATA", required=True, help="data specification of the crops")
    args = parser.parse_args(arguments)
    package = Package.open(args.package)
    fp32 = package.manifest.fp32_onnx
    if fp32 is None:
        raise InputError(f"package {package.path}", got="no fp32 ONNX", expected="one")
    write_evidence(package.path / PARITY_FILE, gather(package, fp32, args.crops))
    say(str(package.path / PARITY_FILE))
    return 0


if __name__ == "__main__":
    sys.exit(main())
