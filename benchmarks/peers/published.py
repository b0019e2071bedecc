"""Speeds of AU tools from end to end that others published. None was measured here: their weights are fetched from
servers while they run, and their licences allow research only.

py-feat's harness decodes a clip of 472 frames with one face, finds it, and reads AUs; one untimed run comes first.
"""

from __future__ import annotations

from dataclasses import dataclass

_SERVER = "x86-64, 128 CPUs, OMP_NUM_THREADS=1"
_RTX = "NVIDIA RTX 3090"
_MAC = "Apple M5 Max"
_CPU_RUN = "py-feat, docs/benchmarks/speed-clean-cpu.md, 2026-06-05"
_MAC_RUN = "py-feat, docs/benchmarks/speed-clean-m5max.md, 2026-06-22"
_RTX_RUN = "py-feat, docs/benchmarks/competitors/speed_3090_batch1.json"


@dataclass(frozen=True)
class PublishedSpeed:
    """Frames per second that somebody published.

    Attributes:
        tool: what ran.
        frames_per_s: from decoding to AUs.
        batch: frames per call.
        machine: as the source says.
        source: who published it, and where.
    """

    tool: str
    frames_per_s: float
    batch: int
    machine: str
    source: str


PUBLISHED = (
    PublishedSpeed("py-feat, Detectorv2", 8.9, 1, f"{_SERVER}, CPU", _CPU_RUN),
    PublishedSpeed("py-feat, Detectorv2", 17.6, 16, f"{_SERVER}, CPU", _CPU_RUN),
    PublishedSpeed("py-feat, retinaface and xgb", 4.2, 1, f"{_SERVER}, CPU", _CPU_RUN),
    PublishedSpeed("py-feat, retinaface and xgb", 10.3, 16, f"{_SERVER}, CPU", _CPU_RUN),
    PublishedSpeed("py-feat, Detectorv2", 2.3, 1, f"{_MAC}, CPU", _MAC_RUN),
    PublishedSpeed("py-feat, Detectorv2", 30.1, 1, f"{_MAC}, GPU", _MAC_RUN),
    PublishedSpeed("py-feat, Detectorv2", 128.5, 16, f"{_MAC}, GPU", _MAC_RUN),
    PublishedSpeed("py-feat, Detectorv2", 38.4, 1, _RTX, _RTX_RUN),
    PublishedSpeed("py-feat, Detectorv2", 202.0, 16, _RTX, _RTX_RUN),
    PublishedSpeed("OpenFace 3.0", 18.3, 1, _RTX, _RTX_RUN),
    PublishedSpeed("LibreFace", 4.7, 1, _RTX, _RTX_RUN),
)
