"""CUDA's runtime library through ctypes, tested with a small library of the same functions that uses host memory."""

import shutil
import subprocess

import numpy as np
import pytest

from edgeau.runtime.backends.cuda_base import CudaError
from edgeau.runtime.backends.cuda_python import CudaPython
from edgeau.runtime.backends.cudart import load_cudart

SOURCE = r"""
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
static int last; static float clock_ms; static int captured;
const char *cudaGetErrorString(int e) { return e == 2 ? "out of memory" : e == 700 ? "an illegal access" : "?"; }
int cudaGetLastError(void) { int e = last; last = 0; return e; }
int cudaSetDevice(int d) { return d ? 101 : 0; }
int cudaDeviceGetAttribute(int *v, int a, int d) {
    *v = a == 75 ? 8 : a == 76 ? 7 : a == 18 ? 1 : a == 19 ? 1 : -1; return d; }
int cudaMemGetInfo(size_t *f, size_t *t) { *f = (size_t)5 << 32; *t = (size_t)8 << 32; return 0; }
int cudaMalloc(void **p, size_t n) { if (n > (1u << 30)) return last = 2; *p = malloc(n); return 0; }
int cudaFree(void *p) { free(p); return 0; }
int cudaHostAlloc(void **p, size_t n, unsigned f) { *p = malloc(n); return f == 0 || f == 2 ? 0 : 1; }
int cudaHostGetDevicePointer(void **d, void *h, unsigned f) { *d = h; return f; }
int cudaFreeHost(void *p) { free(p); return 0; }
int cudaMemcpyAsync(void *d, const void *s, size_t n, int k, void *q) {
    if (!q || (k != 1 && k != 2)) return 1; memcpy(d, s, n); return 0; }
int cudaStreamCreateWithFlags(void **q, unsigned f) { *q = malloc(8); return f == 1 ? 0 : 1; }
int cudaStreamDestroy(void *q) { free(q); return 0; }
int cudaStreamSynchronize(void *q) { return q ? 0 : 700; }
int cudaEventCreate(void **e) { *e = malloc(sizeof(float)); return 0; }
int cudaEventRecord(void *e, void *q) { *(float *)e = clock_ms += 1.5f; return q ? 0 : 1; }
int cudaEventSynchronize(void *e) { return e ? 0 : 1; }
int cudaEventElapsedTime(float *ms, void *a, void *b) { *ms = *(float *)b - *(float *)a; return 0; }
int cudaEventDestroy(void *e) { free(e); return 0; }
int cudaStreamBeginCapture(void *q, int mode) { captured = mode; return q ? 0 : 1; }
int cudaStreamEndCapture(void *q, void **g) { *g = malloc(8); return q && captured == 1 ? 0 : 1; }
int cudaGraphInstantiateWithFlags(void **x, void *g, unsigned long long f) { *x = malloc(8); return g && !f ? 0 : 1; }
int cudaGraphDestroy(void *g) { free(g); return 0; }
int cudaGraphLaunch(void *x, void *q) { return x && q ? 0 : 1; }
int cudaGraphExecDestroy(void *x) { free(x); return 0; }
"""


@pytest.fixture(scope="module")
def cuda(tmp_path_factory):
    """edgeau's CUDA interface to the small library."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here to make the library with")
    folder = tmp_path_factory.mktemp("cudart")
    (folder / "cudart.c").write_text(SOURCE)
    command = ["gcc", "-shared", "-fPIC", "-o", folder / "libcudart.so", folder / "cudart.c"]
    subprocess.run(command, check=True)
    (runtime,) = load_cudart([str(folder / "none.so"), str(folder / "libcudart.so")])
    return CudaPython(runtime)


def test_bytes_are_copied_to_the_device_and_back(cuda):
    stream = cuda.stream()
    host, back = cuda.host_alloc(4096, False), cuda.host_alloc(4096, False)
    device = cuda.malloc(4096)
    host.array[:] = np.arange(4096) % 251
    cuda.copy_in(device, host.array, stream)
    cuda.copy_out(back.array, device, stream)
    cuda.synchronize(stream)
    np.testing.assert_array_equal(back.array, host.array)
    cuda.free(device)
    cuda.host_free(host)
    cuda.host_free(back)
    cuda.destroy_stream(stream)


def test_gpu_attributes_and_memory_info(cuda):
    assert (cuda.compute_capability(), cuda.integrated()) == ("8.7", True)
    assert cuda.memory_info() == (5 << 32, 8 << 32)
    assert cuda.binding == "cudart"


def test_mapped_memory_has_a_device_address(cuda):
    buffer = cuda.host_alloc(64, True)
    assert buffer.device == buffer.owner
    cuda.host_free(buffer)


def test_events_graphs_and_errors(cuda):
    stream = cuda.stream()
    start, end = cuda.record_event(stream), cuda.record_event(stream)
    assert cuda.elapsed_ms(start, end) == pytest.approx(1.5)
    cuda.begin_capture(stream)
    graph = cuda.end_capture(stream)
    cuda.launch(graph, stream)
    cuda.destroy_graph(graph)
    with pytest.raises(CudaError, match=r"cudaMalloc failed: out of memory \(CUDA error 2\)"):
        cuda.malloc(1 << 31)
    cuda.destroy_stream(stream)


def test_a_library_without_the_cuda_functions_is_skipped(tmp_path):
    assert list(load_cudart(["libc.so.6", str(tmp_path / "none.so")])) == []
