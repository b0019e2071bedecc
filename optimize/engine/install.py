"""What a bundle's ``install.sh`` runs on the device: build, verify, measure, report.

``python3 -m edgeau.optimize.engine.install FOLDER`` with the bundle's files in FOLDER. Needs numpy and TensorRT.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Optional, Sequence

from edgeau.runtime.backends import open_backend
from edgeau.runtime.engine_file import write_sidecar
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.machine import Machine, read_machine
from edgeau.runtime.targets import board_of
from edgeau.runtime.terminal import note, say

from .detector import build_detector
from .device_report import REPORT, DeviceReport, MeasuredLatency, write_report
from .make import make_engine
from .measure import measure_latency
from .recipe import Recipe, read_recipe
from .store import StoredEngine, parity_line


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Do what the recipe says and return the exit code: 0, or 2 with one line on standard error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        report = install(Path(words[0] if words else "."))
    except EdgeauError as error:
        note(f"edgeau: {error}")
        return 2
    except OSError as error:
        note(f"edgeau: {error.strerror or error}: {error.filename or ''}")
        return 2
    except KeyboardInterrupt:
        note("edgeau: interrupted; nothing half-written was left behind")
        return 2
    say(f"engine    {report.engine}")
    say(f"parity    {report.parity_line}")
    if report.latency is not None:
        latency = report.latency
        say(f"latency   p50 {latency.p50_ms:.3f} ms, p99 {latency.p99_ms:.3f} ms, batch {latency.batch}")
    return 0


def install(folder: Path) -> DeviceReport:
    """Build the recipe's engine into the bundle's package, measure it and write ``report.json``.

    Raises:
        InputError, PackageError: the bundle is incomplete or altered.
        EngineError: no TensorRT or GPU, the build failed, or the engine differs from FP32 by more than its bound.
    """
    recipe = read_recipe(folder)
    machine = read_machine()
    _compare_board(recipe, machine)
    engine = make_engine(folder / recipe.package, recipe.options_in(folder), machine=machine, report=note)
    for path in build_detector(
        folder / recipe.package, recipe.options.precision, machine=machine, report=note, check=recipe.options.parity
    ):
        note(f"built {path.relative_to(folder)}")
    report = DeviceReport(
        target=recipe.target,
        machine=machine.to_json(),
        engine=f"{recipe.package}/{engine.variant.file}",
        variant=dataclasses.asdict(engine.variant),
        sidecar=engine.sidecar.to_json(),
        parity_line=parity_line(engine.sidecar.parity),
        # An engine that can't be run here for parity can't be run to be measured either.
        latency=_measure(engine) if recipe.options.parity else None,
        skipped=engine.skipped,
    )
    write_report(folder / REPORT, report)
    return report


def _compare_board(recipe: Recipe, machine: Machine) -> None:
    board = board_of(machine.model)
    target = recipe.target.split(":")[0]
    if target != "any" and (board is None or board.name != target):
        note(f"edgeau: this bundle was made for {target}; this machine is {machine.model or 'no Jetson'}: going on")


def _measure(engine: StoredEngine) -> MeasuredLatency:
    """Latency of the engine, which is kept in its sidecar as well."""
    note("measuring")
    with open_backend("tensorrt", engine.path) as backend:
        latency = measure_latency(backend, engine.sidecar.batch[1])
    notes = {**engine.sidecar.notes, "latency": dataclasses.asdict(latency)}
    write_sidecar(engine.path, dataclasses.replace(engine.sidecar, notes=notes))
    return latency


if __name__ == "__main__":
    sys.exit(main())
