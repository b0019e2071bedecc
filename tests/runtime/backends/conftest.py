"""A GPU that exists only in memory, under fakes of cuda-python, pycuda and TensorRT that have the real names.

Work queued on a stream runs when the stream is synchronised, as on a GPU: who reads too early reads old values. Every
allocation is tracked, so that leaks, double frees and use after free show.
"""

import ctypes
import enum
import hashlib
import importlib
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from edgeau.runtime.engine_file import EngineSidecar, write_sidecar
from edgeau.runtime.machine import Machine

NAMES = json.loads((Path(__file__).parent / "tensorrt_api_names.json").read_text())
SIDE, AUS = 8, 3


def plan_of(version):
    """Bytes of a plan as that version writes its header: tag, and from byte 24 on major, minor, patch, build."""
    return b"ftrt" + bytes(20) + bytes((*map(int, version.split(".")), 0, 30)) + b"plan"


class FailureError(Exception):
    """A CUDA error by its number."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class FakeGpu:
    """Memory, streams and errors of one GPU. ``fail`` maps an operation to the error that its next call gives."""

    def __init__(self, integrated=False):
        self.integrated, self.log, self.fail = integrated, [], {}
        self.memory, self.streams, self.graphs, self.events = {}, {}, {}, set()
        self.contexts, self.sticky, self.next = 0, None, 100

    def do(self, operation):
        self.log.append(operation)
        if self.sticky is not None:
            raise FailureError(self.sticky)
        code = self.fail.pop(operation, 0)
        if code in (700, 719):
            self.sticky = code
        if code:
            raise FailureError(code)

    def number(self):
        self.next += 1
        return self.next

    def alloc(self, kind, size):
        block = (ctypes.c_uint8 * size)()
        address = ctypes.addressof(block)
        self.memory[address] = (kind, block, size)
        return address

    def release(self, kind, address):
        assert self.memory.pop(address)[0] == kind

    def check(self, address, size):
        """Whether these bytes lie inside something that is allocated."""
        assert any(start <= address and address + size <= start + n for start, (_, _, n) in self.memory.items())

    def copy(self, target, source, size):
        self.check(target, size)
        self.check(source, size)
        ctypes.memmove(target, source, size)

    def queue(self, stream, work):
        state = self.streams[stream]
        if state["captured"] is not None:
            state["captured"].append(work)
        else:
            state["pending"].append(work)

    def new_stream(self):
        handle = self.number()
        self.streams[handle] = {"pending": [], "captured": None}
        return handle

    def synchronize(self, stream):
        pending, self.streams[stream]["pending"] = self.streams[stream]["pending"], []
        for work in pending:
            work()

    def left(self):
        """What was not given back."""
        return {
            "memory": len(self.memory), "streams": len(self.streams), "graphs": len(self.graphs),
            "events": len(self.events), "contexts": self.contexts,
        }  # fmt: skip


def fake_cudart(gpu):
    """``cuda.bindings.runtime``: each function returns (error, results...)."""
    module = types.ModuleType("cuda.bindings.runtime")
    codes = enum.IntEnum(
        "cudaError_t",
        {"cudaSuccess": 0, "cudaErrorMemoryAllocation": 2, "cudaErrorIllegalAddress": 700,
         "cudaErrorLaunchFailure": 719, "cudaErrorStreamCaptureUnsupported": 900},
    )  # fmt: skip
    module.cudaError_t = codes
    module.cudaMemcpyKind = enum.IntEnum("cudaMemcpyKind", {"cudaMemcpyHostToDevice": 1, "cudaMemcpyDeviceToHost": 2})
    module.cudaStreamCaptureMode = enum.IntEnum("cudaStreamCaptureMode", {"cudaStreamCaptureModeThreadLocal": 1})
    module.cudaDeviceAttr = enum.IntEnum(
        "cudaDeviceAttr",
        {"cudaDevAttrIntegrated": 18, "cudaDevAttrCanMapHostMemory": 19,
         "cudaDevAttrComputeCapabilityMajor": 75, "cudaDevAttrComputeCapabilityMinor": 76},
    )  # fmt: skip
    module.cudaHostAllocDefault, module.cudaHostAllocMapped, module.cudaStreamNonBlocking = 0, 2, 1

    def call(name):
        def decorate(function):
            def wrapped(*arguments):
                try:
                    gpu.do(name)
                    result = function(*arguments)
                except FailureError as failure:
                    return (codes(failure.code), None)
                return (codes(0), *result) if isinstance(result, tuple) else (codes(0),)

            setattr(module, name, wrapped)
            return wrapped

        return decorate

    call("cudaSetDevice")(lambda device: None)
    call("cudaFree")(lambda address: gpu.release("device", address) if address else None)
    call("cudaMalloc")(lambda size: (gpu.alloc("device", size),))
    call("cudaHostAlloc")(lambda size, flags: (gpu.alloc("mapped" if flags == 2 else "host", size),))
    call("cudaFreeHost")(lambda address: gpu.release(gpu.memory[address][0], address))
    call("cudaMemGetInfo")(lambda: (1 << 30, 4 << 30))
    call("cudaStreamCreateWithFlags")(lambda flags: (gpu.new_stream(),))
    call("cudaStreamDestroy")(lambda stream: gpu.streams.pop(stream) and None)
    call("cudaStreamSynchronize")(gpu.synchronize)
    call("cudaEventSynchronize")(lambda event: None)
    call("cudaEventElapsedTime")(lambda start, end: (0.25,))
    call("cudaEventDestroy")(lambda event: gpu.events.remove(event))

    @call("cudaHostGetDevicePointer")
    def _(address, flags):
        assert gpu.memory[address][0] == "mapped"
        return (address,)

    @call("cudaDeviceGetAttribute")
    def _(attribute, device):
        return ({18: int(gpu.integrated), 19: 1, 75: 8, 76: 7}[int(attribute)],)

    @call("cudaMemcpyAsync")
    def _(target, source, size, kind, stream):
        gpu.queue(stream, lambda: gpu.copy(target, source, size))

    @call("cudaEventCreate")
    def _():
        event = gpu.number()
        gpu.events.add(event)
        return (event,)

    @call("cudaEventRecord")
    def _(event, stream):
        assert event in gpu.events

    @call("cudaStreamBeginCapture")
    def _(stream, mode):
        assert not gpu.streams[stream]["pending"], "captured before the warm-up was waited for"
        gpu.streams[stream]["captured"] = []

    @call("cudaStreamEndCapture")
    def _(stream):
        works, gpu.streams[stream]["captured"] = gpu.streams[stream]["captured"], None
        graph = gpu.number()
        gpu.graphs[graph] = works
        return (graph,)

    @call("cudaGraphInstantiateWithFlags")
    def _(graph, flags):
        executable = gpu.number()
        gpu.graphs[executable] = gpu.graphs[graph]
        return (executable,)

    @call("cudaGraphLaunch")
    def _(executable, stream):
        for work in gpu.graphs[executable]:
            gpu.queue(stream, work)

    def destroy(graph):
        del gpu.graphs[graph]

    call("cudaGraphDestroy")(destroy)
    call("cudaGraphExecDestroy")(destroy)
    module.cudaGetErrorString = lambda code: (codes(0), f"what error {int(code)} means".encode())
    module.cudaGetLastError = lambda: (codes(0),)
    return module


def fake_pycuda(gpu):
    """``pycuda.driver``, in which memory belongs to the context that is current."""
    module = types.ModuleType("pycuda.driver")
    texts = {2: "out of memory", 700: "an illegal memory access was encountered"}

    class Error(Exception):
        pass

    def do(name):
        assert gpu.contexts, f"{name} without a context"
        assert module.stack, f"{name} while no context is current"
        try:
            gpu.do(name)
        except FailureError as failure:
            raise Error(f"{name} failed: {texts[failure.code]}") from None

    class Context:
        def push(self):
            module.stack.append(self)

        @staticmethod
        def pop():
            module.stack.pop()

        def detach(self):
            module.stack.remove(self)
            gpu.contexts -= 1

    class Device:
        def __init__(self, number):
            assert module.ready

        def retain_primary_context(self):
            gpu.contexts += 1
            return Context()

        def get_attribute(self, attribute):
            return {"INTEGRATED": int(gpu.integrated), "CAN_MAP_HOST_MEMORY": 1}[attribute]

        def compute_capability(self):
            return (8, 7)

    class Stream:
        def __init__(self, flags=0):
            do("cuStreamCreate")
            self.handle = gpu.new_stream()

        def synchronize(self):
            do("cuStreamSynchronize")
            try:
                gpu.synchronize(self.handle)
            except FailureError as failure:
                raise Error(f"cuStreamSynchronize failed: {texts[failure.code]}") from None

        def __del__(self):
            gpu.streams.pop(self.handle, None)

    class Allocation:
        def __init__(self, kind, size):
            do("alloc")
            self.kind, self.address = kind, gpu.alloc(kind, size)

        def __int__(self):
            return self.address

        def get_device_pointer(self):
            assert self.kind == "mapped"
            return self.address

        def free(self):
            do("free")
            gpu.release(self.kind, self.address)

    class Event:
        def record(self, stream=None):
            do("cuEventRecord")
            return self

        def synchronize(self):
            return self

        def time_till(self, other):
            return 0.25

    class Array(np.ndarray):
        base = None

    def pagelocked_empty(shape, dtype, order="C", mem_flags=0):
        allocation = Allocation("mapped" if mem_flags else "host", shape)
        array = np.frombuffer(gpu.memory[allocation.address][1], np.uint8).view(Array)
        array.base = allocation
        return array

    def copy(target, source, size, stream):
        do("copy")
        gpu.queue(stream.handle, lambda: gpu.copy(target, source, size))

    def init(flags=0):
        module.ready = True

    module.stack, module.ready, module.Error, module.init = [], False, Error, init
    module.Device, module.Context, module.Stream, module.Event = Device, Context, Stream, Event
    module.device_attribute = types.SimpleNamespace(INTEGRATED="INTEGRATED", CAN_MAP_HOST_MEMORY="CAN_MAP_HOST_MEMORY")
    module.host_alloc_flags = types.SimpleNamespace(DEVICEMAP=2)
    module.pagelocked_empty = pagelocked_empty
    module.mem_alloc = lambda size: Allocation("device", size)
    module.mem_get_info = lambda: (1 << 30, 4 << 30)
    module.memcpy_htod_async = lambda dest, src, stream=None: copy(dest, src.ctypes.data, src.nbytes, stream)
    module.memcpy_dtoh_async = lambda dest, src, stream=None: copy(dest.ctypes.data, src, dest.nbytes, stream)
    return module


class Named:
    """Base of TensorRT's fakes: a member that the version lacks is an AttributeError."""

    allowed = frozenset()

    def __getattribute__(self, name):
        if not name.startswith("_") and name not in object.__getattribute__(self, "allowed"):
            raise AttributeError(f"this TensorRT has no {name}")
        return object.__getattribute__(self, name)


