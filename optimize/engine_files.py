"""The ONNX files that TensorRT engines are built from: those that a package lacks are made, and all are linted.

TensorRT 10.12 and later take FP16 from the file. TensorRT 8 misreads or refuses operators that a float file may have
(reductions of opset 18, LayerNormalization), so it gets a finished copy. Boards have no onnx; there packages stay as
they are, and bundles made on a PC bring these files.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgeau.optimize.engine.capabilities import Capabilities, capabilities, capabilities_of
from edgeau.optimize.engine.job import MakeOptions
from edgeau.optimize.engine.ladder import Missing, find_rung, rungs_from
from edgeau.optimize.engine.library import flavour, load_tensorrt
from edgeau.runtime.errors import InputError
from edgeau.runtime.package import Package
from edgeau.runtime.parity_crops import default_spec
from edgeau.runtime.report import Report
from edgeau.runtime.targets import JETPACKS, Target

if TYPE_CHECKING:  # lint needs onnx, which boards lack
    from edgeau.optimize.lint import Finding


def prepare_here(path: str, options: MakeOptions, progress: Report) -> None:
    """Make the files that this machine's TensorRT needs, in the package itself, and lint what it will read.

    Args:
        path: the package.
        options: of the engine; its crops are those on which the new files' parity is measured.
        progress: called with a line before each step and for each finding.

    Raises:
        InputError: a file has errors, as `lint_files` says.
    """
    if not _can_make_files():
        return
    trt = load_tensorrt()
    able = capabilities(trt)
    if flavour(trt) != "tensorrt":  # another parser, which numbers its versions otherwise and reads what 10.13 does
        able = capabilities_of((10, 13))
    package = _add_files(Package.open(path), [able], options, progress)
    lint_files(package, [able], options, progress)


def prepare_for(
    package: Package, target: Target | None, options: MakeOptions, folder: Path, progress: Report
) -> Package:
    """The package, or a copy in ``folder`` with the files that a target's TensorRT may need; linted for each of its
    versions.

    Args:
        package: not changed.
        target: a board; None for any.
        options: as in `prepare_here`.
        folder: an empty folder.
        progress: as in `prepare_here`.

    Raises:
        InputError: as in `lint_files`.
    """
    if not _can_make_files():
        return package
    able = [capabilities_of(version) for version in versions_of(target)]
    if any(_lacking(package, each, options.precision) for each in able):
        copy = package.copy_to(folder / package.path.resolve().name)
        package = _add_files(copy, able, options, progress)
    lint_files(package, able, options, progress)
    return package


def _can_make_files() -> bool:
    """Whether ONNX files can be linted and written here, which boards with JetPack 5 can't."""
    return sys.version_info >= (3, 10) and find_spec("onnx") is not None


def versions_of(target: Target | None) -> list[tuple[int, ...]]:
    """The versions of TensorRT that a target may have, the oldest first."""
    jetpacks = JETPACKS if target is None else target.jetpacks
    return sorted({tuple(int(part) for part in jetpack.tensorrt.split(".")) for jetpack in jetpacks})


def lint_files(package: Package, able: Iterable[Capabilities], options: MakeOptions, progress: Report) -> None:
    """Lint each file of the ladder for each TensorRT that may read it, and ask TensorRT's importer if it is here.

    Each finding that is an error is one line; warnings are one line per code.

    Raises:
        InputError: every one of these TensorRTs would get a file with errors.
    """
    from edgeau.optimize.lint import lint, read_onnx

    broken: dict[str, str] = {}
    seen: dict[tuple[str, str], tuple[Finding, ...]] = {}
    told: set[str] = set()
    versions = list(able)
    for each in versions:
        rungs, _ = rungs_from(
            package,
            options.precision,
            each,
            fall_back=options.fall_back,
            dla=options.builder.dla_core is not None,
        )
        reader = f"tensorrt-{each.version}"
        for file in dict.fromkeys(rung.variant.file for rung in rungs):
            if (file, reader) not in seen:
                seen[file, reader] = lint(read_onnx(package.path / file), reader)
            findings = seen[file, reader]
            lines = [f"{file} for {reader}: {f.code} {f.node}: {f.message}" for f in findings if f.severity == "error"]
            if lines:
                broken.setdefault(reader, file)
            for line in [*lines, *_warning_lines(file, findings)]:
                if line not in told:
                    told.add(line)
                    progress(line)
    for line in importer_lines(package, dict.fromkeys(file for file, _ in seen)):
        progress(line)
    if len(broken) == len({each.version for each in versions}):
        reader, file = next(iter(broken.items()))
        raise InputError(
            f"{package.path / file}",
            got="errors that end the build, listed above",
            expected=f"a file that {reader} reads",
            hint=f"edgeau inspect {package.path / file} --target {reader} says why, and --fix FILE fixes what it can",
        )


def importer_lines(package: Package, files: Iterable[str]) -> list[str]:
    """What the importer of TensorRT for RTX says of a package's ONNX files; empty where it is not installed."""
    from edgeau.optimize.lint import read_onnx
    from edgeau.optimize.lint.importer import ask_importer

    verdicts = ((file, ask_importer(read_onnx(package.path / file))) for file in files if file.endswith(".onnx"))
    return [f"{file}: {verdict}" for file, verdict in verdicts if verdict is not None]


def _warning_lines(file: str, findings: Iterable[Finding]) -> list[str]:
    warnings = [finding for finding in findings if finding.severity == "warning"]
    counts = Counter(finding.code for finding in warnings)
    first = {finding.code: finding for finding in reversed(warnings)}
    return [
        f"warning: {file}: {code} {first[code].node}: {first[code].message}" + (f" and {n - 1} more" if n > 1 else "")
        for code, n in counts.items()
    ]


def _lacking(package: Package, able: Capabilities, precision: str) -> list[str]:
    """What a TensorRT needs and the package lacks: ``fp16``, ``fp32``."""
    lacking = []
    wants_half = precision != "fp32" and able.prefers_strong
    if wants_half and isinstance(find_rung(package, "fp16", able), Missing):
        lacking.append("fp16")
    return lacking + (["fp32"] if _misreads(package, able) else [])


def _misreads(package: Package, able: Capabilities) -> bool:
    """Whether the FP32 file that this TensorRT would read has errors for it, and finishing fixes some of them."""
    from edgeau.optimize.lint import fix, lint, read_onnx

    rung = find_rung(package, "fp32", able)
    if isinstance(rung, Missing) or "target" in rung.variant.notes:
        return False
    model, reader = read_onnx(package.file(rung.variant)), f"tensorrt-{able.version}"
    errors = _errors(lint(model, reader))
    return errors > 0 and _errors(fix(model, reader).left) < errors


def _errors(findings: Iterable[Finding]) -> int:
    return sum(finding.severity == "error" for finding in findings)


def _add_files(package: Package, able: Iterable[Capabilities], options: MakeOptions, progress: Report) -> Package:
    from edgeau.optimize.half.variant import add_fp16
    from edgeau.optimize.single import add_fp32_for

    data = options.crops or default_spec(package)
    for each in able:
        lacking = _lacking(package, each, options.precision)
        if "fp16" in lacking:
            progress("making the FP16 file")
            package = add_fp16(package, data)
        if "fp32" in lacking:
            progress(f"finishing the FP32 file for TensorRT {each.version}")
            package = add_fp32_for(package, "tensorrt-8" if each.is_old else "tensorrt", data)
    return package
