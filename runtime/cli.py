"""The command line: one table of verbs, each loaded only when it is asked for.

A verb's module has ``add_arguments(parser)`` and ``run(args) -> int``. The table names modules by string, so that
``edgeau run`` on a device needs nothing of the layers above the runtime.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import warnings
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

from .errors import EdgeauError, EdgeauWarning, MissingExtraError


@dataclass(frozen=True)
class Verb:
    """A subcommand: its module, the extra that brings what it imports, and its line in ``edgeau --help``."""

    name: str
    module: str
    extra: str
    help: str


VERBS = (
    Verb("demo", "edgeau.benchmarks.demo", "bench", "the whole chain on what ships with edgeau"),
    Verb("doctor", "edgeau.runtime.commands.doctor", "cpu", "what this machine can run, and what to install"),
    Verb("synth", "edgeau.train.commands.synth", "train", "render faces with known action units"),
    Verb("train", "edgeau.train.commands.train", "train", "train a model"),
    Verb("distill", "edgeau.train.commands.distill", "train", "distil a teacher into a student"),
    Verb("eval", "edgeau.train.commands.eval", "train", "per-AU F1 of a checkpoint or package"),
    Verb("export", "edgeau.export.command", "train", "turn a checkpoint into a package"),
    Verb("import", "edgeau.optimize.commands.import_", "optimize", "turn somebody's ONNX into a package"),
    Verb("quantize", "edgeau.optimize.commands.quantize", "optimize", "add INT8 variants to a package"),
    Verb("build", "edgeau.optimize.commands.build", "optimize", "build a TensorRT engine, here or for a Jetson"),
    Verb("optimize", "edgeau.optimize.commands.optimize", "optimize", "find the fastest variant on this device"),
    Verb("inspect", "edgeau.runtime.commands.inspect", "cpu", "what a package, ONNX or engine is, and what is wrong"),
    Verb("bench", "edgeau.benchmarks.command", "bench", "measure latency, size, memory, energy and accuracy"),
    Verb("run", "edgeau.runtime.commands.run", "cpu", "action units of an image, folder, video or camera"),
    Verb("serve", "edgeau.runtime.commands.serve", "cpu", "answer images over HTTP"),
)

EXIT_OK, EXIT_FAILED, EXIT_WRONG_INPUT = 0, 1, 2


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one verb and return the exit code: 0, 1 for a check that failed, 2 for wrong input or an interruption."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = _wanted(arguments)
    try:
        parser = _parser(verb)
        args = parser.parse_args(arguments)
        if verb is None:
            parser.print_help()
            return EXIT_WRONG_INPUT
        with warnings.catch_warnings():
            warnings.simplefilter("always", EdgeauWarning)
            warnings.showwarning = _show_warning
            return int(args.run(args))
    except EdgeauError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return _complain("interrupted; nothing half-written was left behind")
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does: not an error, and nothing more can be printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as error:
        name = f" {error.filename}" if error.filename else ""
        return _complain(f"{error.strerror or error}:{name}" if name else str(error.strerror or error))


def emit_json(value: Any) -> None:
    """Print one JSON document to standard output, for ``--json``."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def say(text: str = "") -> None:
    """Print a line of a verb's result to standard output, whatever the locale's encoding can show."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print a line of progress or advice to standard error, so that standard output stays the result."""
    encoding = sys.stderr.encoding or "utf-8"
    sys.stderr.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    sys.stderr.flush()


def load_verb(verb: Verb) -> Any:
    """Import a verb's module. Raises MissingExtraError where its layer or its dependencies are not installed."""
    try:
        return importlib.import_module(verb.module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("edgeau.runtime"):
            raise
        if error.name.startswith("edgeau") and error.name != ".".join(verb.module.split(".")[:2]):
            raise EdgeauError(f"`edgeau {verb.name}` is not in this version of edgeau") from error
        raise MissingExtraError(error.name, verb.extra, f"`edgeau {verb.name}`") from error


def _wanted(arguments: List[str]) -> Optional[Verb]:
    table: Dict[str, Verb] = {verb.name: verb for verb in VERBS}
    return table.get(arguments[0]) if arguments else None


def _parser(wanted: Optional[Verb]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeau", description="Facial action unit models from research to the edge.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"edgeau {_version()}")
    subparsers = parser.add_subparsers(metavar="VERB")
    for verb in VERBS:
        if wanted is not None and verb is not wanted:
            continue
        module = load_verb(verb) if verb is wanted else None
        sub = subparsers.add_parser(
            verb.name,
            help=verb.help,
            description=(module.__doc__ or verb.help) if module else verb.help,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if module is not None:
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("edgeau")
    except PackageNotFoundError:
        return "unknown"


def _complain(text: str) -> int:
    note(f"edgeau: {' '.join(text.split())}")
    return EXIT_WRONG_INPUT


def _show_warning(message: Any, category: Any, *_: Any, **__: Any) -> None:
    prefix = "warning" if issubclass(category, EdgeauWarning) else category.__name__
    note(f"edgeau: {prefix}: {message}")