def fake_tensorrt(version, gpu, batch=(1, 1, 4), order=None):
    """A module with the members of that version's classes; its network gives each face's mean, in every AU.

    ``module.behaviour`` steers it: ``refuse_plan``, ``refuse_enqueue`` (number of calls), ``no_device``.
    """
    names = NAMES[version]
    module = types.ModuleType("tensorrt")
    module.__version__ = f"{version}.0"
    module.behaviour = types.SimpleNamespace(refuse_plan=False, refuse_enqueue=0, no_device=False)
    module.DataType = enum.Enum("DataType", {name: i for i, name in enumerate(names["DataType"])})
    module.TensorIOMode = enum.Enum("TensorIOMode", {name: i for i, name in enumerate(names["TensorIOMode"])})
    static = batch[0] == batch[2]
    inputs = ("neutral", "face")
    live = gpu.log

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

        def __init__(self):
            pass

    class Runtime(Named):
        allowed = frozenset(names["Runtime"])

        def __init__(self, logger):
            if module.behaviour.no_device:
                logger.log(ILogger.ERROR, "CUDA initialization failure with error: 35")
                raise TypeError("pybind11::init(): factory function returned nullptr")
            self._logger = logger

        def deserialize_cuda_engine(self, plan):
            if module.behaviour.refuse_plan or plan != plan_of(version):
                self._logger.log(ILogger.ERROR, "Serialization assertion failed\nversion tag does not match")
                return None
            return ICudaEngine()

        def __del__(self):
            live.append("~runtime")

    class ICudaEngine(Named):
        allowed = frozenset(names["ICudaEngine"])
        num_io_tensors = 3

        def get_tensor_name(self, index):
            return ("au", *inputs)[index]

        def get_tensor_mode(self, name):
            return module.TensorIOMode.INPUT if name in inputs else module.TensorIOMode.OUTPUT

        def get_tensor_shape(self, name):
            first = batch[0] if static else -1
            return (first, SIDE, SIDE, 3) if name in inputs else (first, AUS)

        def get_tensor_profile_shape(self, name, profile):
            assert profile == 0
            assert name in inputs
            return [(n, SIDE, SIDE, 3) for n in batch]

        def get_tensor_dtype(self, name):
            return module.DataType.UINT8 if name in inputs else module.DataType.FLOAT

        def create_execution_context(self):
            return IExecutionContext()

        def __del__(self):
            live.append("~engine")

    class IExecutionContext(Named):
        allowed = frozenset(names["IExecutionContext"])

        def __init__(self):
            self._shapes, self._addresses = {}, {}

        def set_input_shape(self, name, shape):
            gpu.log.append(f"shape {shape[0]}")
            self._shapes[name] = tuple(shape)
            return batch[0] <= shape[0] <= batch[2]

        def set_tensor_address(self, name, address):
            self._addresses[name] = address
            return True

        def execute_async_v3(self, stream_handle):
            gpu.log.append("enqueue")
            if module.behaviour.refuse_enqueue:
                module.behaviour.refuse_enqueue -= 1
                return False
            count = self._shapes["face"][0]
            addresses = dict(self._addresses)
            gpu.queue(stream_handle, lambda: self._compute(count, addresses))
            return True

        def _compute(self, count, addresses):
            size = SIDE * SIDE * 3
            gpu.do("kernel")
            arrays = {}
            for name in inputs:
                gpu.check(addresses[name], count * size)
                raw = (ctypes.c_uint8 * (count * size)).from_address(addresses[name])
                arrays[name] = np.frombuffer(raw, np.uint8).reshape(count, size)
            gpu.check(addresses["au"], count * AUS * 4)
            raw = (ctypes.c_float * (count * AUS)).from_address(addresses["au"])
            out = np.frombuffer(raw, np.float32).reshape(count, AUS)
            out[:] = (arrays["face"].mean(1) / 255 - arrays["neutral"].mean(1) / 2550)[:, None]

        def __del__(self):
            live.append("~context")

    module.ILogger, module.Logger, module.Runtime = ILogger, ILogger, Runtime
    module.ICudaEngine, module.IExecutionContext = ICudaEngine, IExecutionContext
    return module


