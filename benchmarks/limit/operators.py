"""Time by operator, from the profilers of ONNX Runtime and OpenVINO and TensorRT's layer times.

Profiling slows calls down, so these times say where the time goes and not how long a call takes.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgeau.runtime.backends import BackendOptions
from edgeau.runtime.errors import BackendError
from edgeau.runtime.privacy import send_no_telemetry

from .layers import Layers, node_name

_CALLS = 20
# What runtimes add to a node's name when they fuse or split it.
_ADDED = re.compile(r"(_nchwc|_nhwc|_quant|/WithoutBiases|/FQ_.*|_original|_token_\d+|_fused.*)$")
# Operators of a runtime that only change the layout or type of a tensor, although they bear a layer's name.
_MOVES = ("Reorder", "Transpose", "Convert", "Cast", "Reformat")

Times = Sequence[tuple[str, str, float]]  # node's name, operator's type, milliseconds per call


@dataclass(frozen=True)
class OperatorTime:
    """All operators of one kind.

    Attributes:
        kind: of the layers, such as ``Conv 3x3, 4 groups``, or the runtime's own name of an operator.
        count: how many of them.
        ms: their time in one call, while profiled.
        limit_ms: the least time of the layers; 0 for operators that are none.
    """

    kind: str
    count: int
    ms: float
    limit_ms: float


def profile(
    backend: str,
    file: Path,
    options: BackendOptions,
    inputs: Mapping[str, np.ndarray],
    layers: Layers,
    limits_ms: Mapping[str, float],
) -> list[OperatorTime]:
    """Time by operator, longest first. Raises BackendError if the backend has no profiler or it fails.

    Args:
        backend, file, options: what to run.
        inputs: of one call.
        layers: of the ONNX graph.
        limits_ms: the least time of each layer, by name.
    """
    profiler = _PROFILERS.get(backend)
    if profiler is None:
        raise BackendError(f"{backend} has no profiler here")
    try:
        with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
            times = profiler(_with_names(file, Path(folder)), options, inputs)
    except (RuntimeError, ImportError, OSError, ValueError) as error:
        raise BackendError(f"{backend} can't profile {file}: {error}") from error
    return group(times, layers, limits_ms)


def _with_names(file: Path, folder: Path) -> Path:
    """The file itself, or a copy whose nodes all have names; profiles are matched by name."""
    model = onnx.load(str(file))
    if all(node.name for node in model.graph.node):
        return file
    for number, node in enumerate(model.graph.node):
        node.name = node_name(node, number)
    copy = folder / file.name
    onnx.save(model, str(copy))
    return copy


def group(times: Times, layers: Layers, limits_ms: Mapping[str, float]) -> list[OperatorTime]:
    """Sum up times by kind of layer, or by operator where a node belongs to none; longest first."""
    kinds = {layer.name: layer.kind for layer in layers.layers}
    members: dict[str, list[tuple[str | None, float]]] = defaultdict(list)
    for name, kind, ms in times:
        layer = None if kind.startswith(_MOVES) else _layer(name, layers.owner)
        members[kinds[layer] if layer else kind].append((layer, ms))
    rows = [
        OperatorTime(
            kind=kind,
            count=len(each),
            ms=sum(ms for _, ms in each),
            limit_ms=sum(limits_ms[name] for name in {layer for layer, _ in each if layer}),
        )
        for kind, each in members.items()
    ]
    return sorted(rows, key=lambda row: -row.ms)


def _layer(name: str, owner: Mapping[str, str]) -> str | None:
    """The layer of a runtime's node, whose name starts with that of the graph's node, perhaps with additions."""
    name = name.removeprefix("fused ")
    while name not in owner:
        shorter = _ADDED.sub("", name)
        if shorter == name:
            return None
        name = shorter
    return owner[name]


def summary(operators: Sequence[OperatorTime]) -> str:
    """Where most of the time above the limit goes, in one sentence; "" if there is none."""
    total = sum(row.ms for row in operators)
    worst = sorted(operators, key=lambda row: row.limit_ms - row.ms)[:3]
    parts = [_part(row, total) for row in worst if row.ms - row.limit_ms > 0.05 * total]
    return "; ".join(parts)


def _part(row: OperatorTime, total_ms: float) -> str:
    of_limit = f" at {row.limit_ms / row.ms:.0%} of the limit" if row.limit_ms else ", which the limit has not"
    return f"{row.kind} ({row.count}) takes {row.ms / total_ms:.0%} of the time{of_limit}"


def _onnxruntime(file: Path, options: BackendOptions, inputs: Mapping[str, np.ndarray]) -> Times:
    send_no_telemetry()
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.enable_profiling = True
    if options.threads is not None:
        settings.intra_op_num_threads = options.threads
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        settings.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(file), settings, providers=[options.provider])
        for _ in range(_CALLS):
            session.run(None, {each.name: inputs[each.name] for each in session.get_inputs()})
        events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    samples: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            samples[name, event["args"]["op_name"]].append(event["dur"] / 1e3)
    return _medians(samples)


def _openvino(file: Path, options: BackendOptions, inputs: Mapping[str, np.ndarray]) -> Times:
    send_no_telemetry()
    import openvino as ov

    config: dict[str, Any] = {
        "PERF_COUNT": True,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": options.inference_precision,
    }
    if options.threads is not None:
        config["INFERENCE_NUM_THREADS"] = options.threads
    request = ov.Core().compile_model(str(file), "CPU", config).create_infer_request()
    samples: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(_CALLS):
        request.infer(dict(inputs), share_inputs=True)
        for node in request.profiling_info:
            if node.status == ov.ProfilingInfo.Status.EXECUTED and node.node_type not in ("Parameter", "Result"):
                samples[node.node_name, node.node_type].append(node.real_time.total_seconds() * 1e3)
    return _medians(samples)


def _medians(samples: Mapping[tuple[str, str], Sequence[float]]) -> Times:
    return [(name, kind, float(np.median(each))) for (name, kind), each in samples.items() if any(each)]


_PROFILERS: Mapping[str, Callable[[Path, BackendOptions, Mapping[str, np.ndarray]], Times]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}
