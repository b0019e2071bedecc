"""This layer's verbs, registered with the command line. Imports nothing heavy: `edgeau --help` reads it."""

from __future__ import annotations

from edgeau.runtime.cli import Verb

VERBS = (
    Verb("synth", "edgeau.train.commands.synth", "train", "render faces with known action units", 20),
    Verb("data check", "edgeau.train.commands.data_check", "train", "what a data set has and lacks", 16),
    Verb("data prepare", "edgeau.train.commands.data_prepare", "train", "crop a data set's faces once", 18),
    Verb("train", "edgeau.train.commands.train", "train", "train a model", 22),
    Verb("distill", "edgeau.train.commands.distill", "train", "distil a teacher into a student", 24),
    Verb("eval", "edgeau.train.commands.eval", "train", "per-AU F1 of a checkpoint or package", 26),
)
