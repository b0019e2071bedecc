"""Model files are read once, and the bytes that were verified are the bytes that are loaded."""

import builtins
import os
from pathlib import Path

import numpy as np
import pytest

from edgeau.runtime.backends import open_backend
from edgeau.runtime.choose import load
from edgeau.runtime.errors import BackendError, InputError, PackageError
from edgeau.runtime.model_file import read_model_file, unverified_part
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.protobuf import encode, fields


@pytest.fixture
def reads(monkeypatch):
    """The names of the files opened for reading through pathlib or ``open``, in order."""
    names = []
    path_open, builtin_open = Path.open, builtins.open

    def counted_path(self, *arguments, **options):
        names.append(self.name)
        return path_open(self, *arguments, **options)

    def counted(file, *arguments, **options):
        names.append(Path(file).name if isinstance(file, (str, os.PathLike)) else "")
        return builtin_open(file, *arguments, **options)

    def read_bytes(self):
        names.append(self.name)
        with builtin_open(self, "rb") as stream:
            return stream.read()

    monkeypatch.setattr(Path, "open", counted_path)
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    monkeypatch.setattr(builtins, "open", counted)
    return names


@pytest.fixture
def package(tmp_path):
    return Package.open(shipped_package()).copy_to(tmp_path / "copy.edgeau")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_loading_a_package_reads_its_model_once(package, reads, backend):
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    load(package.path, variant="fp32", backend=backend, detector="haar").close()
    assert reads.count(package.variant("fp32").file) == 1


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_file_swapped_after_verification_is_not_loaded(package, backend):
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    file = package.read(package.variant("fp32"))
    file.path.write_bytes(b"something else")
    with open_backend(backend, file) as opened:
        assert opened.output_names[0] == "au"


def test_an_altered_file_is_refused(package):
    file = package.path / package.variant("fp32").file
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(PackageError, match="differs from the SHA-256"):
        package.read(package.variant("fp32"))
    with pytest.raises(InputError, match="No such file"):
        read_model_file(package.path / "none.onnx")


@pytest.fixture
def external(tmp_path, onnx_model):
    """A function that saves a real ONNX file in a folder, with its weights in a second file, as onnx does it."""

    def save(folder):
        import onnx

        path = folder / "external.onnx"
        onnx.save_model(
            onnx_model, path, save_as_external_data=True, location="weights.bin", size_threshold=0,
            convert_attribute=True,
        )  # fmt: skip
        return path

    return save


