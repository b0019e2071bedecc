"""TensorRT without a GPU: a module whose classes have the members of a version's bindings and no others.

The builder makes plans that the runtime runs (on ``fakes.cuda``'s GPU). Its network is always the same: the images are
cast, quantized, dequantized and convolved in groups with quantized weights; every AU is the face's mean.

The names are from the bindings' source at each version's tag. Only numpy and the standard library are needed, so that
a bare interpreter can use the module as its ``tensorrt``.

Sources for TensorRT's behaviour:
    plan header   ``edgeau.runtime.engine_file``: ftrt from 8.6 on, ptrt before
    no GPU        NVIDIA/TensorRT issues: createInferBuilder and createInferRuntime return null, which pybind11 reports
                  as TypeError "factory function returned nullptr"; error 35 is cudaErrorInsufficientDriver
    refusals      IExecutionContext.execute_async_v3 and the set_ calls return False, deserialize_cuda_engine and
                  build_serialized_network None (docstrings of the bindings, 8.5 to 11)
    DLA           Runtime.DLA_core chooses the core that a plan is deserialized for (bindings' docstring); trtexec sets
                  it before it deserializes (samples/common/sampleEngines.cpp)
"""

import ctypes
import enum
import json
import types
from pathlib import Path

NAMES = json.loads((Path(__file__).parent / "tensorrt_api_names.json").read_text())
VERSIONS = tuple(NAMES)
ENUMERATIONS = (
    "BuilderFlag",
    "DataType",
    "DeviceType",
    "LayerType",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "ProfilingVerbosity",
    "TacticSource",
    "TensorIOMode",
)
HEADER_BYTES = 28


class Behaviour(types.SimpleNamespace):
    """The configurable behaviour of a fake.

    Attributes:
        has_gpu: if False, Builder and Runtime fail as without a driver.
        side, inputs, aus: the network's inputs, [N, side, side, 3] for each name in ``inputs``, and number of AUs.
        fail: a function of the names of set flags and the layers; returns TensorRT's error, or None if it builds.
        dla_cores: number of DLA cores; ``off_dla`` names the layers that DLA can't run.
        on_parse: called with the ONNX file's bytes.
        parser_errors: (node, text) of each parser error.
        cache_fits: whether a timing cache with content is from this device.
        refuse_plan: deserializing returns None.
        refuse_enqueue: number of following calls that are refused.
        rows: rows per image of exposed tensors, by name.
    """

    def __init__(self, **changes):
        defaults = {
            "has_gpu": True,
            "side": 32,
            "inputs": ("face",),
            "aus": 4,
            "fail": lambda flags, layers: None,
            "dla_cores": 0,
            "off_dla": (),
            "on_parse": lambda model: None,
            "parser_errors": (),
            "cache_fits": True,
            "refuse_plan": False,
            "refuse_enqueue": 0,
            "rows": {},
        }
        super().__init__(**{**defaults, **changes})


def plan_bytes(version, network):
    """A plan with this version's header, followed by the fake's network.

    Args:
        version: such as ``10.3`` or ``10.3.0.1``.
        network: ``inputs``, ``side``, ``outputs`` (name -> [rows per image, width]) and ``batch`` (three numbers).
    """
    numbers = [int(part) for part in version.split(".")]
    numbers += [0, 1][len(numbers) - 2 :]
    old = numbers[:2] < [8, 6]
    header = (b"ptrt" if old else b"ftrt") + bytes(20) + (bytes(4) if old else bytes(numbers))
    return header + json.dumps(network).encode()


