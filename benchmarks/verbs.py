"""This layer's verbs, registered with the command line. Imports nothing heavy: `edgeau --help` reads it."""

from __future__ import annotations

from edgeau.runtime.cli import Verb

VERBS = (
    Verb("demo", "edgeau.benchmarks.demo", "bench", "the whole chain on what ships with edgeau", 5),
    Verb("bench", "edgeau.benchmarks.command", "bench", "measure latency, size, memory, energy and accuracy", 80),
)
