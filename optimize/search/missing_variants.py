"""The variants that a search needs, made within its time: in a process that is ended where they take too long."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import onnx

from edgeau.optimize.half.variant import NAME as FP16
from edgeau.optimize.half.variant import add_fp16
from edgeau.optimize.quantization.flavours import TARGETS
from edgeau.optimize.quantization.quantize import QuantizeOptions, quantize_package, store
from edgeau.runtime.backends import missing
from edgeau.runtime.errors import EdgeauError, InputError, MissingExtraError
from edgeau.runtime.package import Package

_POLL_S = 0.1


@dataclass(frozen=True)
class Wanted:
    """What to make.

    Attributes:
        calibration, evaluation: data specifications; without the second, parity is measured on the first.
        targets: names of TARGETS.
        half: whether FP16 is made.
        samples: how many crops INT8 is calibrated on.
        eval_samples: how many crops parity is measured on; as many as the search reads, or an AU that is present in one
            of its crops may be absent here, which is refused.
        seed: of random choices.
    """

    calibration: str
    evaluation: str | None
    targets: tuple[str, ...]
    half: bool
    samples: int
    eval_samples: int
    seed: int


def wanted_variants(
    package: Package, calibration: str, evaluation: str | None, samples: int, eval_samples: int, seed: int
) -> Wanted:
    """INT8 for each backend of this machine and FP16, as far as the package lacks them.

    None for TensorRT, which runs engines: a search tries those that `edgeau build` made, and no ONNX file.
    """
    have = {variant.name for variant in package.manifest.variants}
    here = [t for t in TARGETS.values() if t.backend != "tensorrt" and missing(t.backend) is None]
    targets = tuple(target.name for target in here if target.variant not in have)
    return Wanted(calibration, evaluation, targets, FP16 not in have, samples, eval_samples, seed)


def add_variants(
    package: Package, wanted: Wanted, deadline: float, progress: Callable[[str], None]
) -> tuple[Package, dict[str, str]]:
    """Make variants until a time by `time.monotonic`.

    Returns:
        The package with what was made, and by name why the rest was not.

    Raises:
        InputError, EdgeauError: as `quantize_package` and `add_fp16`; the package is as it was then.
    """
    names = [TARGETS[name].variant for name in wanted.targets] + [FP16] * wanted.half
    if not names:
        return package, {}
    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        copy = package.copy_to(Path(folder) / package.path.name)
        _work_until(deadline, copy, wanted, progress)
        made = Package.open(copy.path)
        found = {variant.name: variant for variant in made.manifest.variants}
        for name in names:
            if name in found:
                package = store(package, found[name], onnx.load(made.file(found[name])))
    return package, {name: "not made in the time given; more --minutes" for name in names if name not in found}


def _work_until(deadline: float, copy: Package, wanted: Wanted, progress: Callable[[str], None]) -> None:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=_work, args=(str(copy.path), wanted, sender), daemon=True)
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
            "the process that makes INT8 and FP16 files ended without a word; was memory short?"
        ) from error
    finally:
        worker.kill()
        worker.join()


def _work(path: str, wanted: Wanted, sender: Connection) -> None:
    """Make everything in place, telling the parent how it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    tempfile.tempdir = str(Path(path).parent)  # the parent deletes it, even where this process is killed
    try:
        _make(path, wanted, lambda text: sender.send(("progress", text)))
        sender.send(("done", ""))
    except InputError as error:
        sender.send(("input", str(error)))
    except EdgeauError as error:
        sender.send(("failed", str(error)))
    except ModuleNotFoundError as error:
        sender.send(("failed", str(MissingExtraError(error.name or "a library", "optimize", "making variants"))))
    except Exception as error:  # noqa: BLE001 - the parent knows nothing but what is sent, whatever the reason
        text = " ".join(str(error).split())
        sender.send(("failed", f"INT8 and FP16 files can't be made: {type(error).__name__}: {text}"))


def _make(path: str, wanted: Wanted, tell: Callable[[str], None]) -> None:
    """FP16 first, which takes the least. Each variant is in the package as soon as it is made."""
    if wanted.half:
        tell("converting to FP16")
        data = wanted.evaluation or wanted.calibration
        add_fp16(Package.open(path), data, samples=wanted.eval_samples, seed=wanted.seed)
    if wanted.targets:
        options = QuantizeOptions(wanted.targets, wanted.samples, wanted.seed, eval_samples=wanted.eval_samples)
        quantize_package(path, wanted.calibration, options, evaluation=wanted.evaluation, progress=tell)