@pytest.fixture
def gpu():
    """A GPU with memory of its own."""
    return FakeGpu()


@pytest.fixture
def make_engine(tmp_path):
    """A function: TensorRT's version -> an engine of it, whose sidecar fits a machine of which nothing is known."""

    def make(version):
        plan = plan_of(version)
        path = tmp_path / "engines" / "net.engine"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(plan)
        write_sidecar(path, sidecar_of(plan, version))
        return path

    return make


@pytest.fixture
def engine(make_engine):
    """An engine of TensorRT 10.3."""
    return make_engine("10.3")


def sidecar_of(plan, version):
    """What `edgeau build` would write beside the plan."""
    return EngineSidecar(
        engine_sha256=hashlib.sha256(plan).hexdigest(),
        engine_size_bytes=len(plan),
        onnx_file="fp32.onnx",
        onnx_sha256="0" * 64,
        made_from="fp32",
        package="net",
        flavour="tensorrt",
        tensorrt=f"{version}.0.30",
        precision="fp16",
        asked_precision="int8",
        batch=(1, 1, 4),
        inputs={"face": [SIDE, SIDE, 3], "neutral": [SIDE, SIDE, 3]},
    )


@pytest.fixture
def install(monkeypatch):
    """A function that puts fakes in place of TensorRT and a CUDA binding, and gives the backend's module."""

    def put(gpu, version="10.3", binding="cuda-python", **options):
        tensorrt = fake_tensorrt(version, gpu, **options)
        monkeypatch.setitem(sys.modules, "tensorrt", tensorrt)
        for name in ("cuda", "cuda.bindings", "cuda.bindings.runtime", "cuda.cudart", "pycuda", "pycuda.driver"):
            monkeypatch.setitem(sys.modules, name, None)
        if binding == "cuda-python":
            runtime = fake_cudart(gpu)
            monkeypatch.setitem(sys.modules, "cuda", types.ModuleType("cuda"))
            bindings = types.ModuleType("cuda.bindings")
            bindings.runtime = runtime
            monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
            monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", runtime)
        elif binding == "pycuda":
            driver = fake_pycuda(gpu)
            package = types.ModuleType("pycuda")
            package.driver = driver
            monkeypatch.setitem(sys.modules, "pycuda", package)
            monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
        monkeypatch.delitem(sys.modules, "edgeau.runtime.backends.tensorrt", raising=False)
        module = importlib.import_module("edgeau.runtime.backends.tensorrt")
        monkeypatch.setattr(module, "read_machine", Machine)
        module.fake = tensorrt
        return module

    yield put
    sys.modules.pop("edgeau.runtime.backends.tensorrt", None)


