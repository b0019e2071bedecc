"""What `edgeau optimize` measured on a device and chose for it, as stored in the manifest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple


def reading(variant: str, backend: str, inference_precision: Optional[str] = None) -> str:
    """What decides the outputs, whatever the other settings: ``fp32 on openvino``, ``fp32 on openvino in bf16``."""
    return f"{variant} on {backend}" + (f" in {inference_precision}" if inference_precision else "")


@dataclass(frozen=True)
class Measurement:
    """How fast one candidate ran.

    Attributes:
        label: its name in reports: ``int8-ort on onnxruntime, 2 threads``.
        variant, backend: what ran.
        threads: CPU threads; None for the backend's own choice.
        batch: crops per call.
        ms_per_crop: median wall time per crop over all rounds.
        ms_per_crop_by_round: median wall time per crop in each round.
        mj_per_crop: median energy per crop, None unless energy was the objective.
        inference_precision: as in `Selection`.
        ms_per_frame: median wall time of a whole frame with one face over all rounds, None where it was not measured.
        ms_per_frame_by_round: median wall time of a whole frame in each round.
        stream_per_s: median number of such frames per second that `Analyzer.stream` analyses.
    """

    label: str
    variant: str
    backend: str
    threads: Optional[int]
    batch: int
    ms_per_crop: float
    ms_per_crop_by_round: Tuple[float, ...]
    mj_per_crop: Optional[float] = None
    inference_precision: Optional[str] = None
    ms_per_frame: Optional[float] = None
    ms_per_frame_by_round: Tuple[float, ...] = ()
    stream_per_s: Optional[float] = None


@dataclass(frozen=True)
class Selection:
    """The choice for one device, and how it was reached.

    Attributes:
        variant, backend, threads, batch: what to run; threads None lets the backend choose.
        label: these in one string.
        objective: what was optimised: ``latency``, ``throughput``, ``energy`` or ``size``.
        settled: whether the order was statistically settled when measuring ended.
        rounds: number of measurements per candidate.
        ms_per_crop, fp32_ms_per_crop: median wall time of the choice, and of FP32 as it ran before.
        times_fp32: median over rounds of the choice's time divided by FP32's.
        ties, losers: why other candidates were not chosen, by label.
        measured: all candidates that ran.
        measured_at: UTC, ISO 8601.
        max_drop: the accuracy budget, in the metric's unit.
        load_average: of the machine, over one minute, before the measurements.
        accuracy: score by variant and backend, such as ``fp32 on openvino``.
        metric: name of that score.
        judged_on: number of crops for that score.
        energy_source: the counter that energy was read from, None unless energy was the objective.
        inference_precision: ``bf16`` or ``f16`` where the backend computes in it what the file has in float32; None
            for the types of the file.
        frame: what a whole frame is, or why none was measured; empty unless latency was the objective.
        ms_per_frame, fp32_ms_per_frame: median wall time of a whole frame with the choice, and with FP32.
        stream_per_s, fp32_stream_per_s: median number of frames per second in a stream, likewise.
    """

    variant: str
    backend: str
    threads: Optional[int] = None
    batch: int = 1
    label: str = ""
    objective: str = "latency"
    settled: bool = False
    rounds: int = 0
    ms_per_crop: Optional[float] = None
    fp32_ms_per_crop: Optional[float] = None
    times_fp32: Optional[float] = None
    ties: Dict[str, str] = field(default_factory=dict)
    losers: Dict[str, str] = field(default_factory=dict)
    measured: Tuple[Measurement, ...] = ()
    measured_at: str = ""
    max_drop: Optional[float] = None
    load_average: Optional[float] = None
    accuracy: Dict[str, float] = field(default_factory=dict)
    metric: str = ""
    judged_on: int = 0
    energy_source: Optional[str] = None
    inference_precision: Optional[str] = None
    frame: str = ""
    ms_per_frame: Optional[float] = None
    fp32_ms_per_frame: Optional[float] = None
    stream_per_s: Optional[float] = None
    fp32_stream_per_s: Optional[float] = None