def make_tensorrt(version, gpu=None, **behaviour):
    """A module like ``tensorrt`` of this version.

    Args:
        version: one of VERSIONS.
        gpu: a ``fakes.cuda.FakeGpu`` that engines run on.
        behaviour: as in Behaviour; ``module.behaviour`` may be changed later.

    ``module.record`` stores the builder's settings.
    """
    module = types.ModuleType("tensorrt")
    module.__version__ = f"{version}.0.1"
    module.behaviour = Behaviour(**behaviour)
    module.record = types.SimpleNamespace(
        flags=set(), profiles=[], limits={}, network=None, network_flags=None, cache_given=None, config=None, exposed=[]
    )
    module.gpu = gpu
    names = NAMES[version]
    for name in ENUMERATIONS:
        setattr(module, name, enum.IntEnum(name, {member: number for number, member in enumerate(names[name])}))
    for base in CLASSES:
        members = frozenset(names[base.__name__]).union(*(names.get(parent.__name__, ()) for parent in base.__mro__))
        setattr(module, base.__name__, type(base)(base.__name__, (base,), {"_names": members, "_trt": module}))
    module.ILogger = module.Logger = ILogger
    if "IProgressMonitor" in names:
        module.IProgressMonitor = IProgressMonitor
    return module


class ILogger:
    """The table of the bindings' classes doesn't list its members, which all versions have."""

    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class IProgressMonitor:
    """TensorRT 10 and later."""


class StrictType(type):
    """Raises AttributeError for every name that the version's class lacks."""

    def __getattribute__(cls, name):
        if not name.startswith("_") and name not in type.__getattribute__(cls, "_names"):
            raise AttributeError(f"{cls.__name__} of this version has no {name}")
        return super().__getattribute__(name)

    def __getattr__(cls, name):
        if name.startswith("_") or name not in cls._names:
            raise AttributeError(name)
        # The version has this name, but the fake doesn't implement it.
        return None


class Strict(metaclass=StrictType):
    """Base class that does the same for instances."""

    _names = frozenset()
    _trt = None

    def __getattribute__(self, name):
        if not name.startswith("_") and name not in type(self)._names:
            raise AttributeError(f"{type(self).__name__} of this version has no {name}")
        return super().__getattribute__(name)

    def __setattr__(self, name, value):
        if not name.startswith("_") and name not in type(self)._names:
            raise AttributeError(f"{type(self).__name__} of this version has no {name}")
        super().__setattr__(name, value)


# --- the network -------------------------------------------------------------------------------------------------


class ITensor(Strict):
    def __init__(self, name, shape=()):
        self.__dict__.update(name=name, shape=shape, is_network_output=False)


class ILayer(Strict):
    def __init__(self, name, kind, inputs, groups=1):
        self.__dict__.update(name=name, type=kind, num_inputs=len(inputs), num_outputs=1)
        self._inputs, self._groups = list(inputs), groups
        self._output = self._trt.ITensor(f"{name}_out")

    def get_input(self, index):
        return self._inputs[index]

    def get_output(self, index):
        return self._output

    def set_input(self, index, value):
        self._inputs[index] = value


class IConvolutionLayer(ILayer):
    """The bindings return layers as their base class until ``__class__`` is set."""

    @property
    def num_groups(self):
        return self._groups


class INetworkDefinition(Strict):
    def __init__(self):
        behaviour, kinds = self._trt.behaviour, self._trt.LayerType
        shape = (-1, behaviour.side, behaviour.side, 3)
        self._inputs = [self._trt.ITensor(name, shape) for name in behaviour.inputs]
        layer = self._trt.ILayer
        cast = layer("cast", kinds.SHUFFLE, self._inputs[:1])
        quantize = layer("q", kinds.QUANTIZE, [cast.get_output(0)])
        dequantize = layer("dq", kinds.DEQUANTIZE, [quantize.get_output(0)])
        weights = layer("w", kinds.CONSTANT, [])
        weights_q = layer("w_q", kinds.QUANTIZE, [weights.get_output(0)])
        weights_dq = layer("w_dq", kinds.DEQUANTIZE, [weights_q.get_output(0)])
        conv = layer("conv", kinds.CONVOLUTION, [dequantize.get_output(0), weights_dq.get_output(0)], groups=4)
        self._layers = [cast, quantize, dequantize, weights, weights_q, weights_dq, conv]
        self.__dict__.update(num_inputs=len(self._inputs), num_layers=len(self._layers))

    def get_input(self, index):
        return self._inputs[index]

    def get_layer(self, index):
        return self._layers[index]

    def mark_output(self, tensor):
        self._trt.record.exposed.append(tensor.name)


