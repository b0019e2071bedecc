"""Measure a package beside other runtimes on the same FP32 file, and beside published AU tools' networks.

Every variant of the package, every peer whose library is installed, and the tools' architectures are measured in the
same rounds. A peer is compared only if its probabilities agree with FP32's. Without a package, the one that ships with
edgeau. LiteRT needs a file that was converted from the package's fp32.onnx, by onnx2tf for instance. After Ctrl-C the
rounds until then are shown and written, marked as interrupted. Whole AU tools are shown as others published them.

example:
  edgeau bench peers
  edgeau bench peers cednn.edgeau --threads 2 --peers torch,opencv,ncnn -o peers.json
  edgeau bench peers cednn.edgeau --tflite cednn.tflite --clip clip.mp4
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from edgeau.benchmarks.measurement import BenchOptions
from edgeau.benchmarks.peers.clip import measure_clip
from edgeau.benchmarks.peers.evaluate import evaluate
from edgeau.benchmarks.peers.page import lines, to_json
from edgeau.benchmarks.peers.runtimes import PEERS, litert
from edgeau.benchmarks.peers.tool_networks import TOOLS
from edgeau.benchmarks.records import write_records
from edgeau.runtime import arguments
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import is_replaceable
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.terminal import EXIT_OK, emit_json, note, say

from .bench import add_time_arguments, bench_options

OPTIONS = BenchOptions(memory=False, energy=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "package", nargs="?", metavar="PACKAGE", default=shipped_package(), help="package (default: the shipped one)"
    )
    parser.add_argument("--peers", help=f"comma-separated, or none (default: {','.join(PEERS)})")
    parser.add_argument("--tools", help=f"comma-separated, or none (default: {','.join(TOOLS)})")
    parser.add_argument("--tflite", type=Path, metavar="FILE", help="the package's FP32 file as TensorFlow Lite")
    parser.add_argument("--clip", type=Path, metavar="FILE", help="also edgeau's frames per second on this video")
    parser.add_argument("--threads", type=arguments.threads, default=1, help="CPU threads (default: %(default)s)")
    add_time_arguments(parser, OPTIONS)
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="write JSON here as well: .json or .json.gz")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")


def run(args: argparse.Namespace) -> int:
    peers = [PEERS[name] for name in _names("--peers", args.peers, PEERS)]
    tools = _names("--tools", args.tools, TOOLS)
    if args.tflite is not None:
        if not args.tflite.is_file():
            raise InputError("--tflite", got=f"no file {args.tflite}", expected="a TensorFlow Lite file")
        peers.append(litert(args.tflite))
    if args.out:
        is_replaceable(args.out)  # now, because measuring takes long
    package = Package.open(args.package)
    options = bench_options(args, OPTIONS)
    clip = None if args.clip is None else measure_clip(package.path, args.clip, progress=note)
    comparison = evaluate(package, peers, options, args.threads, tools, note)
    value = to_json(comparison, package.manifest.name, options, clip)
    if args.out:
        write_records(args.out, value)
    if args.json:
        emit_json(value)
    else:
        for line in lines(value):
            say(line)
    return EXIT_OK


def _names(option: str, text: str | None, known: Mapping[str, object]) -> list[str]:
    if text is None:
        return list(known)
    names = [] if text == "none" else text.split(",")
    for name in names:
        if name not in known:
            raise InputError(option, got=name or "nothing", expected=f"none, or some of {', '.join(known)}")
    return names
