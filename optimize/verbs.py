"""This layer's verbs, registered with the command line. Imports nothing heavy: `edgeau --help` reads it."""

from __future__ import annotations

from edgeau.runtime.cli import ON_DEVICE, Verb

VERBS = (
    Verb("import", "edgeau.optimize.commands.import_", "optimize", "turn somebody's ONNX into a package", 40),
    Verb("quantize", "edgeau.optimize.commands.quantize", "optimize", "add INT8 variants to a package", 50),
    Verb(
        "build",
        "edgeau.optimize.commands.build",
        "optimize",
        "build a TensorRT engine, here or for a Jetson",
        52,
        ON_DEVICE,
    ),
    Verb("optimize", "edgeau.optimize.commands.optimize", "optimize", "find the fastest variant on this device", 54),
)
