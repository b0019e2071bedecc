"""What a bundle's ``install.sh`` runs on the device: build, verify, measure, report.

``python3 -m edgeau.optimize.engine.install FOLDER`` with the bundle's files in FOLDER. Needs numpy and TensorRT.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

from edgeau.runtime.backends import open_backend
from edgeau.runtime.cli import note, say
from edgeau.runtime.engine_file import write_sidecar
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.files import write_json
from edgeau.runtime.machine import Machine, read_machine
from edgeau.runtime.targets import board_of

from .make import Made, make_engine, parity_line
from .measure import measure_latency
from .recipe import REPORT, Recipe, read_recipe


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
    say(f"engine    {report['engine']}")
    say(f"parity    {report['parity_line']}")
    if report["latency"]:
        latency = report["latency"]
        say(f"latency   p50 {latency['p50_ms']:.3f} ms, p99 {latency['p99_ms']:.3f} ms, batch {latency['batch']}")
    return 0


def install(folder: Path) -> Dict[str, Any]:
    """Build the recipe's engine into the bundle's package, measure it and write ``report.json``.

    Raises:
        InputError, PackageError: the bundle is incomplete or altered.
        EngineError: no TensorRT or GPU, the build failed, or the engine differs from FP32 by more than its bound.
    """
    recipe = read_recipe(folder)
    machine = read_machine()
    _compare_board(recipe, machine)
    made = make_engine(folder / recipe.package, recipe.options(folder), machine=machine, report=note)
    latency = _measured(made) if recipe.parity else None
    report = {
        "target": recipe.target,
        "machine": machine.to_json(),
        "engine": f"{recipe.package}/{made.variant.file}",
        "variant": dataclasses.asdict(made.variant),
        "sidecar": made.sidecar.to_json(),
        "parity_line": parity_line(made.sidecar.parity),
        "latency": latency,
        "skipped": list(made.skipped),
    }
    write_json(folder / REPORT, report)
    return report


def _compare_board(recipe: Recipe, machine: Machine) -> None:
    board = board_of(machine.model)
    wanted = recipe.target.split(":")[0]
    if wanted != "any" and (board is None or board.name != wanted):
        note(f"edgeau: this bundle was made for {wanted}; this machine is {machine.model or 'no Jetson'}: going on")


def _measured(made: Made) -> Dict[str, Any]:
    """Latency of the engine, which its sidecar then knows as well."""
    engine = made.package.path / made.variant.file
    note("measuring")
    with open_backend("tensorrt", engine) as backend:
        latency = measure_latency(backend, made.sidecar.batch[1])
    write_sidecar(engine, dataclasses.replace(made.sidecar, notes={**made.sidecar.notes, "latency": latency}))
    return latency


if __name__ == "__main__":
    sys.exit(main())
