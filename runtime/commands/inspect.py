"""Describe a package, an ONNX file or a TensorRT engine: whether it runs here, and what is wrong with it.

edgeau inspect cednn.edgeau
edgeau inspect model.onnx --target tensorrt-10.3 --fix fixed.onnx
edgeau inspect orin-nano.trt10.3.0.int8.engine
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Dict, List, Optional

from edgeau.runtime import plugins
from edgeau.runtime.backends import missing
from edgeau.runtime.choose import choose
from edgeau.runtime.errors import EdgeauError, InputError, MissingExtraError
from edgeau.runtime.package import MANIFEST, Package, shipped_package
from edgeau.runtime.terminal import emit_json, say

GROUP = "edgeau.inspectors"
ENGINE_SUFFIXES = (".engine", ".plan", ".trt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", help="package folder, .onnx or .engine (default: the shipped package)")
    parser.add_argument("--target", help="lint an ONNX for this target, such as tensorrt-10.3, onnxruntime or openvino")
    parser.add_argument("--fix", type=Path, metavar="OUT", help="write an ONNX with what can be fixed")
    parser.add_argument("--inputs", type=Path, metavar="NPZ", help="what --fix costs is measured on (shipped faces)")
    parser.add_argument(
        "--float", type=Path, metavar="ONNX", help="float model to compare with, before and after --fix"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    path = Path(args.file) if args.file else shipped_package()
    if path.is_dir() or path.name == MANIFEST:
        if args.target or args.fix:
            raise InputError("--target and --fix", got=f"a package, {path}", expected="an .onnx file inside it")
        report = describe_package(Package.open(path if path.is_dir() else path.parent))
        lines = package_lines(report)
    elif not path.exists():
        raise InputError(f"file {path}", got="no such file", expected="a package, an .onnx or an .engine")
    elif path.suffix.lower() in ENGINE_SUFFIXES:
        report, lines = _engine(path)
    elif path.suffix.lower() == ".onnx":
        report, lines = _onnx(path, args)
    else:
        raise InputError(
            f"file {path}", got=f"suffix {path.suffix or 'none'}", expected="a package, an .onnx or an .engine"
        )
    if args.json:
        emit_json(report)
    else:
        for line in lines:
            say(line)
    return 0 if report.get("ok", True) else 1


def describe_package(package: Package) -> Dict[str, Any]:
    """Describe a package as JSON values; ``ok`` is False if a file is missing or altered."""
    manifest = package.manifest
    variants = []
    for variant in manifest.variants:
        try:
            package.file(variant)
            state = "whole"
        except EdgeauError as error:
            state = str(error)
        here = [backend for backend in variant.backends if missing(backend) is None]
        variants.append({**_as_json(variant), "state": state, "runs_here_on": here})
    try:
        chosen: Optional[Dict[str, Any]] = _as_json(choose(package))
    except EdgeauError as error:
        chosen = {"reason": str(error)}
    report = manifest.to_json()
    report.update(path=str(package.path), variants=variants, chosen_here=chosen)
    report["ok"] = all(v["state"] == "whole" for v in variants)
    return report


def package_lines(report: Dict[str, Any]) -> List[str]:
    """A readable description of a package."""
    inputs = ", ".join(f"{i['name']} uint8 [N, {i['height']}, {i['width']}, 3] RGB" for i in report["inputs"])
    outputs = f"au float32 [N, {len(report['aus'])}]"
    if report["expressions"]:
        outputs += f", expression float32 [N, {len(report['expressions'])}]"
    lines = [
        f"package   {report['path']}",
        f"model     {report['family']} ({report['name']}), schema {report['schema_version']}",
        f"AUs       {' '.join(report['aus'])} ({report['scale']} 0..1)",
        f"inputs    {inputs}",
        f"outputs   {outputs}",
        f"neutral   {report['neutral']['policy']}, {report['neutral']['frames']} frames",
    ]
    for key in ("data", "command", "commit", "seed"):
        if key in report["provenance"]:
            lines.append(f"{key:9} {report['provenance'][key]}")
    lines.append("")
    lines.append(f"{'variant':16} {'precision':9} {'size':>9}  {'parity':38} runs here on")
    lines += [_variant_line(variant) for variant in report["variants"]]
    chosen = report["chosen_here"]
    lines.append("")
    if "variant" in chosen:
        lines.append(f"here: {chosen['variant']} on {chosen['backend']} ({chosen['reason']})")
    else:
        lines.append(f"here: {chosen['reason']}")
    if report["notes"]:
        lines += ["", report["notes"]]
    return lines


def _variant_line(variant: Dict[str, Any]) -> str:
    parity = variant["parity"]
    text = "-"
    if parity:
        text = (
            f"max error {parity['max_abs_error']:.2g}, {parity['decisions_flipped']} of {parity['decisions']} flipped"
        )
    where = ", ".join(variant["runs_here_on"]) or "nothing (" + ", ".join(variant["backends"]) + ")"
    if variant["state"] != "whole":
        where = variant["state"]
    size = f"{variant['size_bytes'] / 1e3:.0f} kB"
    return f"{variant['name']:16} {variant['precision']:9} {size:>9}  {text:38} {where}"


def _as_json(value: Any) -> Dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(value)


def _engine(path: Path) -> tuple[Dict[str, Any], List[str]]:
    from edgeau.runtime.engine_check import describe_engine
    from edgeau.runtime.engine_text import engine_lines

    facts = describe_engine(path)
    return facts.to_json(), engine_lines(facts)


def _onnx(path: Path, args: argparse.Namespace) -> tuple[Dict[str, Any], List[str]]:
    """A report by the inspector registered for ``.onnx``: ``report(path, target, fix_to)`` and ``render(report)``."""
    inspector = plugins.registered(GROUP).get("onnx")
    if inspector is None:
        raise MissingExtraError("what reads ONNX", "optimize", "inspecting an ONNX file")
    try:
        reader = inspector.load()
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "onnx", "optimize", "inspecting an ONNX file") from error
    report = reader.report(path, args.target, args.fix, inputs=args.inputs, float_model=args.float)
    return report, list(reader.render(report))
