"""Model repositories for Triton, parsed with Triton's own protobuf messages."""

import dataclasses
import json
from pathlib import Path

import pytest

from edgeau.optimize.engine.builder import BuilderSettings
from edgeau.optimize.engine.job import MakeOptions
from edgeau.optimize.engine.make import make_engine
from edgeau.optimize.engine.triton import Serving, model_config, write_repository
from edgeau.runtime.cli import main
from edgeau.runtime.engine_file import read_sidecar
from edgeau.runtime.errors import InputError
from edgeau.runtime.machine import Machine
from edgeau.runtime.manifest import InputSpec

UINT8 = 2  # of Triton's enumeration DataType


DESCRIPTOR = Path(__file__).parent / "triton_model_config.desc"


@pytest.fixture(scope="module")
def read_config():
    """A function that parses the text of a config.pbtxt as Triton's ModelConfig and raises for unknown fields.

    The message type is that of Triton's model_config.proto in tritonclient 2.73.0 (BSD 3-Clause). Its descriptor is
    stored beside this file, so that protobuf alone can read it.
    """
    protobuf = pytest.importorskip("google.protobuf", reason="protobuf is not installed (it comes with onnx)")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

    assert protobuf
    pool = descriptor_pool.DescriptorPool()
    pool.Add(descriptor_pb2.FileDescriptorProto.FromString(DESCRIPTOR.read_bytes()))
    config = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))
    return lambda text: text_format.Parse(text, config())


def test_the_stored_descriptor_has_the_fields_of_tritonclients(read_config):
    reason = "tritonclient[grpc] is not installed; the descriptor kept here is used alone"
    theirs = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason=reason)
    ours = read_config("").DESCRIPTOR
    assert {f.name: f.number for f in ours.fields} == {f.name: f.number for f in theirs.ModelConfig.DESCRIPTOR.fields}


def test_a_field_unknown_to_triton_is_an_error(read_config):
    with pytest.raises(Exception, match="no_such_field"):
        read_config("no_such_field: 1")


def with_engine(package, trt, batch):
    machine = Machine(model="NVIDIA Jetson AGX Orin", compute_capability="8.7", tensorrt=trt.__version__)
    options = MakeOptions(builder=BuilderSettings(batch=batch), parity=False)
    return make_engine(package.path, options, trt=trt, machine=machine).package


def test_a_repository_contains_the_onnx_and_the_engine(package, fake_tensorrt, read_config, tmp_path):
    package = with_engine(package, fake_tensorrt("10.3"), (1, 4, 8))
    repository = write_repository(package, tmp_path / "models")
    assert repository.models == ("toy_fp32", "toy_agx-orin.trt10.3.0.int8")
    assert [line.split(":")[0] for line in repository.left_out] == ["int8-tensorrt", "fp16"]
    onnx, plan = (read_config((tmp_path / "models" / name / "config.pbtxt").read_text()) for name in repository.models)
    assert (onnx.platform, plan.platform) == ("onnxruntime_onnx", "tensorrt_plan")
    assert (onnx.max_batch_size, plan.max_batch_size) == (32, 8)
    assert onnx.name == "toy_fp32"
    for config in (onnx, plan):
        assert [(i.name, i.data_type, list(i.dims)) for i in config.input] == [("face", UINT8, [32, 32, 3])]
        assert [(o.name, list(o.dims), o.label_filename) for o in config.output] == [("au", [4], "aus.txt")]
    assert list(plan.dynamic_batching.preferred_batch_size) == [4, 8]
    assert plan.dynamic_batching.max_queue_delay_microseconds == 1000
    assert plan.optimization.cuda.graphs
    assert [warm.batch_size for warm in plan.model_warmup] == [1, 4]
    assert plan.model_warmup[0].inputs["face"].random_data
    folder = tmp_path / "models" / plan.name
    assert (folder / "1" / "model.plan").read_bytes().startswith(b"ftrt")
    assert (folder / "aus.txt").read_text() == "AU01\nAU02\nAU04\nAU12\n"
    assert (tmp_path / "models" / "toy_fp32" / "1" / "model.onnx").read_bytes() == package.file(
        package.variant("fp32")
    ).read_bytes()


@pytest.mark.parametrize(("batch", "lead"), [((4, 4, 4), [4]), ((2, 4, 8), [-1])])
def test_an_engine_that_cannot_run_one_crop_is_not_batched_by_triton(
    package, fake_tensorrt, read_config, tmp_path, batch, lead
):
    package = with_engine(package, fake_tensorrt("10.3"), batch)
    config = read_config(
        model_config("x", package.manifest, read_sidecar(package.path / package.manifest.variants[-1].file), Serving())
    )
    assert config.max_batch_size == 0
    assert list(config.input[0].dims) == [*lead, 32, 32, 3]
    assert not config.HasField("dynamic_batching")
    assert list(config.model_warmup[0].inputs["face"].dims) == [4, 32, 32, 3]


def test_an_engine_for_one_crop_is_not_batched(package, fake_tensorrt, read_config):
    package = with_engine(package, fake_tensorrt("8.6"), (1, 1, 1))
    sidecar = read_sidecar(package.path / package.manifest.variants[-1].file)
    config = read_config(model_config("x", package.manifest, sidecar, Serving()))
    assert config.max_batch_size == 1
    assert not config.HasField("dynamic_batching")


def test_neutral_and_expressions_are_served_too(package, read_config):
    manifest = dataclasses.replace(
        package.manifest,
        inputs=(InputSpec("face", 32, 32), InputSpec("neutral", 32, 32)),
        expressions=("calm", "happy"),
    )
    config = read_config(model_config("x", manifest, None, Serving(onnx_max_batch=16, instances=2)))
    assert [i.name for i in config.input] == ["face", "neutral"]
    assert [(o.name, o.label_filename) for o in config.output] == [("au", "aus.txt"), ("expression", "expressions.txt")]
    assert set(config.model_warmup[0].inputs) == {"face", "neutral"}
    assert config.instance_group[0].count == 2


def test_a_package_with_nothing_to_serve_is_refused(package, tmp_path):
    only = package.with_manifest(
        dataclasses.replace(package.manifest, variants=(package.manifest.variant("int8-tensorrt"),))
    )
    with pytest.raises(InputError, match="nothing that Triton serves"):
        write_repository(only, tmp_path / "models")


def test_build_triton_writes_a_repository(package, tmp_path, capsys):
    assert main(["build", str(package.path), "--triton", str(tmp_path / "models"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == ["toy_fp32"]
    assert main(["build", str(package.path), "--triton", "x", "--host", "y"]) == 2
    assert "one at a time" in capsys.readouterr().err