# --- the builder -------------------------------------------------------------------------------------------------


class ITimingCache(Strict):
    def __init__(self, data):
        self._data = data

    def serialize(self):
        return b"timings"


class IOptimizationProfile(Strict):
    def __init__(self):
        self._shapes = {}

    def set_shape(self, name, smallest, preferred, largest):
        self._shapes[name] = (smallest, preferred, largest)


class IBuilderConfig(Strict):
    builder_optimization_level = 3

    def set_flag(self, flag):
        self._trt.record.flags.add(flag.name)

    def clear_flag(self, flag):
        self._trt.record.flags.discard(flag.name)

    def set_memory_pool_limit(self, pool, size):
        self._trt.record.limits[pool.name] = size

    def set_tactic_sources(self, word):
        self._trt.record.limits["tactics"] = word

    def add_optimization_profile(self, profile):
        self._trt.record.profiles.append(profile._shapes)

    def create_timing_cache(self, data):
        return self._trt.ITimingCache(data)

    def set_timing_cache(self, cache, ignore_mismatch):
        self._trt.record.cache_given = cache
        return self._trt.behaviour.cache_fits or not cache._data

    def get_timing_cache(self):
        return self._trt.record.cache_given

    def can_run_on_DLA(self, layer):  # noqa: N802
        return layer.name not in self._trt.behaviour.off_dla


