from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from edgeau.runtime.errors import PackageError
from edgeau.runtime.manifest import InputSpec, Manifest, NeutralSpec, Parity, Variant
from edgeau.runtime.manifest_rules import check_outputs, read_manifest

PARITY = Parity("torch", "random crops", 8, 1e-6, 1e-7, 90.0, 16, 0)
MANIFEST = Manifest(
    name="tiny",
    family="cednn",
    aus=("AU01", "AU12"),
    thresholds=(0.5, 0.4),
    inputs=(InputSpec("face", 112, 112), InputSpec("neutral", 112, 112)),
    neutral=NeutralSpec("running", 5),
    variants=(Variant("fp32", "fp32.onnx", "0" * 64, 10, "fp32", ("onnxruntime",), parity=PARITY),),
    provenance={"seed": 3},
)


def as_json() -> dict[str, Any]:
    return json.loads(json.dumps(MANIFEST.to_json()))


def test_a_manifest_survives_a_round_trip_through_json() -> None:
    assert read_manifest(as_json()) == MANIFEST


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("aus"), "'aus' is missing"),
        (lambda m: m.update(asu=[]), "unknown field 'asu'"),
        (lambda m: m.update(thresholds=[0.5]), "1 thresholds for 2 aus"),
        (lambda m: m.update(thresholds=["x", 1]), r"thresholds\[0\]: expected float"),
        (lambda m: m.update(thresholds=[0.5, float("nan")]), "finite number"),
        (lambda m: m.update(thresholds=[0.5, 1.5]), "thresholds must be in 0..1"),
        (lambda m: m["inputs"][0].update(height=0), "sizes of crop and inputs must be 1 or more, got 0"),
        (lambda m: m["crop"].update(size_px=-4), "1 or more, got -4"),
        (lambda m: m["variants"][0].update(backends=["onnxrt"]), "backends must be some of .*onnxrt"),
        (lambda m: m.update(schema_version=99), "schema_version is 99"),
        (lambda m: m["neutral"].update(policy="sometimes"), "sometimes"),
        (lambda m: m["variants"][0].update(precision="int3"), "int3"),
        (lambda m: m["variants"][0].update(file="../../etc/passwd"), "inside the package"),
        (lambda m: m["variants"][0].update(size_bytes=True), "expected int"),
        (lambda m: m["inputs"].reverse(), "first input must be 'face'"),
        (lambda m: m["crop"].update(template=[[0.1, 0.2]]), "needs 5 points"),
        (lambda m: m["variants"][0]["parity"].pop("samples"), r"variants\[0\].*'samples' is missing"),
        (lambda m: m["crop"].update(template=[[0.5, 0.5]] * 2 + [[0, 1]] * 3, weights=[1, 1, 0, 0, 0]), "one place"),
        (lambda m: m["crop"].update(template=[[i * 1e-9, 0] for i in range(5)]), "one place"),
        (lambda m: m.update(expressions=["joy", "rage\nfear"]), "expressions must be lines of text"),
    ],
)
def test_errors_name_what_is_invalid(change: Any, message: str) -> None:
    value = copy.deepcopy(as_json())
    change(value)
    with pytest.raises(PackageError, match=message):
        read_manifest(value)


# As `edgeau optimize` wrote it before selections were dataclasses, shortened.
WRITTEN = {
    "label": "fp32 on openvino, 1 thread", "variant": "fp32", "backend": "openvino", "threads": 1, "batch": 1,
    "settled": True, "rounds": 14, "ms_per_crop": 0.51, "fp32_ms_per_crop": 1.25, "times_fp32": 0.41,
    "ties": {}, "losers": {"int8-ort on onnxruntime": "mean AU F1 0.5000, FP32 0.6000: falls more than 0.005"},
    "measured": [
        {
            "label": "fp32 on openvino, 1 thread", "variant": "fp32", "backend": "openvino", "threads": 1, "batch": 1,
            "ms_per_crop": 0.51, "ms_per_crop_by_round": [0.5, 0.52],
        }
    ],
    "measured_at": "2026-11-20T12:00:00Z", "objective": "latency", "max_drop": 0.005, "load_average": 0.3,
    "accuracy": {"fp32 on openvino": 0.6}, "metric": "mean AU F1", "judged_on": 200,
}  # fmt: skip


def test_a_selection_written_by_an_earlier_version_is_read() -> None:
    manifest = read_manifest({**as_json(), "selection": {"x86, 2 cores": WRITTEN}})
    selection = manifest.selection["x86, 2 cores"]
    assert (selection.variant, selection.backend, selection.threads, selection.judged_on) == (
        "fp32",
        "openvino",
        1,
        200,
    )
    assert selection.measured[0].ms_per_crop_by_round == (0.5, 0.52)
    assert read_manifest(json.loads(json.dumps(manifest.to_json()))) == manifest


def test_errors_name_the_invalid_value_in_a_selection() -> None:
    wrong = {**WRITTEN, "threads": "two"}
    with pytest.raises(PackageError, match=r"selection\['here'\]: threads: expected int, got 'two'"):
        read_manifest({**as_json(), "selection": {"here": wrong}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backend": "abacus"}, "backend must be one of onnxruntime, openvino, tensorrt, got 'abacus'"),
        ({"threads": 10**12}, "threads must be from 1 to 1024, got 1000000000000"),
        ({"threads": 0}, "threads must be from 1"),
        ({"batch": 0}, "batch must be from 1"),
        ({"inference_precision": "fp8"}, "inference_precision must be null, bf16 or f16, got 'fp8'"),
    ],
)
def test_a_selection_that_cannot_run_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(PackageError, match=r"selection\['here'\]: " + message):
        read_manifest({**as_json(), "selection": {"here": {**WRITTEN, **change}}})


HALF = np.full((2, 2), 0.5, np.float32)


@pytest.mark.parametrize(
    ("au", "message"),
    [
        (HALF[:, :1], r"\[1\] per face, the manifest names 2"),
        (HALF[:1], "for 1 of 2 faces"),
        (HALF[:0], "for 0 of 2 faces"),
        (HALF * np.float32(np.nan), "not probabilities"),
        (HALF * np.float32(np.inf), "not probabilities"),
        (HALF + 1, "not probabilities"),
        (HALF - 1, "not probabilities"),
        (HALF.astype(str), "of type <U"),
        ([HALF], "of type list"),
        (None, "missing"),
    ],
)
def test_outputs_that_contradict_the_manifest_are_refused(au: Any, message: str) -> None:
    with pytest.raises(PackageError, match=f"package tiny: the graph's output 'au' is .*{message}"):
        check_outputs(MANIFEST, {} if au is None else {"au": au}, 2)


def test_probabilities_may_exceed_their_range_by_half_precision_rounding() -> None:
    check_outputs(MANIFEST, {"au": np.float32([[0, 1.0005], [1, -0.0005]])}, 2)


def test_an_unknown_variant_lists_the_existing_ones() -> None:
    with pytest.raises(PackageError, match="it has fp32"):
        MANIFEST.variant("int8")


def test_adding_a_variant_of_the_same_name_replaces_it() -> None:
    again = MANIFEST.with_variant(Variant("fp32", "other.onnx", "1" * 64, 11, "fp32", ("openvino",)))
    assert [v.file for v in again.variants] == ["other.onnx"]