@pytest.fixture
def faces():
    """A function: batch -> inputs in which every face has its own brightness."""

    def make(batch, first=10):
        values = np.arange(first, first + 7 * batch, 7, dtype=np.uint8)
        face = np.broadcast_to(values[:, None, None, None], (batch, SIDE, SIDE, 3)).copy()
        return {"face": face, "neutral": np.full_like(face, 20)}

    return make


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory):
    """A real ONNX file: the mean of ``face`` less that of ``neutral``, over 255, in both AUs; batch is dynamic."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed, and makes the test graph")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["face"], ["f"], to=kinds.FLOAT),
        helper.make_node("Cast", ["neutral"], ["n"], to=kinds.FLOAT),
        helper.make_node("Sub", ["f", "n"], ["d"]),
        helper.make_node("ReduceMean", ["d"], ["m"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["m", "column"], ["c"]),
        helper.make_node("MatMul", ["c", "weights"], ["au"]),
    ]
    constants = {"column": np.array([-1, 1]), "weights": np.full((1, 2), 1 / 255, np.float32)}
    image = ["N", SIDE, SIDE, 3]
    graph = helper.make_graph(
        nodes, "mean",
        [helper.make_tensor_value_info(name, kinds.UINT8, image) for name in ("face", "neutral")],
        [helper.make_tensor_value_info("au", kinds.FLOAT, ["N", 2])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    path = tmp_path_factory.mktemp("onnx") / "mean.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
