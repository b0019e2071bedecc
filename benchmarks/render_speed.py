"""How fast ICT-FaceKit faces are drawn: images a second over all workers, and what the geometry alone would cost.

    python -m edgeau.benchmarks.render_speed --face ../ICT-FaceKit --out benchmarks/results/render_speed.json

Each worker is a process of one thread. Subjects of 100 frames each, so that painting a subject's skin is paid for as in
a data set. CPU time an image is kept beside the wall time: on a busy machine it is the steadier of the two.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeau.runtime.files import write_json
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.terminal import emit_json

from .provenance import provenance

FRAMES_A_SUBJECT = 100
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--face", default=None, help="path of ICT-FaceKit; default: EDGEAU_ICT")
    parser.add_argument("--size", type=int, default=128, help="side of the crop in pixels")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    os.environ.update(_THREADS)
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(args.workers)
    jobs = [(args.face, args.size, worker, args.seconds, ready) for worker in range(args.workers)]
    answers: Any = context.Queue()
    processes = [context.Process(target=_work, args=(*job, answers)) for job in jobs]
    load_before = os.getloadavg()[0]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    result = {
        "size_px": args.size,
        "workers": args.workers,
        "images_per_s": sum(one["images"] / one["wall_s"] for one in found),
        "cpu_ms_per_image": 1e3 * sum(one["cpu_s"] for one in found) / sum(one["images"] for one in found),
        "geometry_cpu_ms": min(one["geometry_cpu_ms"] for one in found),
        "triangles": found[0]["triangles"],
        "cores": os.cpu_count(),
        "load_before": load_before,
        "per_worker": found,
        "provenance": asdict(provenance()),
    }
    if args.out:
        write_json(args.out, result)
    emit_json(result)


def _work(face: str | None, size_px: int, worker: int, seconds: float, ready: Any, answers: Any) -> None:
    renderer = importlib.import_module("edgeau.train.faces.ict.renderer").make(
        face
    )  # a layer above: measured, not used
    crop = CropSpec(size_px=size_px)
    specs = _specs(worker)
    for _ in range(5):
        renderer.render(next(specs), crop)
    ready.wait()
    start, cpu, images, samples = time.perf_counter(), time.process_time(), 0, []
    while time.perf_counter() - start < seconds:
        began = time.perf_counter()
        renderer.render(next(specs), crop)
        samples.append(1e3 * (time.perf_counter() - began))
        images += 1
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    answers.put({
        "images": images, "wall_s": wall, "cpu_s": cpu, "samples_ms": [round(s, 3) for s in samples],
        "triangles": renderer.triangle_count, "geometry_cpu_ms": _geometry_ms(renderer, crop),
    })  # fmt: skip
    renderer.close()


def _geometry_ms(renderer: Any, crop: CropSpec) -> float:
    start = time.process_time()
    for _ in range(50):
        renderer.draw_surface_only(crop)
    return 1e3 * (time.process_time() - start) / 50


def _specs(worker: int) -> Any:
    import numpy as np

    base = importlib.import_module("edgeau.train.faces.base")
    names = ("AU01", "AU02", "AU04", "AU06", "AU07", "AU10", "AU12", "AU15", "AU17", "AU24", "AU25", "AU26")
    rng = np.random.default_rng(worker)
    while True:
        identity, seed = rng.normal(0, 0.8, 60).astype(np.float32), int(rng.integers(1 << 30))
        for frame in range(FRAMES_A_SUBJECT):
            levels = {str(au): (float(rng.uniform(0, 5)),) * 2 for au in rng.choice(names, 4, replace=False)}
            yaw, pitch = rng.normal(0, 12), rng.normal(0, 6)
            yield base.FrameSpec(identity, seed, seed, frame, levels, yaw_deg=yaw, pitch_deg=pitch)


if __name__ == "__main__":
    main()
