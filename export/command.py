"""Turn a checkpoint into a package with ONNX inside.

The graph takes uint8 crops and returns probabilities. It is compared with the torch model on random and real crops, and
nothing is written if any probability differs by more than 1e-4.

Example:
    edgeau export runs/cednn/best.pt -o cednn.edgeau
"""

from __future__ import annotations

import argparse

from edgeau.runtime import arguments
from edgeau.runtime.manifest import Manifest
from edgeau.runtime.package import Package
from edgeau.runtime.terminal import emit_json, note, say

from .graph import OPSETS
from .package import VARIANT, ExportOptions, export_package


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CKPT", help="a checkpoint of `edgeau train` or `edgeau distill`")
    parser.add_argument("-o", "--output", metavar="PACKAGE", required=True, help="the folder to write: NAME.edgeau")
    parser.add_argument("--name", help="name of the package (default: the folder's)")
    parser.add_argument(
        "--opset", type=arguments.whole(min(OPSETS), max(OPSETS)), default=18, help="ONNX operator set (default: 18)"
    )
    parser.add_argument("--data", metavar="SPEC", help="real crops for the parity check (default: a public photo)")
    parser.add_argument("--notes", help="limits and intended use (default: a note if all training faces were rendered)")
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON")


def run(args: argparse.Namespace) -> int:
    note(f"exporting {args.checkpoint}")
    package = export_package(args.checkpoint, args.output, ExportOptions(args.name, args.opset, args.data, args.notes))
    if args.json:
        emit_json(package.manifest.to_json())
    else:
        say(describe(package))
    return 0


def describe(package: Package) -> str:
    """What was written, the contract of its graph, and a snippet that runs it."""
    variant = package.variant(VARIANT)
    lines = [f"{package.path}: {variant.file}, {variant.size_bytes / 1e6:.2f} MB"]
    if variant.parity is not None:
        lines.append(f"parity with torch: maximum error {variant.parity.max_abs_error:.1e} on {variant.parity.data}")
    return "\n".join([*lines, "", *_contract(package.manifest), "", *_snippet(package)])


def _contract(manifest: Manifest) -> list[str]:
    lines = [
        f"input  {spec.name}: uint8 [N, {spec.height}, {spec.width}, 3], RGB 0..255, cropped as the manifest says"
        for spec in manifest.inputs
    ]
    lines.append(f"output au: float32 [N, {len(manifest.aus)}], probability 0..1 of {' '.join(manifest.aus)}")
    if manifest.expressions:
        names = " ".join(manifest.expressions)
        lines.append(f"output expression: float32 [N, {len(manifest.expressions)}], probability 0..1 of {names}")
    return lines


def _snippet(package: Package) -> list[str]:
    return [
        "import cv2",
        "from edgeau.runtime import load",
        f"analyzer = load({str(package.path)!r})",
        'for face in analyzer(cv2.imread("photo.jpg")):',
        f"    print(face.box_xyxy, face.au[{package.manifest.aus[0]!r}])",
    ]
