"""The ways to run a package on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgeau.optimize.variants import float_variant
from edgeau.runtime.backends import Backend, lower_precisions, missing, open_backend
from edgeau.runtime.choose import backend_options, default_threads, obstacle
from edgeau.runtime.device import usable_cores
from edgeau.runtime.errors import BackendError
from edgeau.runtime.manifest import Manifest, Variant
from edgeau.runtime.package import Package
from edgeau.runtime.selection import reading

# Each reads any ONNX file, also one that was finished for another reader.
_ONNX_BACKENDS = ("onnxruntime", "openvino")
THROUGHPUT_BATCHES = (1, 4, 16)


@dataclass(frozen=True)
class Candidate:
    """One way to run a package: a variant on a backend with settings.

    Attributes:
        variant, backend: what runs.
        threads: CPU threads; None for the backend's own choice.
        batch: crops per call.
        inference_precision: in which the backend computes what the file has in float32; None for the file's types.
    """

    variant: Variant
    backend: str
    threads: int | None
    batch: int = 1
    inference_precision: str | None = None

    @property
    def reading(self) -> str:
        """What decides its outputs, whatever the other settings: ``int8-ort on onnxruntime``."""
        return reading(self.variant.name, self.backend, self.inference_precision)

    @property
    def label(self) -> str:
        """Its name in reports: ``int8-ort on onnxruntime, 2 threads``."""
        threads = "default threads" if self.threads is None else f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"{self.reading}, {threads}" + (f", batch {self.batch}" if self.batch > 1 else "")


def list_candidates(package: Package, objective: str) -> tuple[list[Candidate], dict[str, str]]:
    """Every way to run a package here, and why other variants and backends can't, by `Candidate.reading`.

    An INT8 file is also tried on the ONNX backends that it was not made for: it may be faster there than the file that
    was, and if it is misread, its accuracy shows that. Candidates with the fewest threads come first, and FP32 before
    the rest.
    """
    possible: list[Candidate] = []
    impossible: dict[str, str] = {}
    batches = THROUGHPUT_BATCHES if objective == "throughput" else (1,)
    for variant, backend in _pairs(package.manifest):
        why_not = missing(backend) or obstacle(package, variant, backend)
        if why_not is not None:
            impossible[reading(variant.name, backend)] = why_not
            continue
        threads = (None,) if backend == "tensorrt" else (*thread_counts(usable_cores()), None)
        precisions = _precisions(variant, backend)
        possible += [Candidate(variant, backend, t, b, p) for t in threads for b in batches for p in precisions]
    return sorted(possible, key=_order), impossible


def baseline_of(manifest: Manifest, candidates: list[Candidate]) -> Candidate:
    """FP32 as `load` runs it before anything is measured. Raises BackendError where it runs on no backend here."""
    variant = float_variant(manifest)
    name, threads = variant.name, default_threads(variant)
    for backend in _ONNX_BACKENDS:
        for candidate in candidates:
            if (candidate.reading, candidate.threads) == (reading(name, backend), threads):
                return candidate
    raise BackendError(f"{name} of package {manifest.name} runs on no backend here; there is nothing to compare with")


def open_candidate(package: Package, candidate: Candidate) -> Backend:
    """Verify the variant's file and load it. Raises BackendError."""
    file = package.file(candidate.variant)
    return open_backend(candidate.backend, file, backend_options(candidate.threads, candidate.inference_precision))


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4 ... and all cores."""
    return sorted({1, cores, *(2**i for i in range(cores.bit_length()) if 2**i <= cores)})


def _pairs(manifest: Manifest) -> Iterator[tuple[Variant, str]]:
    """Each variant with each backend to try it on; TensorRT runs engines, not ONNX files."""
    for variant in manifest.variants:
        if not variant.file.endswith(".onnx"):
            yield from ((variant, backend) for backend in variant.backends)
            continue
        others = _ONNX_BACKENDS if variant.precision == "int8" else ()
        for backend in dict.fromkeys((*variant.backends, *others)):
            if backend != "tensorrt":
                yield variant, backend


def _precisions(variant: Variant, backend: str) -> tuple[str | None, ...]:
    """The file's own types, and the lower ones in which the backend may compute what is in float32."""
    return (None, *lower_precisions(backend)) if variant.precision in ("fp32", "int8") else (None,)


def _order(candidate: Candidate) -> tuple[int, bool, bool]:
    lower = candidate.inference_precision is not None
    return candidate.threads or usable_cores(), candidate.variant.precision != "fp32", lower
