"""Build every file of packages with the TensorRT that is here, and compare each engine with FP32.

    python -m edgeau.benchmarks.studies.gpu.engines PACKAGE... -o engines.json

Packages are as `prepare` leaves them, and get the engines. A file that can't be built or that differs is a row that
says so, and the others follow. ``NAME.nncf.onnx`` beside a package is NNCF's INT8 file before it is finished: what
TensorRT makes of it is compared as well, and never stored.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeau.benchmarks.provenance import provenance
from edgeau.optimize.engine.bounds import check_engine
from edgeau.optimize.engine.builder import BuilderSettings, BuildOptions, build_engine
from edgeau.optimize.engine.capabilities import capabilities
from edgeau.optimize.engine.describe import EngineOrigin, make_sidecar
from edgeau.optimize.engine.job import MakeOptions
from edgeau.optimize.engine.library import load_tensorrt
from edgeau.optimize.engine.make import make_engine
from edgeau.optimize.engine.store import parity_line
from edgeau.optimize.engine.verify import fp32_variant
from edgeau.runtime.backends import open_backend
from edgeau.runtime.engine_file import write_sidecar
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.files import sha256_file, write_json
from edgeau.runtime.machine import read_machine
from edgeau.runtime.manifest import Parity
from edgeau.runtime.package import Package
from edgeau.runtime.parity_crops import gather
from edgeau.runtime.terminal import note, say

PRECISIONS = ("fp32", "fp16", "int8")
UNFINISHED = ".nncf.onnx"


def build_row(package: Path, options: MakeOptions) -> dict[str, Any]:
    """Build a precision twice, the second time with the timing cache that the first left; what became of it."""
    row: dict[str, Any] = {"package": package.name, "precision": options.precision}
    try:
        for time_of in ("first_s", "cached_s"):
            started = time.perf_counter()
            engine = make_engine(package, options, report=note)
            row[time_of] = round(time.perf_counter() - started, 3)
    except EdgeauError as error:
        return {**row, "error": str(error)}
    sidecar = engine.sidecar
    return {
        **row,
        "engine": str(engine.path),
        "size_bytes": sidecar.engine_size_bytes,
        "layers": sidecar.layers,
        "parity": sidecar.parity,
        **{key: sidecar.notes.get(key) for key in ("build_s", "cosine", "warnings")},
        "settings": dict(sidecar.settings),
    }


def unfinished_row(package: Package, file: Path, options: MakeOptions) -> dict[str, Any]:
    """What TensorRT makes of an INT8 file that was not finished, however far from FP32 that is."""
    row: dict[str, Any] = {"package": package.path.name, "precision": "int8, not finished"}
    strong = not capabilities(load_tensorrt()).precision_flags
    try:
        built = build_engine(file, BuildOptions("int8", strong, settings=options.builder), report=note)
        row |= {"size_bytes": len(built.plan), "layers": built.layers, "warnings": list(built.warnings)}
        if not options.parity:
            return {**row, "parity": None}
        evidence = gather(package, fp32_variant(package))
        with tempfile.TemporaryDirectory() as folder:
            plan = Path(folder) / "unfinished.engine"
            plan.write_bytes(built.plan)
            sha256 = sha256_file(file)
            origin = EngineOrigin(package.path.name, "NNCF", file.name, sha256, "int8", "int8", options.builder.batch)
            write_sidecar(plan, make_sidecar(built, origin, read_machine()))
            with open_backend("tensorrt", plan) as backend:
                parity, angle = check_engine(backend, evidence, package.manifest, options.builder.batch)
    except EdgeauError as error:
        return {**row, "error": str(error)}
    return {**row, "parity": parity, "cosine": angle}


def main(arguments: Sequence[str] | None = None) -> int:
    """Build all, print a line for each and write the rows. 1 where a precision of a package has no engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, nargs="+")
    parser.add_argument("--batch", type=int, default=64, help="the largest batch (default %(default)s)")
    parser.add_argument("--tactic-sources", help="names of TensorRT's TacticSource, separated by commas")
    parser.add_argument("--skip-parity", action="store_true", help="only build, as TensorRT for RTX can without a GPU")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    sources = None if args.tactic_sources is None else tuple(args.tactic_sources.split(","))
    builder = BuilderSettings((1, 1, args.batch), tactic_sources=sources)
    options = MakeOptions(builder=builder, parity=not args.skip_parity, fall_back=False)
    rows: list[dict[str, Any]] = []
    for path in args.packages:
        package = Package.open(path)
        unfinished = path.parent / f"{path.stem}{UNFINISHED}"
        rows += [build_row(path, dataclasses.replace(options, precision=precision)) for precision in PRECISIONS]
        if unfinished.is_file():
            rows.append(unfinished_row(package, unfinished, options))
        # After each package, so that what was built counts even if the time ends here.
        write_json(args.out, _record(rows))
    for row in rows:
        say(line(row))
    return 1 if any("error" in row for row in rows) else 0


def _record(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    plain = [
        {key: dataclasses.asdict(value) if isinstance(value, Parity) else value for key, value in row.items()}
        for row in rows
    ]
    return {"machine": read_machine().to_json(), "provenance": dataclasses.asdict(provenance()), "rows": plain}


def line(row: dict[str, Any]) -> str:
    """A row in one line."""
    start = f"{row['package']:<24} {row['precision']:<18}"
    if "error" in row:
        return f"{start} {row['error']}"
    size, warnings = f"{row['size_bytes'] / 1e6:6.2f} MB", f"{len(row['warnings'] or ())} warnings"
    return f"{start} {size}  {warnings}; {parity_line(row['parity'])}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeauError as error:
        note(f"edgeau: {error}")
        sys.exit(2)
