"""The peak of a device: multiply-accumulates per second by precision, and bytes per second by working set.

The probe runs on the backends that are measured, so that the peak is what their libraries reach on this device at best:
a chain of large 1x1 convolutions, which are plain matrix products and can't be computed with fewer multiplications, as
float32, float16 and quantized. The best of the backends counts, by the fastest of many calls, which other work on the
machine hardly changes.

Bandwidth of a CPU: numpy copies arrays of several sizes with as many threads, so that a model whose weights and
activations fit into a cache is compared with the bandwidth of that cache. Bandwidth of a GPU: a chain of poolings over
tensors too large for a cache. Bytes read and bytes written both count.
"""

from __future__ import annotations

import dataclasses
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeau.benchmarks.claims.graph_builder import GraphBuilder
from edgeau.runtime.backends import Backend, BackendOptions, missing, open_backend
from edgeau.runtime.device import usable_cores
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.timing import time_calls, warm_up

from .engine import engine_of
from .layers import layers_of

_Key = TypeVar("_Key")

PRECISIONS = ("fp32", "fp16", "int8")
CPU_BACKENDS = ("onnxruntime", "openvino")
# Calls of a few milliseconds, which a busy machine sometimes leaves undisturbed, and large products.
_SIDE_PX, _CHANNELS, _DEPTH = 16, 512, 5
_POOL_SIDE_PX, _POOL_CHANNELS, _POOL_DEPTH = 512, 64, 4
_AUS = 4
_COMPUTE_S, _COPY_S = 0.2, 0.04
_COPY_BYTES = tuple(2**power for power in range(18, 29, 2))  # 256 KiB to 256 MiB, read and written


@dataclass(frozen=True)
class Peak:
    """What a device can do with a number of threads.

    Attributes:
        device: ``cpu`` or ``gpu``.
        threads: CPU threads; None if the library chooses.
        gmacs_per_s: 10^9 multiply-accumulates per second by precision; one that no backend runs is missing.
        gbytes_per_s: 10^9 bytes per second by working set in bytes, which has to fit into a cache to be as fast.
        backend: which backend reached the peak, by precision.
    """

    device: str
    threads: int | None
    gmacs_per_s: Mapping[str, float]
    gbytes_per_s: Mapping[int, float]
    backend: Mapping[str, str] = field(default_factory=dict)

    def bandwidth(self, working_set_bytes: int) -> float | None:
        """10^9 bytes per second for a working set: that of the smallest one measured that holds it."""
        sizes = sorted(self.gbytes_per_s)
        size = next((each for each in sizes if each >= working_set_bytes), sizes[-1] if sizes else None)
        return None if size is None else self.gbytes_per_s[size]


def cpu_peak(threads: int | None, precisions: Sequence[str] = PRECISIONS) -> Peak:
    """Measure the CPU with this many threads; about a second for each precision."""
    present = [name for name in CPU_BACKENDS if missing(name) is None]
    options = BackendOptions(threads=threads)

    def opened(name: str, file: Path, _: str) -> Backend:
        return open_backend(name, file, options)

    gmacs, backend = _compute(present, precisions, opened)
    return Peak("cpu", threads, gmacs, copy_bandwidth(threads or usable_cores()), backend)


def gpu_peak(backend: str, options: BackendOptions, precisions: Sequence[str] = PRECISIONS) -> Peak:
    """Measure the GPU through TensorRT, or through a provider of ONNX Runtime."""

    def opened(name: str, file: Path, precision: str) -> Backend:
        return open_backend(name, engine_of(file, precision) if name == "tensorrt" else file, options)

    gmacs, reached = _compute([backend], precisions, opened)
    return Peak("gpu", options.threads, gmacs, _pool_bandwidth(lambda file: opened(backend, file, "fp32")), reached)


def _compute(
    backends: Sequence[str], precisions: Sequence[str], opened: Callable[[str, Path, str], Backend]
) -> tuple[dict[str, float], dict[str, str]]:
    gmacs: dict[str, float] = {}
    reached: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        for precision in precisions:
            file = Path(folder) / f"{precision}.onnx"
            macs = write_probe(file, precision)
            for name in backends:
                try:
                    with opened(name, file, precision) as backend:
                        speed = macs / _fastest_s(backend, _COMPUTE_S) / 1e9
                except EdgeauError:  # this backend doesn't run this precision here
                    continue
                if speed > gmacs.get(precision, 0.0):
                    gmacs[precision], reached[precision] = round(speed, 2), name
    return gmacs, reached


def _fastest_s(backend: Backend, seconds: float) -> float:
    inputs = {name: np.zeros((1, *shape), np.uint8) for name, shape in backend.input_shapes.items()}

    def call() -> object:
        return backend.infer(inputs)

    warm_up(call, seconds / 4)
    clock = getattr(backend, "gpu_ms", None)
    times_ms = time_calls(call, seconds, min_samples=3) if clock is None else clock()
    return float(times_ms.min()) / 1e3


