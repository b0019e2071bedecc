"""Which layers of an engine to suspect when it does not say the same as FP32."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any, Dict, Tuple

from edgeau.runtime.backends import open_backend
from edgeau.runtime.engine_file import EngineSidecar, write_sidecar
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.package import Package

from .builder import BuildOptions, build_engine, parsed
from .capabilities import capabilities
from .inner import quantizer_ranges, weighted_outputs
from .ladder import Missing, Rung, find_rung, options_for
from .parity import Evidence, predict, suspect_range, widest_quantizers


def find_suspect(
    package: Package,
    rung: Rung,
    sidecar: EngineSidecar,
    folder: Path,
    evidence: Evidence,
    settings: BuildOptions,
    trt: Any,
) -> str:
    """Which layers to suspect: by comparing inner tensors with an FP32 engine's; where that fails, by their ranges."""
    network = parsed(rung.file, trt, strongly_typed=rung.strongly_typed).network
    names = tuple(weighted_outputs(trt, network))
    reason = ""
    fp32 = find_rung(package, "fp32", capabilities(trt))
    if not isinstance(fp32, Missing):
        try:
            few = {name: array[: sidecar.batch[1]] for name, array in evidence.inputs.items()}
            runs = [_run_exposed(each, names, sidecar, folder, few, settings, trt) for each in (fp32, rung)]
            return suspect_range(names, *runs)
        except EdgeauError as error:
            reason = f" (inner tensors could not be compared: {error})"
    ranges = quantizer_ranges(trt, network)
    return (f"the layers of widest range: {widest_quantizers(ranges)}" if ranges else "any layer") + reason


def _run_exposed(
    rung: Rung,
    names: Tuple[str, ...],
    sidecar: EngineSidecar,
    folder: Path,
    inputs: Dict[str, Any],
    settings: BuildOptions,
    trt: Any,
) -> Dict[str, Any]:
    options = dataclasses.replace(options_for(rung, settings), expose=names, dla_core=None)
    built = build_engine(rung.file, options, trt=trt)
    plan = folder / f"exposed-{rung.precision}.engine"
    plan.write_bytes(built.plan)
    digest = hashlib.sha256(built.plan).hexdigest()
    write_sidecar(plan, dataclasses.replace(sidecar, engine_sha256=digest, engine_size_bytes=len(built.plan)))
    with open_backend("tensorrt", plan) as backend:
        return predict(backend.infer, inputs, sidecar.batch)
