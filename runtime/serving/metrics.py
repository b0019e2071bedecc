"""What the server counts, for Prometheus."""

from __future__ import annotations

from typing import Callable, Tuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32)


class ServerMetrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter("edgeau_requests", "Answers.", ["status"], registry=registry)
        self._seconds = Histogram(
            "edgeau_request_seconds", "From a request's headers to its answer.", ["path"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._faces = Counter("edgeau_faces", "Faces in pictures.", registry=registry)
        self._analysis = Counter(
            "edgeau_analysis_seconds", "Spent by workers on decoding and analysing.", registry=registry
        )
        self._batch = Histogram(
            "edgeau_batch_size", "Requests that were analysed together.", buckets=_SIZES, registry=registry
        )

    def watch(self, name: str, description: str, read: Callable[[], float]) -> None:
        """Add a gauge that is read whenever the metrics are."""
        Gauge(name, description, registry=self._registry).set_function(read)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._requests.labels(str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def analysed(self, size: int, faces: int, seconds: float) -> None:
        """Count a batch of a worker."""
        self._batch.observe(size)
        self._faces.inc(faces)
        self._analysis.inc(seconds)

    def text(self) -> Tuple[bytes, str]:
        """The metrics in Prometheus' text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