def _refuse_without_gpu(trt, log):
    if not trt.behaviour.has_gpu:
        log.log(ILogger.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")


class Builder(Strict):
    def __init__(self, log):
        _refuse_without_gpu(self._trt, log)
        self._log = log

    @property
    def num_DLA_cores(self):  # noqa: N802
        return self._trt.behaviour.dla_cores

    def create_network(self, flags):
        self._trt.record.network_flags = flags
        self._trt.record.network = self._trt.INetworkDefinition()
        return self._trt.record.network

    def create_builder_config(self):
        self._trt.record.flags.clear()
        self._trt.record.config = self._trt.IBuilderConfig()
        return self._trt.record.config

    def create_optimization_profile(self):
        return self._trt.IOptimizationProfile()

    def build_serialized_network(self, network, config):
        record, behaviour = self._trt.record, self._trt.behaviour
        reason = behaviour.fail(frozenset(record.flags), network._layers)
        if reason:
            self._log.log(ILogger.ERROR, reason)
            return None
        batch = [shape[0] for shape in next(iter(record.profiles[-1].values()))]
        outputs = {"au": [1, behaviour.aus]}
        outputs.update({name: [behaviour.rows.get(name, 1), behaviour.aus] for name in record.exposed})
        description = {"inputs": behaviour.inputs, "side": behaviour.side, "outputs": outputs, "batch": batch}
        core = getattr(config, "DLA_core", None)
        return plan_bytes(self._trt.__version__, {**description, "dla_core": core})


class ParserError(Strict):
    def __init__(self, node, text):
        self._node, self._text = node, text

    def node(self):
        return self._node

    def desc(self):
        return self._text

    def node_name(self):
        return "n7"


class OnnxParser(Strict):
    def __init__(self, network, log):
        pass

    def parse(self, model, path=None):
        assert isinstance(model, bytes)
        self._trt.behaviour.on_parse(model)
        return not self._trt.behaviour.parser_errors

    @property
    def num_errors(self):
        return len(self._trt.behaviour.parser_errors)

    def get_error(self, index):
        return self._trt.ParserError(*self._trt.behaviour.parser_errors[index])


# --- the runtime -------------------------------------------------------------------------------------------------


class Runtime(Strict):
    DLA_core = -1

    def __init__(self, log):
        _refuse_without_gpu(self._trt, log)
        self._log = log

    def deserialize_cuda_engine(self, plan):
        network = json.loads(plan[HEADER_BYTES:])
        if self._trt.behaviour.refuse_plan or plan != plan_bytes(self._trt.__version__, network):
            self._log.log(ILogger.ERROR, "Serialization assertion failed\nversion tag does not match")
            return None
        if (network.get("dla_core") or 0) != max(self.DLA_core, 0):
            self._log.log(ILogger.ERROR, f"plan for DLA core {network['dla_core']}, runtime of {self.DLA_core}")
            return None
        return self._trt.ICudaEngine(network)

    def __del__(self):
        _log_end(self, "runtime")


class ICudaEngine(Strict):
    def __init__(self, network):
        self._network = network
        self.__dict__["num_io_tensors"] = len(network["inputs"]) + len(network["outputs"])

    def get_tensor_name(self, index):
        return [*self._network["outputs"], *self._network["inputs"]][index]

    def get_tensor_mode(self, name):
        kinds = self._trt.TensorIOMode
        return kinds.INPUT if name in self._network["inputs"] else kinds.OUTPUT

    def get_tensor_shape(self, name):
        smallest, _, largest = self._network["batch"]
        if smallest == largest:
            return shape_of(self._network, name, largest)
        return (-1, *shape_of(self._network, name, largest)[1:])

    def get_tensor_profile_shape(self, name, profile):
        assert profile == 0
        assert name in self._network["inputs"]
        return [shape_of(self._network, name, batch) for batch in self._network["batch"]]

    def get_tensor_dtype(self, name):
        return self._trt.DataType.UINT8 if name in self._network["inputs"] else self._trt.DataType.FLOAT

    def create_execution_context(self):
        return self._trt.IExecutionContext(self._network)

    def __del__(self):
        _log_end(self, "engine")


class IExecutionContext(Strict):
    def __init__(self, network):
        self._network, self._batches, self._addresses = network, {}, {}

    def set_input_shape(self, name, shape):
        self._trt.gpu.log.append(f"shape {shape[0]}")
        self._batches[name] = shape[0]
        smallest, _, largest = self._network["batch"]
        return smallest <= shape[0] <= largest

    def get_tensor_shape(self, name):
        return shape_of(self._network, name, self._batch())

    def set_tensor_address(self, name, address):
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle):
        gpu, behaviour = self._trt.gpu, self._trt.behaviour
        gpu.log.append("enqueue")
        if behaviour.refuse_enqueue:
            behaviour.refuse_enqueue -= 1
            return False
        batch, addresses = self._batch(), dict(self._addresses)
        gpu.queue(stream_handle, lambda: self._compute(batch, addresses))
        return True

    def _batch(self):
        assert set(self._batches) == set(self._network["inputs"]), "an input's shape was not set"
        (batch,) = set(self._batches.values())
        return batch

    def _compute(self, batch, addresses):
        import numpy as np

        self._trt.gpu.do("kernel")

        def view(name, kind):
            shape = shape_of(self._network, name, batch)
            size = int(np.prod(shape)) * np.dtype(kind).itemsize
            self._trt.gpu.check(addresses[name], size)
            raw = (ctypes.c_uint8 * size).from_address(addresses[name])
            return np.frombuffer(raw, kind).reshape(shape)

        values = view("face", np.uint8).mean((1, 2, 3)) / 255
        if "neutral" in self._network["inputs"]:
            values = values - view("neutral", np.uint8).mean((1, 2, 3)) / 2550
        for name, (rows, _) in self._network["outputs"].items():
            view(name, np.float32)[:] = np.repeat(values, rows)[:, None]

    def __del__(self):
        _log_end(self, "context")


def shape_of(network, name, batch):
    """The shape of a tensor for a batch size."""
    if name in network["inputs"]:
        return (batch, network["side"], network["side"], 3)
    rows, width = network["outputs"][name]
    return (batch * rows, width)


def _log_end(item, name):
    gpu = getattr(type(item)._trt, "gpu", None)
    if gpu is not None:
        gpu.log.append(f"~{name}")


CLASSES = (
    ITensor,
    ILayer,
    IConvolutionLayer,
    INetworkDefinition,
    ITimingCache,
    IOptimizationProfile,
    IBuilderConfig,
    Builder,
    ParserError,
    OnnxParser,
    Runtime,
    ICudaEngine,
    IExecutionContext,
)
