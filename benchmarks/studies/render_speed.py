"""How fast ICT-FaceKit faces are drawn: images per second over all workers, and the cost of the geometry alone.

    python -m edgeau.benchmarks.studies.render_speed --face ../ICT-FaceKit --out benchmarks/results/render_speed.json

Each worker is a process with one thread. Subjects have 100 frames each, so that the cost of painting a subject's skin
is spread as in a data set. CPU time per image is recorded beside wall time: it is steadier on a busy machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.benchmarks.provenance import provenance
from edgeau.runtime.files import write_json
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.terminal import emit_json
from edgeau.train.faces.base import FrameSpec
from edgeau.train.faces.ict.gl import open_context
from edgeau.train.faces.ict.mesh import prepare
from edgeau.train.faces.ict.renderer import IctRenderer

FRAMES_PER_SUBJECT = 100
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}


def main() -> None:
    """Measure, print JSON and write it if asked to."""
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
    workers = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    result = {
        "size_px": args.size,
        "workers": args.workers,
        "images_per_s": sum(one["images"] / one["wall_s"] for one in workers),
        "cpu_ms_per_image": 1e3 * sum(one["cpu_s"] for one in workers) / sum(one["images"] for one in workers),
        "geometry_cpu_ms": min(one["geometry_cpu_ms"] for one in workers),
        "triangles": workers[0]["triangles"],
        "cores": os.cpu_count(),
        "load_before": load_before,
        "per_worker": workers,
        "provenance": asdict(provenance()),
    }
    if args.out:
        write_json(args.out, result)
    emit_json(result)


def _work(face: str | None, size_px: int, worker: int, seconds: float, ready: Any, answers: Any) -> None:
    renderer = IctRenderer(prepare(face), open_context())
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
    percentiles = {f"p{q}_ms": round(float(np.percentile(samples, q)), 3) for q in (50, 90, 99)}
    result = {"images": images, "wall_s": wall, "cpu_s": cpu, "samples": len(samples), **percentiles}
    geometry = {"triangles": renderer.triangle_count, "geometry_cpu_ms": _geometry_ms(renderer, crop)}
    answers.put({**result, **geometry})
    renderer.close()


def _geometry_ms(renderer: IctRenderer, crop: CropSpec) -> float:
    start = time.process_time()
    for _ in range(50):
        renderer.draw_surface_only(crop)
    return 1e3 * (time.process_time() - start) / 50


def _specs(worker: int) -> Iterator[FrameSpec]:
    """Endless random frames, FRAMES_PER_SUBJECT of each subject."""
    names = ("AU01", "AU02", "AU04", "AU06", "AU07", "AU10", "AU12", "AU15", "AU17", "AU24", "AU25", "AU26")
    rng = np.random.default_rng(worker)
    while True:
        identity, seed = rng.normal(0, 0.8, 60).astype(np.float32), int(rng.integers(1 << 30))
        for frame in range(FRAMES_PER_SUBJECT):
            levels = {str(au): (float(rng.uniform(0, 5)),) * 2 for au in rng.choice(names, 4, replace=False)}
            yaw, pitch = rng.normal(0, 12), rng.normal(0, 6)
            yield FrameSpec(identity, seed, seed, frame, levels, yaw_deg=yaw, pitch_deg=pitch)


if __name__ == "__main__":
    main()
