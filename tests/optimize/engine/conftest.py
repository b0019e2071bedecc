"""Small ONNX graphs with the contract of a package's variants, and fakes of TensorRT made from its real names."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

SIDE, AUS = 32, 4


def _graph(nodes, weights, inputs=("face",)):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed, and makes the test graphs")
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(name, kinds.UINT8, ["N", SIDE, SIDE, 3]) for name in inputs],
        [helper.make_tensor_value_info("au", kinds.FLOAT, ["N", AUS])],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _parts(kind, groups):
    """Nodes and weights: crop -> cast -> NCHW -> conv -> relu -> grouped conv -> relu -> mean -> gemm -> sigmoid."""
    from onnx import helper

    draw = np.random.default_rng(0)
    real = np.float16 if kind == "fp16" else np.float32
    weights = {
        "scale": np.array(1 / 255, real),
        "w1": draw.normal(0, 0.3, (16, 3, 3, 3)).astype(real),
        "w2": draw.normal(0, 0.2, (16, 16 // groups, 3, 3)).astype(real),
        "w3": draw.normal(0, 0.5, (AUS, 16)).astype(real),
        "b3": np.zeros(AUS, real),
    }
    nodes = []

    def quantized(name, scale):
        if kind != "int8":
            return name
        weights[f"{name}_scale"] = np.array(scale, np.float32)
        weights[f"{name}_zero"] = np.array(0, np.int8)
        numbers = [f"{name}_scale", f"{name}_zero"]
        nodes.append(helper.make_node("QuantizeLinear", [name, *numbers], [f"{name}_q"], f"{name}_q"))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", *numbers], [f"{name}_dq"], f"{name}_dq"))
        return f"{name}_dq"

    def add(kind_, inputs, output, **attributes):
        nodes.append(helper.make_node(kind_, inputs, [output], output, **attributes))
        return output

    x = add("Cast", ["face"], "real", to=10 if kind == "fp16" else 1)
    x = add("Transpose", [x], "planes", perm=[0, 3, 1, 2])
    x = add("Mul", [x, "scale"], "scaled")
    x = add("Conv", [quantized(x, 1 / 127), quantized("w1", 0.01)], "conv1", pads=[1, 1, 1, 1], strides=[2, 2])
    x = add("Relu", [x], "relu1")
    x = add("Conv", [quantized(x, 0.02), quantized("w2", 0.01)], "conv2", pads=[1, 1, 1, 1], group=groups)
    x = add("Relu", [x], "relu2")
    x = add("GlobalAveragePool", [x], "pooled")
    x = add("Flatten", [x], "flat")
    x = add("Gemm", [x, "w3", "b3"], "logits", transB=1)
    if kind == "fp16":
        x = add("Cast", [x], "logits32", to=1)
    add("Sigmoid", [x], "au")
    return nodes, weights


@pytest.fixture(scope="session")
def toy_onnx(tmp_path_factory):
    """A function: ``fp32``, ``fp16`` or ``int8`` -> path of a small ONNX file with a grouped convolution."""
    folder = tmp_path_factory.mktemp("toy")

    def make(kind="fp32", groups=4):
        import onnx

        path = folder / f"{kind}-{groups}.onnx"
        if not path.exists():
            onnx.save(_graph(*_parts(kind, groups)), path)
        return path

    return make


@pytest.fixture(scope="session")
def rtx():
    """TensorRT for RTX: the real parser and builder, without a GPU."""
    return pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed (x86-64 Linux only)")


API_VERSIONS = ("8.5", "8.6", "10.3", "10.16", "11.1")


@pytest.fixture(scope="session")
def api_names():
    """Names of TensorRT's Python API: version -> class -> members."""
    return json.loads((Path(__file__).parent / "tensorrt_api_names.json").read_text())


@pytest.fixture(params=API_VERSIONS)
def any_fake(request, fake_tensorrt):
    """A fake of each version in turn."""
    return fake_tensorrt(request.param)


@pytest.fixture
def fake_tensorrt(api_names):
    """A function: version -> a fake module that has that version's names and no others."""
    return lambda version, **behaviour: make_fake(version, api_names[version], Behaviour(**behaviour))


