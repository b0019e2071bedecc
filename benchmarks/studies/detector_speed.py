"""The cost of detecting faces: YuNet on each backend, YuNet in OpenCV, and Haar cascades, on the same pictures.

python -m edgeau.benchmarks.studies.detector_speed CLIP_OR_PICTURE [--yunet FILE] [--threads 1] [--json]

Calls of all detectors alternate, so that a busy machine slows all of them alike; the ratio is to OpenCV's YuNet.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from edgeau.runtime.backends import missing
from edgeau.runtime.detect import HaarDetector, yunet_file
from edgeau.runtime.detection import Detector
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.opencv import yunet_obstacle
from edgeau.runtime.sources import open_source
from edgeau.runtime.yunet import OpenCvYuNet, on_backend

REFERENCE = "opencv"
WARM_UP = 3


@dataclass(frozen=True)
class DetectorCost:
    """One detector.

    Attributes:
        p50_ms, p90_ms: of a call, shrinking and padding included.
        ratio: of the median to that of OpenCV's YuNet; None without it.
        faces: found in all pictures together.
    """

    detector: str
    p50_ms: float
    p90_ms: float
    ratio: float | None
    faces: int


def detectors(file: Path, threads: int) -> dict[str, Detector]:
    """What can run here, by name."""
    found: dict[str, Detector] = {
        name: on_backend(file, name, threads) for name in ("onnxruntime", "openvino") if missing(name) is None
    }
    if yunet_obstacle() is None:
        found[REFERENCE] = OpenCvYuNet(file)
    return {**found, "haar": HaarDetector()}


def measure(pictures: list[np.ndarray], candidates: dict[str, Detector]) -> list[DetectorCost]:
    """Time each detector on each picture, in turns."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    faces = dict.fromkeys(candidates, 0)
    for detector in candidates.values():
        for picture in pictures[:WARM_UP]:
            detector.detect(picture)
    for picture in pictures:
        for name, detector in candidates.items():
            started = time.perf_counter()
            faces[name] += len(detector.detect(picture))
            times[name].append((time.perf_counter() - started) * 1e3)
    medians = {name: statistics.median(values) for name, values in times.items()}
    reference = medians.get(REFERENCE)
    return [
        DetectorCost(
            name,
            medians[name],
            float(np.percentile(times[name], 90)),
            reference and medians[name] / reference,
            faces[name],
        )
        for name in candidates
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m edgeau.benchmarks.studies.detector_speed", description=__doc__)
    parser.add_argument("source", help="a video, a folder or a picture")
    parser.add_argument("--yunet", type=Path, help="YuNet's file (default: EDGEAU_YUNET, else the cache)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    import cv2

    cv2.setNumThreads(options.threads)
    try:
        file = options.yunet or yunet_file()
        if file is None:
            raise InputError("YuNet", got="no file", hint="run `edgeau doctor --fetch-detector`, or give --yunet")
        frames = islice(open_source(options.source).frames, options.frames)
        pictures = [frame.image_bgr for frame in frames if frame.image_bgr is not None]
        costs = measure(pictures, detectors(file, options.threads))
    except EdgeauError as error:
        sys.stderr.write(f"edgeau: {error}\n")
        return 2
    sys.stdout.write(json.dumps([asdict(cost) for cost in costs], indent=2) if options.json else table(costs))
    return 0


def table(costs: list[DetectorCost]) -> str:
    """Markdown."""
    lines = ["| detector | p50 ms | p90 ms | to OpenCV's YuNet | faces |", "|---|---|---|---|---|"]
    for cost in costs:
        ratio = "" if cost.ratio is None else f"{cost.ratio:.2f}"
        lines.append(f"| {cost.detector} | {cost.p50_ms:.2f} | {cost.p90_ms:.2f} | {ratio} | {cost.faces} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
