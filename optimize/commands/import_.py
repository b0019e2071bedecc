"""Make a package of an ONNX file of an AU model, or of an emotion model, that was trained elsewhere.

Casting, layout, colour order, mean and standard deviation become part of the graph, and the result is compared with
the original. The model's input is (pixel / scale - mean) / std.

Example:
    edgeau import theirs.onnx --aus 1,2,4,6,12 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 \\
        --activation sigmoid -o theirs.edgeau
    edgeau import emotions.onnx --classes neutral,happiness,surprise,anger --activation softmax -o emotions.edgeau
"""

from __future__ import annotations

import argparse

from edgeau.optimize.importing.importer import ImportOptions, import_model
from edgeau.optimize.importing.wrap import ACTIVATIONS, COLOURS, LAYOUTS, Wrapping
from edgeau.runtime import arguments
from edgeau.runtime.action_units import parse_aus
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.runtime.terminal import EXIT_OK, emit_json, note, say

_DEFAULTS = Wrapping()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgeau import`."""
    parser.add_argument("model", metavar="MODEL.onnx", help="float ONNX with one image input")
    names = parser.add_mutually_exclusive_group(required=True)
    names.add_argument("--aus", help="AUs in the order of the output: 1,2,4 or bp4d, disfa")
    names.add_argument("--classes", help="names in the order of the output, if they aren't AUs: neutral,happiness")
    parser.add_argument("-o", "--out", required=True, metavar="PACKAGE", help="package to write")
    parser.add_argument("--layout", choices=LAYOUTS, default=_DEFAULTS.layout, help="of the input (%(default)s)")
    parser.add_argument("--colour", choices=COLOURS, default=_DEFAULTS.colour, help="of the input (%(default)s)")
    parser.add_argument("--mean", default="0", help="one number, or one per channel in the model's order (%(default)s)")
    parser.add_argument("--std", default="1", help="likewise (%(default)s)")
    parser.add_argument(
        "--scale", type=arguments.positive, default=_DEFAULTS.scale, help="pixels are divided by it (%(default)s)"
    )
    parser.add_argument(
        "--size",
        type=arguments.whole(1, 8192),
        metavar="PIXELS",
        help="side of the input, if dynamic",
    )
    parser.add_argument("--output", metavar="NAME", help="the output with the AUs, if there are several")
    parser.add_argument(
        "--activation", choices=ACTIVATIONS, default=_DEFAULTS.activation, help="to apply to the output (%(default)s)"
    )
    parser.add_argument(
        "--intensity-max", type=arguments.positive, metavar="MAX", help="outputs are intensities up to this: 5"
    )
    parser.add_argument(
        "--threshold", type=arguments.probability, help="presence threshold (0.5; for intensities that of FACS 2)"
    )
    parser.add_argument(
        "--template",
        metavar="X,Y,...",
        help="x and y of right eye, left eye, nose, right and left mouth corner in its crops, as fractions of the side",
    )
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON")


def run(args: argparse.Namespace) -> int:
    """Import, and print a summary and the next command."""
    wrapping = Wrapping(
        layout=args.layout,
        colour=args.colour,
        mean=_numbers("--mean", args.mean),
        std=_numbers("--std", args.std),
        scale=args.scale,
        output=args.output,
        activation=args.activation,
        intensity_max=args.intensity_max,
    )
    kind = "aus" if args.classes is None else "classes"
    names = parse_aus(args.aus) if args.classes is None else _classes(args.classes)
    options = ImportOptions(names, wrapping, args.size, args.threshold, _crop(args.template), kind)
    note(f"importing {args.model}")
    package = import_model(args.model, args.out, options)
    if args.json:
        emit_json(package.manifest.to_json())
        return EXIT_OK
    variant = package.manifest.variants[0]
    error = variant.parity.max_abs_error if variant.parity else 0.0
    side = package.manifest.crop.size_px
    counted = f"{len(names)} {'AUs' if kind == 'aus' else kind}"
    say(f"{package.path}: {counted}, crops of {side} x {side}, {variant.size_bytes / 1e6:.2f} MB")
    say(f"compared with the original on random images: error at most {error:.1e}")
    say(f"next: edgeau quantize {package.path} --calib DATA, or edgeau run PHOTO -p {package.path}")
    return EXIT_OK


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(name, got=text, expected="numbers such as 0.485,0.456,0.406") from None


def _classes(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) != len(names):
        raise InputError("--classes", got=repr(text), expected="distinct names such as neutral,happiness")
    return names


def _crop(text: str | None) -> CropSpec:
    if text is None:
        return CropSpec()
    values = _numbers("--template", text)
    if len(values) != 10:
        raise InputError("--template", got=f"{len(values)} numbers", expected="10: x,y of five points")
    points = tuple((values[i], values[i + 1]) for i in range(0, 10, 2))
    return CropSpec(template=points)