@pytest.fixture
def onnx_model():
    onnx = pytest.importorskip("onnx", reason="onnx is not installed, and makes the test graph")
    helper, kinds = onnx.helper, onnx.TensorProto
    weights = onnx.numpy_helper.from_array(np.full((8, 3), 1 / 255, np.float32), "w")
    nodes = [
        helper.make_node("Cast", ["face"], ["real"], to=kinds.FLOAT),
        helper.make_node("ReduceMean", ["real"], ["mean"], axes=[1, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], ["au"]),
    ]
    inputs = [helper.make_tensor_value_info("face", kinds.UINT8, ["N", 8, 8, 3])]
    outputs = [helper.make_tensor_value_info("au", kinds.FLOAT, ["N", 3])]
    graph = helper.make_graph(nodes, "mean", inputs, outputs, [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_external_data_is_refused_by_every_backend(external, tmp_path, monkeypatch, backend):
    """Given bytes, both libraries would load weights.bin from the current folder (observed in 1.23 and 2025.3)."""
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    path = external(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackendError, match=r"external\.onnx keeps weights in another file.*onnx\.save"):
        open_backend(backend, path)


def test_external_data_in_a_package_is_refused(external, package):
    import dataclasses
    import hashlib

    path = external(package.path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    size = path.stat().st_size
    variant = dataclasses.replace(package.variant("fp32"), file=path.name, sha256=digest, size_bytes=size)
    package = package.with_manifest(package.manifest.with_variant(variant))
    for refused in (package.verify, lambda: package.read(variant), lambda: load(package.path, detector="haar")):
        with pytest.raises(PackageError, match="keeps weights in another file"):
            refused()


def test_external_data_is_detected_wherever_onnx_allows_a_tensor(onnx_model):
    import onnx

    assert unverified_part(onnx_model.SerializeToString()) is None
    outside = onnx.TensorProto(name="t", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="weights.bin")
    constant = onnx.helper.make_node("Constant", [], ["c"], value=outside)
    inner = onnx.helper.make_graph([constant], "inner", [], [])
    places = {
        "attribute": lambda m: m.graph.node.append(constant),
        "subgraph": lambda m: m.graph.node.append(onnx.helper.make_node("If", ["x"], ["y"], then_branch=inner)),
        "sparse": lambda m: m.graph.sparse_initializer.add().values.CopyFrom(outside),
        "function": lambda m: m.functions.add().node.append(constant),
        "training": lambda m: m.training_info.add().algorithm.CopyFrom(inner),
    }
    for place, put in places.items():
        model = onnx.ModelProto()
        model.CopyFrom(onnx_model)
        put(model)
        assert unverified_part(model.SerializeToString()), place


def test_files_with_compiled_code_are_refused_by_every_backend(tmp_path):
    """The attributes are from onnxruntime.ai's page on EPContext."""
    from onnx import TensorProto, helper

    attributes = {"embed_mode": 0, "ep_cache_context": "../code.bin", "main_context": 1, "source": "TensorRTEP"}
    node = helper.make_node("EPContext", ["face"], ["au"], domain="com.microsoft", **attributes)
    face = helper.make_tensor_value_info("face", TensorProto.UINT8, ["N", 8, 8, 3])
    au = helper.make_tensor_value_info("au", TensorProto.FLOAT, ["N", 3])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "compiled.onnx"
    path.write_bytes(
        helper.make_model(helper.make_graph([node], "compiled", [face], [au]), opset_imports=opsets).SerializeToString()
    )
    for backend in ("onnxruntime", "openvino"):
        with pytest.raises(BackendError, match=r"compiled\.onnx holds code that ONNX Runtime compiled"):
            open_backend(backend, path)


def test_a_field_number_that_other_parsers_would_truncate_is_refused(external, tmp_path, monkeypatch):
    """Google's parser drops the bits of a key above 32, so ONNX Runtime 1.23 loaded the weights of such a file."""
    data = external(tmp_path).read_bytes()
    (graph,) = (bytes(value) for number, value in fields(data) if number == 7)
    rest = encode((number, value) for number, value in fields(data) if number != 7)
    hidden = tmp_path / "hidden.onnx"
    hidden.write_bytes(rest + encode([(7 | 1 << 29, graph)]))
    monkeypatch.chdir(tmp_path)
    for backend in ("onnxruntime", "openvino"):
        with pytest.raises(BackendError, match="not a whole ONNX file: field number"):
            open_backend(backend, hidden)


def test_bits_above_32_do_not_hide_an_external_location():
    tensor = encode([(8, b"t"), (14, 1 << 32 | 1)])
    assert unverified_part(encode([(7, encode([(5, tensor)]))]))


def test_a_file_of_the_wrong_size_is_refused_without_reading_it(package):
    """Hashing a sparse file of a terabyte would exhaust the memory first."""
    file = package.file(package.variant("fp32"))
    os.truncate(file, 1 << 40)
    with pytest.raises(PackageError, match=r"fp32\.onnx differs .*\(1099511627776 bytes instead of \d+: altered"):
        package.read(package.variant("fp32"))


def test_invalid_protobuf_raises_value_error(onnx_model):
    data = onnx_model.SerializeToString()
    for broken in (data[:-3], b"\xff" * 20, b"\x0b"):
        with pytest.raises(ValueError, match=r"cut off|wire type|10 bytes"):
            unverified_part(broken)
