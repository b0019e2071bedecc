"""This layer's verbs, registered with the command line. Imports nothing heavy: `edgeau --help` reads it."""

from __future__ import annotations

from edgeau.runtime.cli import Verb

_COMMANDS = "edgeau.benchmarks.commands"

VERBS = (
    Verb("demo", f"{_COMMANDS}.demo", "demo", "the whole chain on what ships with edgeau", 5),
    Verb("bench", f"{_COMMANDS}.bench", "bench", "measure latency, size, memory, energy and accuracy", 80),
    Verb("bench claims", f"{_COMMANDS}.claims", "bench", "test the papers' efficiency claims", 81),
    Verb("bench peers", f"{_COMMANDS}.peers", "bench", "other runtimes and AU tools on the same work", 83),
    Verb("bench chain", f"{_COMMANDS}.chain", "train", "what each step of the chain takes, and how that grows", 84),
    Verb("bench compare", f"{_COMMANDS}.compare", "bench", "whether a new package or run is slower", 82),
)
