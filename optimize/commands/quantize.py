"""Add INT8 variants to a package, one per target, with NNCF.

The variants are int8-ort, int8-openvino, int8-tensorrt and, with FP16 instead of float for strongly typed networks,
int8-tensorrt-fp16. Each is compared with FP32, and the result is in the manifest.

Example:
    edgeau quantize cednn.edgeau --calib synthetic:subjects=8,frames=16
    edgeau quantize cednn.edgeau --calib crops/train --eval crops/test --max-drop 0.005 -o cednn-int8.edgeau
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from edgeau.optimize.quantization.flavours import FLAVOURS
from edgeau.optimize.quantization.quantize import QuantizedVariant, QuantizeOptions, quantize_package
from edgeau.runtime import arguments
from edgeau.runtime.terminal import EXIT_FAILED, EXIT_OK, emit_json, note, say

_DEFAULTS = QuantizeOptions()
_MANY_FLIPS = 0.02
_DATA = "crop set, folder of images, .npz, or synthetic:subjects=8,frames=16"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgeau quantize`."""
    parser.add_argument("package", help="package with an FP32 variant")
    parser.add_argument("--calib", required=True, metavar="DATA", help=f"calibration data: {_DATA}")
    parser.add_argument(
        "--targets", default=",".join(_DEFAULTS.flavours), help=f"some of {', '.join(FLAVOURS)} (default: %(default)s)"
    )
    parser.add_argument(
        "--samples", type=arguments.positive_int, default=_DEFAULTS.samples, help="crops to calibrate on (%(default)s)"
    )
    parser.add_argument("--seed", type=arguments.seed, default=_DEFAULTS.seed, help="of random choices (%(default)s)")
    parser.add_argument("--eval", metavar="DATA", help="data on which parity and the accuracy budget are measured")
    parser.add_argument(
        "--max-drop",
        type=arguments.share_below_1,
        metavar="SHARE",
        help="revert layers to float until mean F1 (without labels: unchanged decisions) falls by at most this",
    )
    parser.add_argument("-o", "--out", metavar="OUT_PACKAGE", help="write a new package and leave this one as it is")
    parser.add_argument("--json", action="store_true", help="print the variants as JSON")


def run(args: argparse.Namespace) -> int:
    """Quantize and print the variants. Returns 1 if the accuracy budget could not be held."""
    options = QuantizeOptions(
        flavours=tuple(name.strip() for name in args.targets.split(",") if name.strip()),
        samples=args.samples,
        seed=args.seed,
        max_drop=args.max_drop,
    )
    package, variants = quantize_package(
        args.package, args.calib, options, evaluation=args.eval, out=args.out, progress=note
    )
    written = [package.variant(item.variant.name) for item in variants]
    if args.json:
        emit_json({"package": str(package.path), "variants": [dataclasses.asdict(v) for v in written]})
    else:
        _print(package.manifest.variant(variants[0].variant.made_from or "fp32").size_bytes, variants, written)
        say(f"in {package.path}")
    return EXIT_OK if all(item.restored is None or item.restored.held for item in variants) else EXIT_FAILED


def _print(float_bytes: int, variants: list[QuantizedVariant], written: list[Any]) -> None:
    say(f"{'variant':<20}{'kB':>8}{'of fp32':>9}{'SQNR dB':>9}{'max err':>9}{'flipped':>12}  in float")
    for variant in written:
        parity = variant.parity
        ratio = "exact" if parity.sqnr_db is None else f"{parity.sqnr_db:.1f}"
        flipped = f"{parity.decisions_flipped}/{parity.decisions}"
        layers = variant.notes["float_layers"]
        say(
            f"{variant.name:<20}{variant.size_bytes / 1e3:>8.0f}{variant.size_bytes / float_bytes:>9.0%}{ratio:>9}"
            f"{parity.max_abs_error:>9.4f}{flipped:>12}  {len(layers)} layer{'s' * (len(layers) != 1)}"
        )
    for item in variants:
        if item.restored is not None:
            _print_budget(item)
    for variant in written:
        if variant.parity.decisions_flipped > _MANY_FLIPS * variant.parity.decisions:
            note(
                f"{variant.name} decides differently from FP32 in {variant.parity.decisions_flipped} of "
                f"{variant.parity.decisions} cases; give --eval DATA --max-drop 0.005 to revert layers to float"
            )


def _print_budget(item: QuantizedVariant) -> None:
    restored = item.restored
    assert restored is not None
    verdict = "holds" if restored.held else "DOES NOT HOLD"
    say(
        f"{item.variant.name}: {restored.metric} fp32 {restored.reference:.4f}, int8 {restored.before:.4f}, "
        f"now {restored.after:.4f}; a drop of {restored.max_drop:g} {verdict}"
    )
    if restored.reverted:
        say(f"  back in float: {', '.join(restored.reverted)}")
    if restored.latency_ms_before is not None and restored.latency_ms_after is not None:
        say(f"  one crop took {restored.latency_ms_before:.3f} ms and takes {restored.latency_ms_after:.3f} ms")
