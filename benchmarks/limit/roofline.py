"""The least time that a model needs on a device (its roofline), and the share of it in a measured time.

Each layer takes at least its multiply-accumulates over the device's peak in its precision, and at least its bytes over
the bandwidth (Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009). Layers run one after another, so the
limit of the model is the sum.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeau.benchmarks.candidates import Candidate
from edgeau.runtime.backends import BackendOptions
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.report import Report, silent

from .layers import Layer, Layers, layers_of
from .operators import OperatorTime, profile, summary
from .peak import PRECISIONS, Peak, best_of, cpu_peak, gpu_peak

Record = Mapping[str, Any]
_Device = tuple[str, str, int | None]

# A model that runs slower than this share of its limit is profiled by operator.
FAR = 0.7
_PROBES = 3
_DISTURBED = "the machine is too busy to measure its peak, so that the limit is unknown"


@dataclass(frozen=True)
class Limit:
    """The limit of one call.

    Attributes:
        limit_ms: the least time that it can take.
        compute_ms, memory_ms: the part of layers that arithmetic limits, and that bandwidth limits.
        share: limit over the measured p50; 1 is as fast as the device can be.
        macs_per_byte: arithmetic intensity.
        gmacs_per_s: reached, with the peak of the precision that most of the arithmetic has.
        peak_gmacs_per_s, gbytes_per_s: of the device.
        precision: that most of the arithmetic has.
        weight_bytes, activation_bytes: moved by one call.
        operators: time by operator, where the model is far from its limit and the backend has a profiler.
        why: the sentence that follows from it; "" otherwise.
    """

    limit_ms: float
    compute_ms: float
    memory_ms: float
    share: float
    macs_per_byte: float
    gmacs_per_s: float
    peak_gmacs_per_s: float
    gbytes_per_s: float
    precision: str
    weight_bytes: int
    activation_bytes: int
    operators: tuple[OperatorTime, ...] = ()
    why: str = ""


def limit_of(layers: Layers, batch: int, p50_ms: float, peak: Peak) -> Limit | None:
    """The limit of a call with ``batch`` faces; None if the peak of a precision or the bandwidth is unknown."""
    bandwidth = peak.bandwidth(layers.working_set_bytes)
    by_precision = {name: sum(x.macs for x in layers.layers if x.precision == name) for name in peak.gmacs_per_s}
    if bandwidth is None or sum(by_precision.values()) != layers.macs or not layers.macs:
        return None
    times = [layer_ms(layer, batch, peak, bandwidth) for layer in layers.layers]
    compute, memory = (sum(ms for ms, bound in times if bound == each) for each in ("compute", "memory"))
    moved = layers.weight_bytes + batch * layers.activation_bytes
    precision = max(by_precision, key=lambda name: by_precision[name])
    return Limit(
        limit_ms=compute + memory,
        compute_ms=compute,
        memory_ms=memory,
        share=(compute + memory) / p50_ms,
        macs_per_byte=batch * layers.macs / moved,
        gmacs_per_s=batch * layers.macs / p50_ms / 1e6,
        peak_gmacs_per_s=peak.gmacs_per_s[precision],
        gbytes_per_s=bandwidth,
        precision=precision,
        weight_bytes=layers.weight_bytes,
        activation_bytes=batch * layers.activation_bytes,
    )


def layer_ms(layer: Layer, batch: int, peak: Peak, gbytes_per_s: float) -> tuple[float, str]:
    """The least time of a layer, and whether ``compute`` or ``memory`` limits it."""
    compute = batch * layer.macs / peak.gmacs_per_s[layer.precision] / 1e6 if layer.macs else 0.0
    memory = (layer.weight_bytes + batch * layer.activation_bytes) / gbytes_per_s / 1e6
    return max((compute, "compute"), (memory, "memory"))


def with_limits(
    records: Sequence[Record],
    candidates: Sequence[Candidate],
    progress: Report = silent,
) -> tuple[list[dict[str, Any]], list[Peak]]:
    """Records with ``limit``: the device is probed, and models far from their limit are profiled by operator.

    Args:
        records: as JSON.
        candidates: what was measured.
        progress: called with a line of progress.

    Returns:
        The records, ``limit`` None where the graph or the device allows none, and the peaks measured.
    """
    by_name = {_name(vars(each), len(next(iter(each.inputs.values()))), each.options): each for each in candidates}
    peaks = _Peaks(progress)
    results = []
    for record in records:
        candidate = by_name.get((*_key(record), record["threads"], record["batch"]))
        layers = layers_of(candidate.onnx_file) if candidate and candidate.onnx_file else None
        limit = None
        if candidate is not None and layers is not None:
            limit = _limit(candidate, layers, record, peaks)
            if limit is not None and limit.share > 1:
                limit, record = None, {**record, "warnings": [*record["warnings"], _DISTURBED]}
        results.append({**record, "limit": None if limit is None else dataclasses.asdict(limit)})
    return results, list(peaks.measured.values())


class _Peaks:
    """Peaks of the devices, each measured when it is first needed."""

    def __init__(self, progress: Report) -> None:
        self.measured: dict[_Device, Peak] = {}
        self._progress = progress

    def of(self, candidate: Candidate, *, again: bool = False) -> Peak:
        """The peak of what runs a candidate; with ``again``, after another probe."""
        key = _device(candidate)
        if again:
            self.measured[key] = best_of(self.measured[key], _peak(candidate))
        elif key not in self.measured:
            self._progress(f"peak of the {key[0].upper()}, threads: {key[2] or 'auto'}")
            self.measured[key] = _peak(candidate)
        return self.measured[key]


def _limit(candidate: Candidate, layers: Layers, record: Record, peaks: _Peaks) -> Limit | None:
    batch, p50_ms = record["batch"], record["latency"]["p50_ms"]
    limit = limit_of(layers, batch, p50_ms, peaks.of(candidate))
    for _ in range(_PROBES):
        if limit is None or limit.share <= 1:
            break
        # Nothing is faster than its limit, so the probe was disturbed.
        limit = limit_of(layers, batch, p50_ms, peaks.of(candidate, again=True))
    if limit is not None and limit.share < FAR:
        return _explained(limit, candidate, layers, peaks.of(candidate))
    return limit


def _key(record: Mapping[str, Any]) -> tuple[str, str, str]:
    return record["package"], record["variant"], record["backend"]


def _name(fields: Mapping[str, Any], batch: int, options: BackendOptions) -> tuple[Any, ...]:
    # TensorRT has no CPU threads; its records say None.
    return (*_key(fields), None if fields["backend"] == "tensorrt" else options.threads, batch)


def _device(candidate: Candidate) -> _Device:
    """The unit that has a peak of its own: the CPU with a number of threads, or the GPU through one backend."""
    if candidate.backend == "tensorrt":
        return "gpu", "tensorrt", None
    if candidate.backend == "onnxruntime" and candidate.options.provider != "CPUExecutionProvider":
        return "gpu", candidate.options.provider, None
    return "cpu", "", candidate.options.threads


def _peak(candidate: Candidate) -> Peak:
    device, _, threads = _device(candidate)
    return cpu_peak(threads) if device == "cpu" else gpu_peak(candidate.backend, candidate.options, PRECISIONS)


def _explained(limit: Limit, candidate: Candidate, layers: Layers, peak: Peak) -> Limit:
    """The limit with the time by operator, if the backend has a profiler."""
    batch = len(next(iter(candidate.inputs.values())))
    limits_ms = {layer.name: layer_ms(layer, batch, peak, limit.gbytes_per_s)[0] for layer in layers.layers}
    try:
        operators = profile(candidate.backend, candidate.file, candidate.options, candidate.inputs, layers, limits_ms)
    except EdgeauError:
        return limit
    return dataclasses.replace(limit, operators=tuple(operators), why=summary(operators))
