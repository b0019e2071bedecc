"""Peak memory and cold start of one variant, measured in a separate process.

A fresh interpreter loads the backend and the model, runs it, and reports its resident set and the time at each step, so
that the cost of Python and the library is separate from the cost of the model. In the measuring process, earlier models
would be counted too.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.runtime.backends import BackendOptions, missing, open_backend
from edgeau.runtime.backends.cuda import open_cuda
from edgeau.runtime.errors import BackendError
from edgeau.runtime.timing import time_calls

RUNS = 5
_TIMEOUT_S = 600


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process that runs one variant, in MiB.

    Attributes:
        python_mib: the interpreter with numpy and edgeau.
        imports_mib: after the backend's library was imported.
        loaded_mib: after the model was loaded.
        peak_mib: the highest value during the life of the process.
        model_mib: ``peak_mib - imports_mib``, what the model adds.
        gpu_mib: decrease of the free GPU memory, for TensorRT; on a GPU that shares the CPU's memory this includes
            other processes. None for other backends.
    """

    python_mib: float
    imports_mib: float
    loaded_mib: float
    peak_mib: float
    model_mib: float
    gpu_mib: float | None = None


@dataclass(frozen=True)
class ColdStart:
    """Time from nothing to the first answer, in milliseconds. Files that were read before are in the kernel's cache.

    Attributes:
        imports_ms: starting Python and importing edgeau and the backend's library.
        load_ms: loading the model.
        first_ms: the first call.
        second_ms: the second, which has nothing left to prepare.
    """

    imports_ms: float
    load_ms: float
    first_ms: float
    second_ms: float

    @property
    def total_ms(self) -> float:
        """Until the first answer."""
        return self.imports_ms + self.load_ms + self.first_ms


def measure_fresh(
    backend: str, file: Path, options: BackendOptions, inputs: Mapping[str, np.ndarray]
) -> tuple[Memory, ColdStart]:
    """Run a variant in a fresh process. Raises BackendError if it fails there."""
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "inputs.npz"
        np.savez(arrays, **dict(inputs))  # type: ignore[arg-type]
        task: dict[str, Any] = {
            "backend": backend,
            "file": str(file),
            "options": dataclasses.asdict(options),
            "inputs": str(arrays),
        }
        task["start_s"] = time.time()
        command = [sys.executable, "-m", "edgeau.benchmarks.memory", json.dumps(task)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            raise BackendError(
                f"{backend} did not finish within {_TIMEOUT_S} s while its memory was measured"
            ) from None
    if done.returncode != 0:
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise BackendError(f"{backend} failed while its memory was measured: {last}")
    value = json.loads(done.stdout.splitlines()[-1])
    return Memory(**value["memory"]), ColdStart(**value["cold_start"])


def run_and_weigh(
    backend: str, file: Path, options: BackendOptions, inputs: Mapping[str, np.ndarray], start_s: float
) -> tuple[Memory, ColdStart]:
    """Load and run a variant in this process, and read the resident set and the time at each step.

    Args:
        backend, file, options, inputs: what to run.
        start_s: when the process was started, in seconds since the epoch.
    """
    python = status_mib("VmRSS")
    reason = missing(backend)
    if reason:
        raise BackendError(f"the {backend} backend can't run here: {reason}")
    imports = status_mib("VmRSS")
    imported_s = time.time()
    gpu_before = gpu_free_mib(backend)
    with open_backend(backend, file, options) as model:
        loaded = status_mib("VmRSS")
        loaded_s = time.time()
        calls_ms = time_calls(lambda: model.infer(inputs), 0, min_samples=RUNS)
        peak = status_mib("VmHWM")
        gpu_after = gpu_free_mib(backend)
    used = None if gpu_before is None or gpu_after is None else round(gpu_before - gpu_after, 2)
    memory = Memory(python, imports, loaded, peak, model_mib=round(peak - imports, 2), gpu_mib=used)
    times_ms = ((imported_s - start_s) * 1e3, (loaded_s - imported_s) * 1e3, float(calls_ms[0]), float(calls_ms[1]))
    return memory, ColdStart(*(round(each, 3) for each in times_ms))


def gpu_free_mib(backend: str) -> float | None:
    """Free memory of the GPU in MiB, for TensorRT only. The first call creates the CUDA context, which every GPU
    program needs and which is not counted as the model's."""
    if backend != "tensorrt":
        return None
    cuda = open_cuda()
    try:
        with cuda.activate():
            return round(cuda.memory_info()[0] / 2**20, 2)
    finally:
        cuda.release()


def status_mib(key: str) -> float:
    """A line of /proc/self/status in MiB. VmHWM is reset when a program starts, unlike getrusage's ru_maxrss, which a
    child inherits from its parent."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return round(int(line.split()[1]) / 1024, 2)
    raise BackendError(f"/proc/self/status has no {key}, so memory can't be measured on this system")


def _main(task: str) -> None:
    settings = json.loads(task)
    with np.load(settings["inputs"]) as arrays:
        inputs = {name: arrays[name] for name in arrays.files}
    options = BackendOptions(**settings["options"])
    memory, cold_start = run_and_weigh(
        settings["backend"], Path(settings["file"]), options, inputs, settings["start_s"]
    )
    value = {"memory": dataclasses.asdict(memory), "cold_start": dataclasses.asdict(cold_start)}
    sys.stdout.write(json.dumps(value) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1])
