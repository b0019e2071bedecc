"""Making the variants that a search needs, in a process that is killed if they take too long."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import onnx

from edgeau.optimize.half.variant import NAME as FP16
from edgeau.optimize.half.variant import add_fp16
from edgeau.optimize.quantization.flavours import FLAVOURS
from edgeau.optimize.quantization.quantize import QuantizeOptions, quantize_package
from edgeau.optimize.variants import store
from edgeau.runtime.backends import missing
from edgeau.runtime.errors import EdgeauError, InputError, MissingExtraError
from edgeau.runtime.package import Package
from edgeau.runtime.report import Report

_POLL_S = 0.1


@dataclass(frozen=True)
class MissingVariants:
    """What a package lacks, and how to make it.

    Attributes:
        calibration, evaluation: data specifications; without evaluation data, parity is measured on calibration data.
        flavours: names of FLAVOURS.
        half: whether FP16 is missing.
        samples: number of crops to calibrate INT8 on.
        eval_samples: number of crops to measure parity on; the same as in the search, because with fewer an AU might
            have no positive crop, which is refused.
        seed: of random choices.
    """

    calibration: str
    evaluation: str | None
    flavours: tuple[str, ...]
    half: bool
    samples: int
    eval_samples: int
    seed: int


def missing_variants(
    package: Package, calibration: str, evaluation: str | None, samples: int, eval_samples: int, seed: int
) -> MissingVariants:
    """INT8 for each backend of this machine and FP16, as far as the package lacks them.

    TensorRT runs engines, of which a search uses those that `edgeau build` made. The INT8 file for it is made
    nevertheless, because OpenVINO may run it faster than its own.
    """
    have = {variant.name for variant in package.manifest.variants}
    cpu = [f.name for f in FLAVOURS.values() if f.backend != "tensorrt" and missing(f.backend) is None]
    flavours = tuple(name for name in (*cpu, "tensorrt") if FLAVOURS[name].variant not in have)
    return MissingVariants(calibration, evaluation, flavours, FP16 not in have, samples, eval_samples, seed)


def add_variants(
    package: Package, lacking: MissingVariants, deadline: float, progress: Report
) -> tuple[Package, dict[str, str]]:
    """Make variants until a deadline by `time.monotonic`.

    Returns:
        The package with the new variants, and why the others were not made, by name.

    Raises:
        InputError, EdgeauError: as `quantize_package` and `add_fp16`; the package is unchanged then.
    """
    names = [FLAVOURS[name].variant for name in lacking.flavours] + [FP16] * lacking.half
    if not names:
        return package, {}
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        copy = package.copy_to(Path(folder) / package.path.name)
        _work_until(deadline, copy, lacking, progress)
        copy = Package.open(copy.path)
        variants = {variant.name: variant for variant in copy.manifest.variants}
        for name in names:
            if name in variants:
                package = store(package, variants[name], onnx.load(copy.file(variants[name])))
    return package, {name: "not made in the time given; more --minutes" for name in names if name not in variants}


def _work_until(deadline: float, copy: Package, lacking: MissingVariants, progress: Report) -> None:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=_work, args=(str(copy.path), lacking, sender), daemon=True)
    worker.start()
    sender.close()
    try:
        while time.monotonic() < deadline:
            if not receiver.poll(_POLL_S):
                continue
            kind, text = receiver.recv()
            if kind == "done":
                return
            if kind != "progress":
                raise (InputError if kind == "input" else EdgeauError)(text)
            progress(text)
    except EOFError as error:
        raise EdgeauError(
            "the process that makes INT8 and FP16 files died without a message; was it out of memory?"
        ) from error
    finally:
        worker.kill()
        worker.join()


def _work(path: str, lacking: MissingVariants, sender: Connection) -> None:
    """Make all variants in place and send the parent process how it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent kills this process
    tempfile.tempdir = str(Path(path).parent)  # the parent deletes it, even if this process is killed
    try:
        _make(path, lacking, lambda text: sender.send(("progress", text)))
        sender.send(("done", ""))
    except InputError as error:
        sender.send(("input", str(error)))
    except EdgeauError as error:
        sender.send(("failed", str(error)))
    except ModuleNotFoundError as error:
        sender.send(("failed", str(MissingExtraError(error.name or "a library", "optimize", "making variants"))))
    except Exception as error:  # noqa: BLE001 - the parent must be told whatever went wrong
        text = " ".join(str(error).split())
        sender.send(("failed", f"INT8 and FP16 files can't be made: {type(error).__name__}: {text}"))


def _make(path: str, lacking: MissingVariants, tell: Report) -> None:
    """FP16 first, because it is the fastest to make. Each variant is stored as soon as it is made."""
    if lacking.half:
        tell("converting to FP16")
        data = lacking.evaluation or lacking.calibration
        add_fp16(Package.open(path), data, samples=lacking.eval_samples, seed=lacking.seed)
    if lacking.flavours:
        options = QuantizeOptions(lacking.flavours, lacking.samples, lacking.seed, eval_samples=lacking.eval_samples)
        quantize_package(path, lacking.calibration, options, evaluation=lacking.evaluation, progress=tell)
