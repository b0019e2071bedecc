"""Which student gives the most frames per second: sizes of CEDNN, precisions and runtimes, in whole frames of a video.

    python -m edgeau.benchmarks.studies.student_speed [PACKAGE ...] --calib DATA --eval DATA --work FOLDER -o OUT

Every package (by default the one that ships, a cednn-m) is measured in FP32 and INT8 on ONNX Runtime and OpenVINO, in
OpenVINO also with bfloat16 where the CPU has it, on one thread each and all in turns, as `edgeau optimize` measures
whole frames: the model alone, one frame after the other, and a stream. F1 is of that file on that runtime. Presets are
exported with fresh weights: these have a speed, but no F1. FOLDER keeps the packages with their INT8 files for the next
run. Writes OUT.md and OUT.json.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeau.benchmarks.macs import model_facts
from edgeau.benchmarks.provenance import provenance
from edgeau.benchmarks.studies.claims_page import untrained
from edgeau.optimize.quantization.quantize import QuantizeOptions, quantize_package
from edgeau.optimize.scoring import read_evaluation
from edgeau.optimize.search.candidates import Candidate, list_candidates, open_candidate
from edgeau.optimize.search.frames import FrameRunner, face_in_frame
from edgeau.runtime.analyzer import Analyzer
from edgeau.runtime.choose import open_detector
from edgeau.runtime.crop_set import CropSet, fit
from edgeau.runtime.detection import Detector
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.evaluate import evaluate
from edgeau.runtime.files import write_json, write_text
from edgeau.runtime.machine import read_machine
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.terminal import note, say
from edgeau.runtime.timing import time_calls

PRESETS = ("cednn-xs", "cednn-s", "cednn-dw", "cednn-m", "cednn-l")
_UNTRAINED = ("cednn-xs", "cednn-s", "cednn-dw", "cednn-l")
FLAVOURS = ("onnxruntime", "openvino", "tensorrt")
SLICE_S = 0.05


@dataclass(frozen=True)
class Student:
    """A file on a runtime.

    Attributes:
        package: its name.
        reading: variant, backend and precision.
        trained: whether it has trained weights.
        f1: mean F1 on the evaluation data; None without trained weights.
        parameters, macs: of the network.
        size_bytes: of the file.
        crop_ms, frame_ms, stream_ms: medians of the rounds, per crop and per frame.
        rounds: number of measurements.
    """

    package: str
    reading: str
    trained: bool
    f1: float | None
    parameters: int
    macs: int
    size_bytes: int
    crop_ms: float
    frame_ms: float
    stream_ms: float
    rounds: int


class Runner:
    """One candidate, loaded. A call measures it once."""

    def __init__(
        self, package: Package, candidate: Candidate, analyzer: Analyzer, frame: np.ndarray, crops: CropSet
    ) -> None:
        self.package, self.candidate, self.analyzer = package, candidate, analyzer
        self.crop_ms: list[float] = []
        self.frame_ms: list[float] = []
        self.frames = FrameRunner(analyzer, frame, time.perf_counter)
        shape = package.manifest.inputs[0].height
        self._inputs = {
            name: fit(images[:1], shape) for name, images in crops.inputs(package.manifest.takes_neutral).items()
        }

    def __call__(self) -> None:
        self.frame_ms.append(self.frames())
        times_ms = time_calls(lambda: self.analyzer.backend.infer(self._inputs), SLICE_S)
        self.crop_ms.append(float(np.median(times_ms)))


def prepare(package: Package, folder: Path, calibration: str, evaluation: str | None) -> Package:
    """A copy of a package in the folder with INT8 files; what is there is kept."""
    target = folder / package.path.name
    copy = Package.open(target) if target.is_dir() else package.copy_to(target)
    if any(variant.precision == "int8" for variant in copy.manifest.variants):
        return copy
    note(f"quantize {target.name}")
    return quantize_package(target, calibration, QuantizeOptions(FLAVOURS, 100, 0), evaluation=evaluation)[0]


def candidates(package: Package) -> list[Candidate]:
    """FP32 and INT8 on one thread; INT8 as made for the runtime, and the file for TensorRT in OpenVINO."""
    possible, _ = list_candidates(package, "latency")
    made_for = {"int8-ort": "onnxruntime", "int8-openvino": "openvino", "int8-tensorrt": "openvino"}
    return [
        candidate
        for candidate in possible
        if candidate.threads == 1
        and made_for.get(candidate.variant.name, candidate.backend) == candidate.backend
        and (candidate.variant.precision == "fp32" or candidate.inference_precision is None)
    ]


def measure(runners: Sequence[Runner], seconds: float) -> None:
    """Measure all in turns, in random order, for so many seconds."""
    random = np.random.default_rng(0)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for index in random.permutation(len(runners)):
            runners[index]()


def student(runner: Runner, evaluation: CropSet | None) -> Student:
    """What was measured of one, with its F1 where there is evaluation data for it."""
    package, candidate = runner.package, runner.candidate
    facts = model_facts(package.file(package.variant("fp32")))
    f1 = None
    if evaluation is not None:
        f1 = evaluate(runner.analyzer.backend, evaluation, package.manifest, 16).mean_f1
    return Student(
        package=package.manifest.name,
        reading=candidate.reading,
        trained=evaluation is not None,
        f1=f1,
        parameters=facts.parameters or 0,
        macs=facts.macs or 0,
        size_bytes=candidate.variant.size_bytes,
        crop_ms=float(np.median(runner.crop_ms)),
        frame_ms=float(np.median(runner.frame_ms)),
        stream_ms=float(np.median(runner.frames.stream_ms)),
        rounds=len(runner.frame_ms),
    )


def markdown(students: Sequence[Student], where: str) -> str:
    """The table: trained students first, each with the most frames per second first."""
    lines = ["# Speed of students", "", where, ""]
    lines.append("| student | parameters | MMAC | file and runtime | kB | model, ms | frame, ms | frames/s | F1 |")
    lines.append("| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for each in sorted(students, key=lambda one: (not one.trained, one.macs, one.frame_ms)):
        network = f"{each.package} | {each.parameters / 1e3:.0f} k | {each.macs / 1e6:.0f}"
        times = f"{each.crop_ms:.2f} | {each.frame_ms:.2f} | {1e3 / each.stream_ms:.0f}"
        f1 = "untrained" if each.f1 is None else f"{each.f1:.3f}"
        lines.append(f"| {network} | {each.reading} | {each.size_bytes / 1e3:.0f} | {times} | {f1} |")
    lines += ["", "Frames/s is of a stream, whose stages overlap; frame is of one that the next waits for."]
    return "\n".join(lines) + "\n"


def study(args: argparse.Namespace, stack: contextlib.ExitStack) -> tuple[list[Student], str]:
    """Prepare packages, measure, and say on what."""
    args.work.mkdir(parents=True, exist_ok=True)
    trained = [prepare(Package.open(path), args.work, args.calib, args.eval) for path in args.packages]
    fresh = [prepare(_fresh(name, args.work), args.work / "int8", args.calib, None) for name in args.presets]
    crops = {package.path: read_evaluation(args.eval, package.manifest, samples=args.samples) for package in trained}
    if not trained:
        raise InputError("packages", got="none", expected="at least one")
    detector = open_detector(trained[0], "onnxruntime")
    frame = face_in_frame(crops[trained[0].path], detector)
    if frame is None:
        raise InputError(f"--eval {args.eval}", got=f"no crop in which {detector.name} finds a face")
    runners = [
        _open(stack, package, candidate, detector, frame, crops[trained[0].path])
        for package in (*trained, *fresh)
        for candidate in candidates(package)
    ]
    note(f"measure {len(runners)} in turns for {args.seconds:g} s")
    measure(runners, args.seconds)
    machine = read_machine()
    where = (
        f"{machine.cpu}, {os.cpu_count()} cores, one thread per model, detector {detector.name}, a face in "
        f"{frame.shape[1]}x{frame.shape[0]}; F1 on {args.samples} crops of `{args.eval}`; medians of "
        f"{len(runners[0].frame_ms)} rounds."
    )
    return [student(runner, crops.get(runner.package.path)) for runner in runners], where


def _fresh(preset: str, folder: Path) -> Package:
    target = folder / f"{preset}.edgeau"
    return Package.open(target) if target.is_dir() else untrained(preset, folder)


def _open(
    stack: contextlib.ExitStack,
    package: Package,
    candidate: Candidate,
    detector: Detector,
    frame: np.ndarray,
    crops: CropSet,
) -> Runner:
    backend = stack.enter_context(open_candidate(package, candidate))
    return Runner(package, candidate, Analyzer(package.manifest, backend, detector), frame, crops)


def main(arguments: list[str] | None = None) -> int:
    """Prepare, measure, write the files, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", type=Path, default=[shipped_package()], help="with trained weights")
    parser.add_argument("--presets", nargs="*", default=list(_UNTRAINED), choices=PRESETS, help="exported untrained")
    parser.add_argument("--calib", required=True, help="crops to calibrate INT8 on")
    parser.add_argument("--eval", required=True, help="labelled crops")
    parser.add_argument("--samples", type=int, default=400, help="of them (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="in all (default: %(default)s)")
    parser.add_argument("--work", type=Path, required=True, help="folder for packages")
    parser.add_argument("-o", "--out", type=Path, required=True, help="path without suffix")
    args = parser.parse_args(arguments)
    try:
        with contextlib.ExitStack() as stack:
            students, where = study(args, stack)
    except EdgeauError as error:
        note(f"student_speed: {error}")
        return 2
    value: dict[str, Any] = {
        "where": where,
        "students": [dataclasses.asdict(each) for each in students],
        "provenance": dataclasses.asdict(provenance()),
    }
    text = markdown(students, where)
    write_json(args.out.with_suffix(".json"), value)
    write_text(args.out.with_suffix(".md"), text)
    say(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
