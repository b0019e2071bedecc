from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from edgeau.runtime.errors import PackageError
from edgeau.runtime.manifest import InputSpec, Manifest, NeutralSpec, Parity, Variant

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


def test_a_manifest_survives_json() -> None:
    assert Manifest.from_json(as_json()) == MANIFEST


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("aus"), "'aus' is missing"),
        (lambda m: m.update(asu=[]), "unknown field 'asu'"),
        (lambda m: m.update(thresholds=[0.5]), "1 thresholds for 2 aus"),
        (lambda m: m.update(thresholds=["x", 1]), r"thresholds\[0\]: expected float"),
        (lambda m: m.update(schema_version=99), "schema_version is 99"),
        (lambda m: m["neutral"].update(policy="sometimes"), "sometimes"),
        (lambda m: m["variants"][0].update(precision="int3"), "int3"),
        (lambda m: m["variants"][0].update(file="../../etc/passwd"), "out of the package"),
        (lambda m: m["variants"][0].update(size_bytes=True), "expected int"),
        (lambda m: m["inputs"].reverse(), "first input must be 'face'"),
        (lambda m: m["crop"].update(template=[[0.1, 0.2]]), "needs 5 points"),
        (lambda m: m["variants"][0]["parity"].pop("samples"), r"variants\[0\].*'samples' is missing"),
    ],
)
def test_what_is_wrong_is_named(change: Any, message: str) -> None:
    value = copy.deepcopy(as_json())
    change(value)
    with pytest.raises(PackageError, match=message):
        Manifest.from_json(value)


def test_an_unknown_variant_lists_those_that_exist() -> None:
    with pytest.raises(PackageError, match="it has fp32"):
        MANIFEST.variant("int8")


def test_adding_a_variant_of_the_same_name_replaces_it() -> None:
    again = MANIFEST.with_variant(Variant("fp32", "other.onnx", "1" * 64, 11, "fp32", ("openvino",)))
    assert [v.file for v in again.variants] == ["other.onnx"]
