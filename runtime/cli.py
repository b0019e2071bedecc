"""The command line: verbs, each imported only when it is used.

A verb's module has ``add_arguments(parser)`` and ``run(args) -> int``. The runtime's own verbs are below. Layers above
it register theirs under the entry point group ``edgeau.verbs``, whose values are sequences of `Verb` in modules that
import nothing heavy, so that ``edgeau --help`` is fast; ``edgeau run`` on a device doesn't look them up at all.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import warnings
from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, TextIO, Tuple

from . import plugins
from .arguments import Parser
from .crash_log import describe_crash
from .errors import EdgeauError, EdgeauWarning, InputError, MissingExtraError
from .interrupts import exit_code, raise_on_signals
from .terminal import EXIT_OK, EXIT_WRONG_INPUT, discard, note
from .version import __version__


@dataclass(frozen=True)
class Verb:
    """A subcommand.

    Attributes:
        name: one word, or two such as ``bench compare``.
        module: the name of its module.
        extra: the extra that installs the module's dependencies.
        help: its line in ``edgeau --help``.
        rank: position of that line; the list follows a model from its data to a device.
        python: the oldest version of Python that the module supports.
    """

    name: str
    module: str
    extra: str
    help: str
    rank: int
    python: Tuple[int, int] = (3, 10)


GROUP = "edgeau.verbs"
_COMMANDS = "edgeau.runtime.commands"
ON_DEVICE = (3, 8)  # the Python of JetPack 5
RUNTIME_VERBS = (
    Verb("doctor", f"{_COMMANDS}.doctor", "cpu", "what this machine can run, and what to install", 10, ON_DEVICE),
    Verb(
        "inspect", f"{_COMMANDS}.inspect", "cpu", "what a package, ONNX or engine is, and what is wrong", 70, ON_DEVICE
    ),
    Verb("run", f"{_COMMANDS}.run", "cpu", "action units of an image, folder, video or camera", 90, ON_DEVICE),
    Verb("serve", f"{_COMMANDS}.serve", "serve", "answer pictures over HTTP, and a live page", 95, ON_DEVICE),
)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one verb and return the exit code.

    0 on success; 1 if a check failed; 2 for wrong input; 128 plus the signal's number after a signal (130: Ctrl-C).
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except EdgeauError as error:
        return _complain(str(error))
    except KeyboardInterrupt as error:
        _complain("interrupted; nothing half-written was left behind")
        return exit_code(error)
    except BrokenPipeError:
        # The reader of our output has gone, as with `| head`: not an error, and nothing more can be printed.
        discard(sys.stdout)
        return EXIT_OK
    except OSError as error:
        _discard_if_full(sys.stdout)
        name = f" {error.filename}" if error.filename else ""
        return _complain(f"{error.strerror or error}:{name}" if name else str(error.strerror or error))
    except Exception as error:  # noqa: BLE001 - the last resort: a line for the user, the traceback for the developer
        return _complain(describe_crash(error))


def _run(arguments: List[str]) -> int:
    verb = _find_verb(arguments)
    if verb is not None:
        arguments = [verb.name, *arguments[len(verb.name.split()) :]]
    parser = _parser(verb)
    args = parser.parse_args(arguments)
    if verb is None:
        parser.print_help()
        return EXIT_WRONG_INPUT
    with raise_on_signals(), warnings.catch_warnings():
        warnings.simplefilter("always", EdgeauWarning)
        # `edgeau run` says so itself, after what it runs.
        warnings.filterwarnings("ignore", message="YuNet's file is not here", category=EdgeauWarning)
        warnings.showwarning = _show_warning
        return int(args.run(args))


def _open_closed_streams() -> None:
    """Open the standard streams to the null device if the process was started without them (``<&- >&- 2>&-``).

    Otherwise the next file to be opened would get the stream's number, and libraries would print into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the process ends


def _discard_if_full(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        discard(stream)


def load_verb(verb: Verb) -> Any:
    """Import a verb's module.

    Raises:
        MissingExtraError: its layer or its dependencies are not installed.
        InputError: it needs a newer Python.
    """
    if sys.version_info < verb.python:
        expected = ".".join(map(str, verb.python)) + " or newer"
        raise InputError(f"Python for `edgeau {verb.name}`", got=platform.python_version(), expected=expected)
    try:
        return importlib.import_module(verb.module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("edgeau.runtime"):
            raise
        if error.name.startswith("edgeau") and error.name != ".".join(verb.module.split(".")[:2]):
            raise EdgeauError(f"`edgeau {verb.name}` is not in this version of edgeau") from error
        raise MissingExtraError(error.name, verb.extra, f"`edgeau {verb.name}`") from error


def all_verbs() -> Tuple[Verb, ...]:
    """The runtime's verbs and those that installed layers have registered, in the order of ``edgeau --help``."""
    return tuple(sorted([*RUNTIME_VERBS, *_registered_verbs()[0]], key=lambda verb: verb.rank))


def _registered_verbs() -> Tuple[List[Verb], List[str]]:
    """Verbs of the layers above, and the names of registered layers that can't be imported here."""
    verbs: List[Verb] = []
    absent: List[str] = []
    for name, point in plugins.registered(GROUP).items():
        try:
            verbs += point.load()
        except ModuleNotFoundError:
            absent.append(name)
    return verbs, absent


def _find_verb(arguments: List[str]) -> Optional[Verb]:
    """The verb of the first two words or the first; None if they start with an option. Raises InputError if unknown."""
    if not arguments or arguments[0].startswith("-"):
        return None
    by_name = {verb.name: verb for verb in RUNTIME_VERBS}
    if arguments[0] not in by_name:
        by_name = {verb.name: verb for verb in all_verbs()}
    verb = by_name.get(" ".join(arguments[:2])) or by_name.get(arguments[0])
    if verb is None:
        raise InputError("verb", got=" ".join(arguments[:1]), expected=", ".join(by_name), hint=_install_hint())
    return verb


def _install_hint() -> Optional[str]:
    if not plugins.registered(GROUP):
        return "verbs of other layers are not registered here; type: pip install edgeau"
    absent = _registered_verbs()[1]
    return f"not installed here: {', '.join(absent)}; type: pip install edgeau" if absent else None


def _parser(asked: Optional[Verb]) -> Parser:
    parser = Parser(
        prog="edgeau", description="Facial action unit models from research to the edge.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"edgeau {__version__}")
    subparsers = parser.add_subparsers(metavar="VERB")
    for verb in all_verbs() if asked is None else (asked,):
        module = load_verb(verb) if asked else None
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


def _complain(text: str) -> int:
    note(f"edgeau: {' '.join(text.split())}")
    return EXIT_WRONG_INPUT


def _show_warning(message: Any, category: Any, *_: Any, **__: Any) -> None:
    prefix = "warning" if issubclass(category, EdgeauWarning) else category.__name__
    note(f"edgeau: {prefix}: {message}")
