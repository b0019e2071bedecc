"""This layer's verbs, registered with the command line. Imports nothing heavy: `edgeau --help` reads it."""

from __future__ import annotations

from edgeau.runtime.cli import Verb

VERBS = (Verb("export", "edgeau.export.command", "train", "turn a checkpoint into a package", 30),)