def write_probe(file: Path, precision: str) -> int:
    """Write the chain of convolutions as ONNX. Returns its multiply-accumulates."""
    graph = GraphBuilder(_SIDE_PX, _AUS)
    x, inside = graph.image(), 3
    for _ in range(_DEPTH):
        x = graph.node("Relu", graph.convolution(x, inside, _CHANNELS, 1))
        inside = _CHANNELS
    graph.save(x, inside, file)
    if precision != "fp32":
        model = onnx.load(str(file))
        onnx.save({"fp16": _as_fp16, "int8": _as_int8}[precision](model), str(file))
    layers = layers_of(file)
    assert layers is not None
    return layers.macs


def _as_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every weight, and the cast of the input, as float16; the output stays float32."""
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for node in model.graph.node:
        if node.op_type == "Cast":
            node.attribute[0].i = TensorProto.FLOAT16
    last = model.graph.node[-1]
    last.output[0] = "half"
    model.graph.node.append(helper.make_node("Cast", ["half"], ["au"], to=TensorProto.FLOAT))
    return model


def _as_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """QuantizeLinear and DequantizeLinear before each convolution but the first, and int8 weights.

    Activations are signed and symmetric, which TensorRT needs; ONNX Runtime and OpenVINO accept them too.
    """
    values = {"scale": np.float32(0.05), "zero": np.int8(0)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), n) for n, v in values.items())
    nodes: list[onnx.NodeProto] = []
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv" and weights[node.input[1]].dims[1] == _CHANNELS:
            data, weight = node.input[0], weights[node.input[1]]
            codes = np.clip(np.round(numpy_helper.to_array(weight) / 0.05), -127, 127).astype(np.int8)
            weight.CopyFrom(numpy_helper.from_array(codes, weight.name))
            nodes.append(helper.make_node("QuantizeLinear", [data, "scale", "zero"], [f"{data}_q"]))
            for name in (f"{data}_q", weight.name):
                nodes.append(helper.make_node("DequantizeLinear", [name, "scale", "zero"], [f"{name}_dq"]))
            node.input[0], node.input[1] = f"{data}_q_dq", f"{weight.name}_dq"
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def copy_bandwidth(threads: int) -> dict[int, float]:
    """10^9 bytes per second that numpy copies, by bytes read and written, with this many threads."""
    return {size: round(size / _copy_s(size, threads) / 1e9, 2) for size in _COPY_BYTES}


def _copy_s(size: int, threads: int) -> float:
    """Seconds to read and write ``size`` bytes in all, divided among threads; each repeats its part, so that starting
    threads costs little."""
    repeats = max(1, 2**28 // size)
    parts = [(np.ones(size // 2 // threads, np.uint8), np.empty(size // 2 // threads, np.uint8))
             for _ in range(threads)]  # fmt: skip

    def copy(source: np.ndarray, target: np.ndarray) -> None:
        for _ in range(repeats):
            np.copyto(target, source)

    def copy_all() -> None:
        workers = [threading.Thread(target=copy, args=part) for part in parts[1:]]
        for worker in workers:
            worker.start()
        copy(*parts[0])
        for worker in workers:
            worker.join()

    warm_up(copy_all, 0)
    return float(time_calls(copy_all, _COPY_S, min_samples=3).min()) / 1e3 / repeats


def _pool_bandwidth(opened: Callable[[Path], Backend]) -> dict[int, float]:
    """10^9 bytes per second of poolings over large tensors, by their working set; empty if they don't run."""
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        file = Path(folder) / "pool.onnx"
        graph = GraphBuilder(_POOL_SIDE_PX, _AUS)
        x = graph.convolution(graph.image(), 3, _POOL_CHANNELS, 1)
        for _ in range(_POOL_DEPTH):
            x = graph.max_pool(x, 3, 1)
        graph.save(x, _POOL_CHANNELS, file)
        layers = layers_of(file)
        assert layers is not None
        try:
            with opened(file) as backend:
                speed = layers.activation_bytes / _fastest_s(backend, _COMPUTE_S) / 1e9
        except EdgeauError:
            return {}
    return {layers.working_set_bytes: round(speed, 2)}


def best_of(one: Peak, other: Peak) -> Peak:
    """The best figures of two probes of one device; a disturbed probe measures too little, never too much."""
    backend = {name: (one if one.gmacs_per_s.get(name, 0) >= speed else other).backend.get(name, "")
               for name, speed in _larger(one.gmacs_per_s, other.gmacs_per_s).items()}  # fmt: skip
    gmacs, gbytes = _larger(one.gmacs_per_s, other.gmacs_per_s), _larger(one.gbytes_per_s, other.gbytes_per_s)
    return dataclasses.replace(one, gmacs_per_s=gmacs, gbytes_per_s=gbytes, backend=backend)


def _larger(one: Mapping[_Key, float], other: Mapping[_Key, float]) -> dict[_Key, float]:
    return {key: max(one.get(key, 0.0), other.get(key, 0.0)) for key in {**one, **other}}


def to_json(peak: Peak) -> dict[str, object]:
    """Plain JSON values."""
    return dataclasses.asdict(peak)
