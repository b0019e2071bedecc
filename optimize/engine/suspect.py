"""Which layers of an engine to suspect if it doesn't give what FP32 gave."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Dict, Mapping, Sequence, Tuple

import numpy as np

from edgeau.runtime.backends import open_backend
from edgeau.runtime.engine_file import EngineSidecar, write_sidecar
from edgeau.runtime.errors import EdgeauError, EngineError
from edgeau.runtime.evaluate import predict
from edgeau.runtime.parity import sqnr_db
from edgeau.runtime.parity_crops import Evidence

from .builder import BuildOptions, build_engine, parsed
from .capabilities import capabilities
from .inner import quantizer_ranges, weighted_outputs
from .job import Job
from .ladder import Missing, Rung, find_rung

_EQUAL_DB = 120.0  # about float32's own precision: what is better differs by rounding only


def find_suspect(job: Job, rung: Rung, sidecar: EngineSidecar, folder: Path, evidence: Evidence) -> str:
    """Which layers to suspect: found by comparing inner tensors with an FP32 engine's, else by their ranges.

    Args:
        job: what is built with what.
        rung: of the engine that differs.
        sidecar: of that engine.
        folder: for the engines with inner tensors as outputs.
        evidence: crops to run them on; a batch of them is enough.
    """
    network = parsed(job.package.read(rung.variant), job.trt, strongly_typed=rung.strongly_typed).network
    names = tuple(weighted_outputs(job.trt, network))
    reason = ""
    fp32 = find_rung(job.package, "fp32", capabilities(job.trt))
    if not isinstance(fp32, Missing):
        try:
            few = {name: array[: sidecar.batch[1]] for name, array in evidence.inputs.items()}
            reference, outputs = (_run_exposed(job, each, names, sidecar, folder, few) for each in (fp32, rung))
            return suspect_range(names, reference, outputs)
        except EdgeauError as error:
            reason = f" (inner tensors could not be compared: {error})"
    ranges = quantizer_ranges(job.trt, network)
    return (f"the layers of widest range: {widest_quantizers(ranges)}" if ranges else "any layer") + reason


def _run_exposed(
    job: Job, rung: Rung, names: Tuple[str, ...], sidecar: EngineSidecar, folder: Path, inputs: Dict[str, np.ndarray]
) -> Dict[str, np.ndarray]:
    """Outputs of the rung's engine, built again with these inner tensors as outputs, on the GPU."""
    settings = dataclasses.replace(job.options.builder, dla_core=None)
    options = BuildOptions(rung.precision, rung.strongly_typed, rung.float_grouped, names, job.timing_cache, settings)
    built = build_engine(job.package.read(rung.variant), options, trt=job.trt)
    plan = folder / f"exposed-{rung.precision}.engine"
    plan.write_bytes(built.plan)
    digest = hashlib.sha256(built.plan).hexdigest()
    on_gpu = {key: value for key, value in sidecar.settings.items() if key != "dla_core"}
    write_sidecar(
        plan,
        dataclasses.replace(sidecar, engine_sha256=digest, engine_size_bytes=len(built.plan), settings=on_gpu),
    )
    with open_backend("tensorrt", plan) as backend:
        return predict(backend.infer, inputs, sidecar.batch[1], sidecar.batch[0])


def suspect_range(names: Sequence[str], reference: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> str:
    """Where two runs of one graph part: the tensors between which the signal to noise ratio falls most.

    Args:
        names: inner tensors in the order of the graph; those that one of the runs lacks are left out.
        reference, outputs: float arrays by tensor name, of FP32 and of the engine that differs.

    Raises:
        EngineError: the runs share no inner tensor.
    """
    shared = [name for name in names if name in reference and name in outputs]
    if not shared:
        raise EngineError("the FP32 and the quantized graph share no inner tensor")
    ratios = [sqnr_db(reference[name], outputs[name]) for name in shared]
    levels = [_EQUAL_DB, *(min(ratio, _EQUAL_DB) for ratio in ratios)]
    falls = [before - after for before, after in zip(levels, levels[1:])]
    worst = int(np.argmax(falls))
    start = shared[worst - 1] if worst else "the input"
    return f"between {start} ({levels[worst]:.0f} dB) and {shared[worst]} ({levels[worst + 1]:.0f} dB)"


def widest_quantizers(ranges: Sequence[Tuple[str, float]], count: int = 3) -> str:
    """The quantizers with the widest ranges, hence the coarsest steps: the suspects where no layer can be compared."""
    widest = sorted(ranges, key=lambda item: -item[1])[:count]
    return ", ".join(f"{name} (range {size:.3g})" for name, size in widest)
