"""The ways to run a package on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgeau.optimize.variants import float_variant
from edgeau.runtime.backends import Backend, BackendOptions, missing, open_backend
from edgeau.runtime.choose import default_threads, obstacle
from edgeau.runtime.device import usable_cores
from edgeau.runtime.errors import BackendError
from edgeau.runtime.manifest import Manifest, Variant
from edgeau.runtime.package import Package

THROUGHPUT_BATCHES = (1, 4, 16)


@dataclass(frozen=True)
class Candidate:
    """One way to run a package: a variant on a backend with settings; ``threads`` None is the backend's own choice."""

    variant: Variant
    backend: str
    threads: int | None
    batch: int = 1

    @property
    def reading(self) -> str:
        """What decides its outputs, whatever the settings: ``int8-ort on onnxruntime``."""
        return f"{self.variant.name} on {self.backend}"

    @property
    def label(self) -> str:
        """Its name in reports: ``int8-ort on onnxruntime, 2 threads``."""
        threads = "default threads" if self.threads is None else f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"{self.reading}, {threads}" + (f", batch {self.batch}" if self.batch > 1 else "")


def list_candidates(package: Package, objective: str) -> tuple[list[Candidate], dict[str, str]]:
    """Every way to run a package here, and why other variants and backends can't, by `Candidate.reading`.

    Candidates with the fewest threads come first, and FP32 before the rest.
    """
    possible: list[Candidate] = []
    impossible: dict[str, str] = {}
    batches = THROUGHPUT_BATCHES if objective == "throughput" else (1,)
    for variant, backend in _pairs(package.manifest):
        why_not = missing(backend) or obstacle(package, variant, backend)
        if why_not is not None:
            impossible[f"{variant.name} on {backend}"] = why_not
            continue
        threads = (None,) if backend == "tensorrt" else (*thread_counts(usable_cores()), None)
        possible += [Candidate(variant, backend, t, b) for t in threads for b in batches]
    cores = usable_cores()
    return sorted(possible, key=lambda c: (c.threads or cores, c.variant.precision != "fp32")), impossible


def baseline_of(manifest: Manifest, candidates: list[Candidate]) -> Candidate:
    """FP32 as `load` runs it before anything is measured. Raises BackendError where it runs on no backend here."""
    variant = float_variant(manifest)
    name, threads = variant.name, default_threads(variant)
    for backend in ("onnxruntime", "openvino"):
        for candidate in candidates:
            if (candidate.variant.name, candidate.backend, candidate.threads) == (name, backend, threads):
                return candidate
    raise BackendError(f"{name} of package {manifest.name} runs on no backend here; there is nothing to compare with")


def open_candidate(package: Package, candidate: Candidate) -> Backend:
    """Verify the variant's file and load it. Raises BackendError."""
    file = package.file(candidate.variant)
    return open_backend(candidate.backend, file, BackendOptions(threads=candidate.threads))


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4 ... and all cores."""
    return sorted({1, cores, *(2**i for i in range(cores.bit_length()) if 2**i <= cores)})


def _pairs(manifest: Manifest) -> Iterator[tuple[Variant, str]]:
    """Each variant with each of its backends; TensorRT runs engines, not ONNX files."""
    for variant in manifest.variants:
        for backend in variant.backends:
            if backend != "tensorrt" or not variant.file.endswith(".onnx"):
                yield variant, backend
