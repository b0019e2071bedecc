"""Build a TensorRT engine: here, as a bundle for a Jetson, or on a Jetson over ssh.

The engine is compared with FP32 before it is kept. Where a precision can't be built on the device, the next lower one
is, and the report says why.

Example:
    edgeau build cednn.edgeau --precision int8
    edgeau build cednn.edgeau --target orin-nano:6.2 -o cednn-orin-nano.sh
    edgeau build cednn.edgeau --host user@jetson
    edgeau build cednn.edgeau --detector face_detection_yunet_2023mar.onnx --detector-data pictures/
    edgeau build cednn.edgeau --triton models/
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import tempfile
from pathlib import Path
from typing import Any

from edgeau.optimize.detector_files import add_detector
from edgeau.optimize.engine.builder import BuilderSettings
from edgeau.optimize.engine.bundle import bundle_name, make_bundle
from edgeau.optimize.engine.detector import DEFAULT_SIZES, build_detector, read_sizes
from edgeau.optimize.engine.job import MakeOptions
from edgeau.optimize.engine.ladder import LADDER
from edgeau.optimize.engine.make import make_engine
from edgeau.optimize.engine.remote import build_on_host
from edgeau.optimize.engine.store import StoredEngine, parity_line
from edgeau.optimize.engine.triton import write_repository
from edgeau.optimize.engine_files import prepare_for, prepare_here
from edgeau.runtime import arguments
from edgeau.runtime.errors import InputError
from edgeau.runtime.package import Package
from edgeau.runtime.targets import BOARDS, parse_target
from edgeau.runtime.terminal import EXIT_OK, emit_json, note, say

_DEFAULTS = BuilderSettings()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgeau build`."""
    add = parser.add_argument
    add("package", help="package with the ONNX variants")
    add("--precision", default="int8", choices=LADDER, help="where the ladder starts (%(default)s)")
    add("--batch", default="1,1,1", metavar="MIN,OPT,MAX", help="batches of the optimisation profile (%(default)s)")
    add(
        "--workspace-mib",
        type=arguments.positive_int,
        metavar="N",
        help="scratch memory for tactics, in MiB (TensorRT's own limit)",
    )
    add("--level", type=arguments.whole(0, 5), metavar="0..5", help="builder optimisation level (TensorRT's own)")
    add("--tactics", metavar="A,B", help="tactic sources, such as CUDNN,JIT_CONVOLUTIONS (TensorRT's own)")
    dla = "build FP16 for this DLA core, with the GPU for layers it can't run"
    add("--dla", type=arguments.whole(0, 15), metavar="CORE", help=dla)
    share = "largest share of layers that may fall back from DLA to the GPU (%(default)s)"
    add("--dla-fallback", type=arguments.share, default=_DEFAULTS.dla_fallback, metavar="SHARE", help=share)
    add("--exactly", action="store_true", help="fail rather than go down to a lower precision")
    add("--crops", metavar="DATA", help="crops for parity (the package's own, or those that ship with edgeau)")
    add("--skip-parity", action="store_true", help="keep the engine without comparing it with FP32")
    add("--detector", metavar="FILE", help="YuNet's ONNX file: build engines of it as well, for `load()` to use")
    sizes = ",".join(f"{width}x{height}" for height, width in DEFAULT_SIZES)
    add("--detector-size", default=sizes, metavar="WxH,...", help="sizes of its images (%(default)s)")
    add("--detector-data", metavar="SOURCE", help="pictures with faces, to check its engines and to calibrate INT8")
    boards = ", ".join(board.name for board in BOARDS)
    add("--target", metavar="BOARD[:JETPACK]", help=f"make a bundle for a board: {boards}")
    add("--host", metavar="USER@HOST", help="build there over ssh, and fetch engine, sidecar and report")
    add("--ssh", default="ssh", metavar="COMMAND", help="ssh with options, such as 'ssh -p 2222 -i KEY' (%(default)s)")
    add("--wheel", metavar="FILE", help="edgeau wheel to put into a bundle (made from this installation)")
    add("-o", "--out", metavar="FILE", help="name of the bundle")
    add("--triton", metavar="DIR", help="write a Triton model repository from what the package has")
    add("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Build, and print what was built."""
    options = read_options(args)
    if sum(map(bool, (args.target, args.host, args.triton))) > 1:
        raise InputError("--target, --host and --triton", got="more than one of them", expected="one at a time")
    if args.detector and (args.triton or args.host):
        raise InputError("--detector", got="--triton or --host", expected="a build here, or --target for a bundle")
    if args.detector_data and not args.detector:
        raise InputError("--detector-data", got="no --detector", expected="--detector FILE, YuNet's ONNX")
    sizes = read_sizes(args.detector_size)
    if args.triton:
        return _triton(args)
    if args.detector:
        package = Package.open(args.package)
        add_detector(package, args.detector, args.detector_data, sizes=sizes, progress=note)
    if args.host:
        return _on_host(args, options)
    if args.target:
        return _bundle(args, options)
    prepare_here(args.package, options, note)
    engine = make_engine(args.package, options, report=note)
    detector = build_detector(args.package, options.precision, report=note, check=options.parity)
    if args.json:
        emit_json({**_as_json(engine), "detector": [str(path) for path in detector]})
    else:
        _print(engine)
        for path in detector:
            say(f"{path}: {path.stat().st_size / 1e6:.2f} MB, the detector")
    return EXIT_OK


def _bundle(args: argparse.Namespace, options: MakeOptions) -> int:
    board = parse_target(args.target)
    target = board.name
    package = Package.open(args.package)
    out = Path(args.out or bundle_name(package, target))
    with tempfile.TemporaryDirectory(prefix="edgeau-build-") as work:
        source = prepare_for(package, board, options, Path(work), note)
        bundle = make_bundle(source, target, options, out, wheel=args.wheel)
    if args.json:
        emit_json({**dataclasses.asdict(bundle), "path": str(bundle.path)})
        return EXIT_OK
    say(f"{bundle.path}: {bundle.size_bytes / 1e6:.2f} MB for {target}, with {bundle.samples} crops for parity:")
    for name in bundle.contents:
        say(f"  {name}")
    say(f"copy it to the device and type: sh {shlex.quote(bundle.path.name)}")
    return EXIT_OK


def _on_host(args: argparse.Namespace, options: MakeOptions) -> int:
    package = Package.open(args.package)
    with tempfile.TemporaryDirectory(prefix="edgeau-build-") as work:
        source = prepare_for(package, None, options, Path(work), note)
        ssh = shlex.split(args.ssh)
        fetched = build_on_host(package, args.host, options, source=source, wheel=args.wheel, ssh=ssh, report=note)
    if args.json:
        emit_json(fetched.report.to_json())
        return EXIT_OK
    _print(fetched.engine)
    latency = fetched.report.latency
    if latency is not None:
        say(f"  on {args.host}: p50 {latency.p50_ms:.3f} ms, p99 {latency.p99_ms:.3f} ms")
    return EXIT_OK


def _triton(args: argparse.Namespace) -> int:
    repository = write_repository(Package.open(args.package), args.triton)
    if args.json:
        value = {"path": str(repository.path), "models": repository.models, "left_out": repository.left_out}
        emit_json(value)
        return EXIT_OK
    for line in repository.left_out:
        note(f"left out {line}")
    for name in repository.models:
        say(str(repository.path / name))
    say(f"serve them with: tritonserver --model-repository={shlex.quote(str(repository.path.resolve()))}")
    return EXIT_OK


def read_options(args: argparse.Namespace) -> MakeOptions:
    """The options of the command line. Raises InputError."""
    builder = BuilderSettings(
        batch=read_batch(args.batch),
        workspace_mib=_positive("--workspace-mib", args.workspace_mib),
        optimization_level=args.level,
        tactic_sources=tuple(args.tactics.split(",")) if args.tactics else None,
        dla_core=args.dla,
        dla_fallback=args.dla_fallback,
    )
    return MakeOptions(
        precision=args.precision,
        builder=builder,
        crops=args.crops,
        parity=not args.skip_parity,
        fall_back=not args.exactly,
    )


def read_batch(text: str) -> tuple[int, int, int]:
    """Read ``1,1,8``, or ``4`` for a fixed batch. Raises InputError."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3:
        raise InputError("--batch", got=text, expected="smallest,preferred,largest such as 1,1,8, or one number")
    return numbers[0], numbers[1], numbers[2]


def _positive(name: str, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise InputError(name, got=str(value), expected="1 or more")
    return value


def _as_json(engine: StoredEngine) -> dict[str, Any]:
    return {
        "package": str(engine.package.path),
        "engine": str(engine.path),
        "variant": dataclasses.asdict(engine.variant),
        "sidecar": engine.sidecar.to_json(),
        "skipped": list(engine.skipped),
    }


def _print(engine: StoredEngine) -> None:
    sidecar = engine.sidecar
    for line in sidecar.ladder:
        say(f"could not build {line}")
    say(f"{engine.path}: {engine.variant.size_bytes / 1e6:.2f} MB")
    say(
        f"  {sidecar.precision} from {sidecar.onnx_file}, TensorRT {sidecar.tensorrt}, built in "
        f"{sidecar.notes['build_s']:.1f} s, {sidecar.layers} layers"
        + (f", {len(sidecar.fell_back)} of them on the GPU instead of DLA" if sidecar.fell_back else "")
    )
    say(f"  {parity_line(sidecar.parity)}")
    for line in sidecar.notes["warnings"]:
        say(f"  TensorRT warned: {line}")
