"""Description of an ONNX file, as JSON values and as text."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from edgeau.optimize.finish.qdq import is_weight, zero_point_of
from edgeau.optimize.finish.reader import TENSORRT, parse_reader
from edgeau.optimize.onnx_graph.graph import Graph, opset_of
from edgeau.optimize.onnx_graph.model_file import DAMAGE, require_sound
from edgeau.optimize.onnx_graph.operators import DEQUANTIZE, QUANTIZE
from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.runtime.files import refuse_same, write_bytes

from .cost import Samples, face_inputs, measure_cost, read_inputs
from .fixing import fix, lint
from .importer import Verdict, ask_importer

MAX_LINES_PER_RULE = 4


def report(
    path: Path,
    target: str | None = None,
    fix_to: Path | None = None,
    *,
    inputs: Path | None = None,
    float_model: Path | None = None,
) -> dict[str, Any]:
    """Describe an ONNX file, lint it for a target, and optionally write a fixed copy.

    Args:
        path: the ONNX file.
        target: as `lint` takes it.
        fix_to: where to write a fixed copy; needs a target.
        inputs: .npz with one array per input, on which the cost of the fix is measured; by default shipped faces.
        float_model: ONNX file that this one was quantized from, to compare both with.

    Returns:
        JSON values. ``ok`` is False if errors remain, in the fixed copy if there is one, else in the file. ``importer``
        is what TensorRT's own importer says of the same model, None where it is not installed.

    Raises:
        InputError: not an ONNX file, unknown target, or ``fix_to`` without a target. Nothing is written then.
    """
    if fix_to is not None and target is None:
        raise InputError("--fix needs a target", hint="add --target tensorrt-10.3, onnxruntime or openvino")
    if fix_to is not None:
        refuse_same(fix_to, path)
    if fix_to is None and (inputs is not None or float_model is not None):
        raise InputError("--inputs and --float", got="no --fix", expected="--fix OUT, whose cost they measure")
    model = read_onnx(path)
    original = None if float_model is None else read_onnx(float_model)
    samples = None if inputs is None else (read_inputs(inputs, model), str(inputs))
    findings = lint(model, target)
    result = {"path": str(path), "kind": "onnx", **describe(model)}
    result["size_bytes"] = path.stat().st_size
    result["target"] = target
    result["findings"] = [dataclasses.asdict(finding) for finding in findings]
    remaining, final = findings, model
    if fix_to is not None and target is not None:
        fixed = fix(model, target)
        write_bytes(fix_to, fixed.model.SerializeToString())
        remaining, final = fixed.left, fixed.model
        left = [dataclasses.asdict(finding) for finding in remaining]
        result["fixed"] = {"path": str(fix_to), "done": list(fixed.done), "left": left}
        result["fixed"]["cost"] = _cost(model, target, samples, original) if fixed.done else None
    verdict = ask_importer(final) if target is not None and parse_reader(target).name == TENSORRT else None
    result["importer"] = None if verdict is None else _verdict(verdict)
    result["ok"] = not any(finding.severity == "error" for finding in remaining)
    return result


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {**dataclasses.asdict(verdict), "warnings": list(verdict.warnings), "text": str(verdict)}


def _cost(
    model: onnx.ModelProto, target: str, samples: tuple[Samples, str] | None, original: onnx.ModelProto | None
) -> dict[str, Any]:
    """The cost as JSON values; with only ``reason`` where it can't be measured."""
    try:
        chosen, said = samples or face_inputs(model)
        cost = measure_cost(model, target, chosen, said, original)
    except EdgeauError as error:
        if samples is not None or original is not None:
            raise
        return {"reason": str(error)}
    worst = None if cost.worst is None else cost.worst.name
    steps = [dataclasses.asdict(step) for step in cost.steps]
    return {**dataclasses.asdict(cost), "steps": steps, "after_db": cost.after_db, "worst": worst}


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read an ONNX file without checking its graph. Raises InputError where it is missing, truncated or not ONNX."""
    try:
        model = onnx.load(str(path))
        require_sound(model)
    except FileNotFoundError as error:
        missing = error.filename or path
        raise InputError(f"ONNX {path}", got=f"no file {missing}", expected="an .onnx file and its weights") from error
    except DAMAGE as error:
        raise InputError(
            f"ONNX {path}", got="damaged, truncated or not ONNX", hint="export or copy it again"
        ) from error
    if not model.graph.node or not model.graph.output:
        raise InputError(f"ONNX {path}", got="no operators or no outputs", expected="a model")
    return model


def describe(model: onnx.ModelProto) -> dict[str, Any]:
    """Producer, opset, inputs, outputs, operators and quantization of a model, as JSON values."""
    graph = Graph(model)
    weights = list(graph.tensors.values())
    return {
        "producer": " ".join(filter(None, (model.producer_name, model.producer_version))),
        "ir_version": model.ir_version,
        "opset": opset_of(model),
        "domains": sorted({node.domain for node in model.graph.node if node.domain}),
        "inputs": [_value(value) for value in model.graph.input if value.name in graph.inputs],
        "outputs": [_value(value) for value in model.graph.output],
        "operators": dict(Counter(node.op_type for node in model.graph.node).most_common()),
        "parameters": int(sum(np.prod(tensor.dims, dtype=np.int64) for tensor in weights)),
        "weight_types": dict(Counter(TensorProto.DataType.Name(tensor.data_type).lower() for tensor in weights)),
        "quantization": _quantization(graph),
    }


def render(report: dict[str, Any]) -> list[str]:
    """A report as lines of text: the description, then for each broken rule its first places, the reason and a hint."""
    quantization = report["quantization"]
    lines = [
        f"onnx      {report['path']}",
        f"written   {report['producer'] or 'by an unnamed producer'}, opset {report['opset']}, "
        f"IR {report['ir_version']}" + "".join(f", {domain}" for domain in report["domains"]),
        f"size      {report['size_bytes'] / 1e3:.0f} kB, {report['parameters']:,} parameters",
        *(f"input     {_value_line(value)}" for value in report["inputs"]),
        *(f"output    {_value_line(value)}" for value in report["outputs"]),
        "operators " + ", ".join(f"{count} {kind}" for kind, count in report["operators"].items()),
    ]
    kinds = ", ".join(f"{count} {kind}" for kind, count in quantization["activations"].items())
    lines.append(
        f"quantized activations {kinds or 'none'}; weights {quantization['weights']}"
        if quantization["quantized"]
        else "quantized no"
    )
    lines += ["", *_finding_lines(report["findings"], report["target"])]
    if "fixed" in report:
        fixed = report["fixed"]
        lines += ["", f"wrote     {fixed['path']}: {len(fixed['done'])} changes, {len(fixed['left'])} findings left"]
        lines += _cost_lines(fixed["cost"])
        lines += [
            f"  left    {line}" for line in (_finding_lines(fixed["left"], report["target"]) if fixed["left"] else [])
        ]
    if report["importer"] is not None:
        lines.append(f"importer  {report['importer']['text']}")
    return lines


def _cost_lines(cost: dict[str, Any] | None) -> list[str]:
    if cost is None:
        return []
    if "reason" in cost:
        return [f"cost      not measured: {cost['reason']}"]
    lines = [
        f"cost      SQNR against {cost['reference']}: {_db(cost['before_db'])} before, {_db(cost['after_db'])} after, "
        f"on {cost['samples']}"
    ]
    before = cost["before_db"]
    for step in cost["steps"]:
        if step["name"] == cost["worst"]:
            lines.append(
                f"          most of it by {step['name']}, {_db(before)} to {_db(step['sqnr_db'])}: {step['does']}"
            )
        before = step["sqnr_db"]
    return lines


def _db(value: float | None) -> str:
    return "no noise" if value is None else f"{value:.1f} dB"


def _finding_lines(findings: list[dict[str, Any]], target: str | None) -> list[str]:
    if not findings:
        return [f"nothing to fix for {target}" if target else "nothing wrong for all readers; --target checks for one"]
    lines = []
    for code in dict.fromkeys(item["code"] for item in findings):
        places = [item for item in findings if item["code"] == code]
        shown = places[:MAX_LINES_PER_RULE]
        lines += [f"{code} {item['node']}: {item['message']}" for item in shown]
        if len(places) > len(shown):
            lines.append(f"{code} and {len(places) - len(shown)} more")
        lines += [f"     why:  {places[0]['why']}", f"     hint: {places[0]['hint']}"]
    errors = sum(item["severity"] == "error" for item in findings)
    return [*lines, f"{errors} errors, {len(findings) - errors} warnings for {target or 'any reader'}"]


def _quantization(graph: Graph) -> dict[str, Any]:
    activations: Counter[str] = Counter()
    for node in graph.of_type(QUANTIZE):
        if not is_weight(graph, node):
            zero_point = zero_point_of(graph, node)
            kind = "computed" if zero_point is None else str(zero_point.dtype)
            shifted = zero_point is not None and bool(zero_point.any())
            activations[f"{kind} with shifted zero" if shifted else kind] += 1
    weights = sum(is_weight(graph, node) for node in graph.of_type(DEQUANTIZE))
    return {"quantized": bool(activations or weights), "activations": dict(activations), "weights": weights}


def _value(value: onnx.ValueInfoProto) -> dict[str, Any]:
    kind = value.type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in kind.shape.dim]
    return {"name": value.name, "type": TensorProto.DataType.Name(kind.elem_type).lower(), "shape": shape}


def _value_line(value: dict[str, Any]) -> str:
    return f"{value['name']} {value['type']} [{', '.join(map(str, value['shape']))}]"