class Behaviour(SimpleNamespace):
    """What a fake does: ``fail`` (flags set -> error or None), ``dla_cores``, ``off_dla`` (layer names), ``gpu``."""

    def __init__(self, **given):
        defaults = {"fail": lambda flags, layers: None, "dla_cores": 0, "off_dla": (), "gpu": True, "parser_errors": ()}
        super().__init__(**{**defaults, **given})


class Strict:
    """Refuses every name that the version's class lacks, for reading and for writing."""

    _names: frozenset = frozenset()

    def __getattribute__(self, name):
        if not name.startswith("_") and name not in type(self)._names:
            raise AttributeError(f"{type(self).__name__} of this version has no {name}")
        return super().__getattribute__(name)

    def __setattr__(self, name, value):
        if not name.startswith("_") and name not in type(self)._names:
            raise AttributeError(f"{type(self).__name__} of this version has no {name}")
        super().__setattr__(name, value)


def enumeration(name, members):
    import enum

    return enum.IntEnum(name, {member: number for number, member in enumerate(members)})


def make_fake(version, names, behaviour):
    """A module-like object whose classes are built from ``names`` (class -> members)."""
    trt = SimpleNamespace(__name__="tensorrt", __version__=f"{version}.0.1")
    enums = (
        "BuilderFlag",
        "NetworkDefinitionCreationFlag",
        "MemoryPoolType",
        "TacticSource",
        "DeviceType",
        "LayerType",
    )
    for name in (*enums, "ProfilingVerbosity"):
        setattr(trt, name, enumeration(name, names[name]))

    def strict(name, **members):
        allowed = frozenset(names[name])
        unknown = {m for m in members if not m.startswith("_")} - allowed
        body = {key: value for key, value in members.items() if key not in unknown}
        return type(name, (Strict,), {**body, "_names": allowed})

    # The names come from the bindings' own class table, in which the logger's interface is not listed; all have it.
    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    trt.ILogger = ILogger
    record = SimpleNamespace(flags=set(), profiles=[], limits={}, network_flags=None, cache_given=None, config=None)
    record.exposed = []
    trt.record = record

    tensor = strict("ITensor")

    def make_tensor(name, shape=()):
        made = tensor()
        made.__dict__.update(name=name, shape=shape, is_network_output=False)
        return made

    class Layer(strict("ILayer")):
        def __init__(self, name, kind, inputs, groups=1):
            self.__dict__.update(name=name, type=kind, num_inputs=len(inputs), num_outputs=1)
            self._inputs, self._output = list(inputs), make_tensor(f"{name}_out")
            self._groups = groups

        def get_input(self, index):
            return self._inputs[index]

        def get_output(self, index):
            return self._output

        def set_input(self, index, value):
            self._inputs[index] = value

    trt.IConvolutionLayer = type(
        "IConvolutionLayer",
        (Layer,),
        {"num_groups": property(lambda self: self._groups), "_names": Layer._names | set(names["IConvolutionLayer"])},
    )
    face = make_tensor("face", (-1, SIDE, SIDE, 3))
    kinds = trt.LayerType
    layers = []

    def parsed_layers():
        cast = Layer("cast", kinds.SHUFFLE, [face])
        quantize = Layer("q", kinds.QUANTIZE, [cast.get_output(0)])
        dequantize = Layer("dq", kinds.DEQUANTIZE, [quantize.get_output(0)])
        conv = Layer("conv", kinds.CONVOLUTION, [dequantize.get_output(0)], groups=4)
        return [cast, quantize, dequantize, conv]

    network_class = strict(
        "INetworkDefinition",
        num_inputs=1,
        num_layers=len(parsed_layers()),
        get_input=lambda self, index: face,
        get_layer=lambda self, index: layers[index],
        mark_output=lambda self, tensor: record.exposed.append(tensor.name),
    )

    def set_timing_cache(self, cache, ignore_mismatch):
        record.cache_given = cache
        return True

    cache_class = strict("ITimingCache", serialize=lambda self: b"timings")
    config_class = strict(
        "IBuilderConfig",
        set_flag=lambda self, flag: record.flags.add(flag.name),
        clear_flag=lambda self, flag: record.flags.discard(flag.name),
        set_memory_pool_limit=lambda self, pool, size: record.limits.update({pool.name: size}),
        set_tactic_sources=lambda self, word: record.limits.update(tactics=word),
        add_optimization_profile=lambda self, profile: record.profiles.append(profile._shapes),
        create_timing_cache=lambda self, data: cache_class(),
        set_timing_cache=set_timing_cache,
        get_timing_cache=lambda self: record.cache_given,
        builder_optimization_level=3,
        can_run_on_DLA=lambda self, layer: layer.name not in behaviour.off_dla,
    )

    class Profile(strict("IOptimizationProfile")):
        def __init__(self):
            self._shapes = {}

        def set_shape(self, name, smallest, preferred, largest):
            self._shapes[name] = (smallest, preferred, largest)

    def create_network(self, flags):
        record.network_flags = flags
        layers[:] = parsed_layers()
        return network_class()

    def create_builder_config(self):
        record.flags.clear()
        record.config = config_class()
        return record.config

    def build(self, network, config):
        reason = behaviour.fail(frozenset(record.flags), layers)
        if reason:
            self._log.log(ILogger.ERROR, reason)
            return None
        numbers = [int(part) for part in trt.__version__.split(".")]
        return b"ftrt" + bytes(20) + bytes(numbers[:4]) + b"plan"

    def builder_init(self, log):
        if not behaviour.gpu:
            log.log(ILogger.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._log = log

    trt.Builder = strict(
        "Builder",
        __init__=builder_init,
        num_DLA_cores=behaviour.dla_cores,
        create_network=create_network,
        create_builder_config=create_builder_config,
        create_optimization_profile=lambda self: Profile(),
        build_serialized_network=build,
    )

    def error(node, text):
        made = strict("ParserError", node=lambda self: node, desc=lambda self: text, node_name=lambda self: "n7")
        return made()

    def parser_init(self, network, log):
        pass

    trt.OnnxParser = strict(
        "OnnxParser",
        __init__=parser_init,
        parse_from_file=lambda self, path: not behaviour.parser_errors,
        num_errors=len(behaviour.parser_errors),
        get_error=lambda self, index: error(*behaviour.parser_errors[index]),
    )
    # hasattr on the class itself must say what the version has.
    for member in names["OnnxParser"]:
        if not member.startswith("_") and not hasattr(trt.OnnxParser, member):
            setattr(trt.OnnxParser, member, None)
    if "IProgressMonitor" in names:
        trt.IProgressMonitor = type("IProgressMonitor", (), {"__init__": lambda self: None})
    return trt


@pytest.fixture
def package(toy_onnx, tmp_path):
    """A package with fp32, int8-tensorrt and fp16 ONNX files of the toy graph, in a folder of its own."""
    import shutil

    from edgeau.runtime.files import sha256_file
    from edgeau.runtime.manifest import CropSpec, InputSpec, Manifest, Variant
    from edgeau.runtime.package import Package

    manifest = Manifest(
        name="toy",
        family="imported",
        aus=("AU01", "AU02", "AU04", "AU12"),
        thresholds=(0.5,) * AUS,
        inputs=(InputSpec("face", SIDE, SIDE),),
        crop=CropSpec(size_px=SIDE),
    )
    kinds = {
        "fp32": ("fp32", ("onnxruntime", "openvino")),
        "int8-tensorrt": ("int8", ("tensorrt",)),
        "fp16": ("fp16", ("onnxruntime", "openvino")),
    }

    def files(folder):
        made = manifest
        for name, (precision, backends) in kinds.items():
            file = folder / f"{name}.onnx"
            shutil.copyfile(toy_onnx(precision), file)
            made = made.with_variant(
                Variant(name, file.name, sha256_file(file), file.stat().st_size, precision, backends)
            )
        return made

    return Package.create(tmp_path / "toy.edgeau", manifest, files)


@pytest.fixture
def crops_file(tmp_path):
    """An .npz of face crops: the photo of an astronaut, cut in 12 ways."""
    skimage = pytest.importorskip("skimage", reason="scikit-image is not installed, and has the photo")
    photo = skimage.data.astronaut()
    faces = np.stack([photo[i : i + 256 : 8, 100 + i : 356 + i : 8] for i in range(0, 120, 10)])
    path = tmp_path / "crops.npz"
    np.savez(path, faces=faces)
    return path
