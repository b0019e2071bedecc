"""The real runtimes' profilers on a real package."""

import numpy as np
import pytest

from edgeau.benchmarks.limit.layers import Layers, layers_of
from edgeau.benchmarks.limit.operators import group, profile
from edgeau.runtime.backends import BackendOptions
from edgeau.runtime.errors import BackendError
from edgeau.runtime.package import Package, shipped_package


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_every_layer_of_the_shipped_package_occurs_in_the_profile(backend):
    package = Package.open(shipped_package())
    file = package.file(package.variant("fp32"))
    layers = layers_of(file)
    inputs = {each.name: np.zeros((1, each.height, each.width, 3), np.uint8) for each in package.manifest.inputs}
    rows = profile(backend, file, BackendOptions(threads=1), inputs, layers, dict.fromkeys(layers.owner, 1.0))
    assert {layer.kind for layer in layers.layers} <= {row.kind for row in rows}
    assert sum(row.limit_ms for row in rows) == len(layers.layers)  # each layer's limit counts once
    assert rows == sorted(rows, key=lambda row: -row.ms)


def test_a_reorder_is_not_counted_as_a_layer():
    rows = group([("a/Conv", "Reorder", 0.5)], Layers((), {"a/Conv": "a/Conv"}), {})
    assert [(row.kind, row.ms, row.limit_ms) for row in rows] == [("Reorder", 0.5, 0)]


def test_a_backend_without_a_profiler_raises(tmp_path):
    with pytest.raises(BackendError, match="no profiler"):
        profile("tensorrt", tmp_path / "x.engine", BackendOptions(), {}, Layers(()), {})
