"""A GPU that exists only in memory, with fakes of cuda-python and pycuda that have the real names.

Work queued on a stream runs when the stream is synchronised, as on a GPU, so reading too early gives old values. Every
allocation is tracked to detect leaks, double frees and use after free.

Sources: the names and numbers of cuda-python are from the CUDA runtime API reference, and a test compares them with the
installed cuda-bindings; those of pycuda are from its src/wrapper/wrap_cudadrv.cpp (2026.1).
"""

import ctypes
import enum
import sys
import types

import numpy as np

# cudaError_t in the CUDA runtime API reference. After a sticky error every call of the process fails.
OUT_OF_MEMORY, INSUFFICIENT_DRIVER, ILLEGAL_ADDRESS, LAUNCH_FAILURE, CAPTURE_UNSUPPORTED = 2, 35, 700, 719, 900
STICKY = (ILLEGAL_ADDRESS, LAUNCH_FAILURE)
BINDING_MODULES = ("cuda", "cuda.bindings", "cuda.bindings.runtime", "cuda.cudart", "pycuda", "pycuda.driver")


class FailureError(Exception):
    """A CUDA error by its number."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class FakeGpu:
    """Memory, streams and errors of one GPU. ``fail`` maps an operation to the error of its next call."""

    def __init__(self, integrated=False):
        self.integrated, self.log, self.fail = integrated, [], {}
        self.memory, self.streams, self.graphs, self.events = {}, {}, {}, set()
        self.contexts, self.sticky, self.next = 0, None, 100

    def do(self, operation):
        self.log.append(operation)
        if self.sticky is not None:
            raise FailureError(self.sticky)
        code = self.fail.pop(operation, 0)
        if code in STICKY:
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
        """Assert that these bytes are inside an allocation."""
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
        """The number of resources of each kind that were not freed."""
        return {
            "memory": len(self.memory),
            "streams": len(self.streams),
            "graphs": len(self.graphs),
            "events": len(self.events),
            "contexts": self.contexts,
        }


def fake_cudart(gpu):
    """``cuda.bindings.runtime``: each function returns (error, results...)."""
    module = types.ModuleType("cuda.bindings.runtime")
    codes = enum.IntEnum(
        "cudaError_t",
        {
            "cudaSuccess": 0,
            "cudaErrorMemoryAllocation": OUT_OF_MEMORY,
            "cudaErrorInsufficientDriver": INSUFFICIENT_DRIVER,
            "cudaErrorIllegalAddress": ILLEGAL_ADDRESS,
            "cudaErrorLaunchFailure": LAUNCH_FAILURE,
            "cudaErrorStreamCaptureUnsupported": CAPTURE_UNSUPPORTED,
        },
    )
    module.cudaError_t = codes
    module.cudaMemcpyKind = enum.IntEnum("cudaMemcpyKind", {"cudaMemcpyHostToDevice": 1, "cudaMemcpyDeviceToHost": 2})
    module.cudaStreamCaptureMode = enum.IntEnum("cudaStreamCaptureMode", {"cudaStreamCaptureModeThreadLocal": 1})
    module.cudaDeviceAttr = enum.IntEnum(
        "cudaDeviceAttr",
        {
            "cudaDevAttrIntegrated": 18,
            "cudaDevAttrCanMapHostMemory": 19,
            "cudaDevAttrComputeCapabilityMajor": 75,
            "cudaDevAttrComputeCapabilityMinor": 76,
        },
    )
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
    # The texts of cuGetErrorString.
    texts = {
        OUT_OF_MEMORY: "out of memory",
        INSUFFICIENT_DRIVER: "CUDA driver version is insufficient for CUDA runtime version",
        ILLEGAL_ADDRESS: "an illegal memory access was encountered",
    }

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
        try:
            gpu.do("cuInit")
        except FailureError as failure:
            raise Error(f"cuInit failed: {texts[failure.code]}") from None
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


def install_binding(monkeypatch, binding, gpu):
    """Put the fake of a CUDA binding into ``sys.modules``, or none if ``binding`` is None."""
    if binding == "cuda-python":
        bindings = types.ModuleType("cuda.bindings")
        bindings.runtime = fake_cudart(gpu)
        modules = {
            "cuda": types.ModuleType("cuda"),
            "cuda.bindings": bindings,
            "cuda.bindings.runtime": bindings.runtime,
        }
    elif binding == "pycuda":
        package = types.ModuleType("pycuda")
        package.driver = fake_pycuda(gpu)
        modules = {"pycuda": package, "pycuda.driver": package.driver}
    else:
        modules = {}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
