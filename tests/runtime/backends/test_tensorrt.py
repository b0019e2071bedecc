import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest
from fakes.cuda import INSUFFICIENT_DRIVER, fake_cudart, install_binding
from fakes.tensorrt import VERSIONS

from edgeau.runtime.backends import BackendOptions, open_backend
from edgeau.runtime.backends.cuda import installed_binding, open_cuda
from edgeau.runtime.backends.cuda_base import CudaError
from edgeau.runtime.errors import BackendError, EngineError, InputError, MissingExtraError

NOTHING_LEFT = {"memory": 0, "streams": 0, "graphs": 0, "events": 0, "contexts": 0}


def expected_au(inputs):
    mean = inputs["face"].mean((1, 2, 3)) / 255 - inputs["neutral"].mean((1, 2, 3)) / 2550
    return np.repeat(mean[:, None], 3, 1).astype(np.float32)


def is_correct(outputs, inputs):
    return np.allclose(outputs["au"], expected_au(inputs), atol=1e-6)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("binding", ["cuda-python", "pycuda"])
def test_every_version_and_binding_runs_and_frees_everything(install, gpu, make_engine, faces, version, binding):
    install(gpu, version, binding)
    with open_backend("tensorrt", make_engine(version)) as backend:
        assert dict(backend.input_shapes) == {"neutral": (8, 8, 3), "face": (8, 8, 3)}
        assert backend.output_names == ("au",)
        for batch in (1, 4, 1, 1, 1, 2, 2):
            inputs = faces(batch, first=batch * 3)
            outputs = backend.infer(inputs)
            assert outputs["au"].dtype == np.float32
            assert is_correct(outputs, inputs)
        assert backend.settings["binding"].startswith(binding)
        assert backend.settings["precision"] == "fp16"
    assert gpu.left() == NOTHING_LEFT


def test_resources_are_freed_in_order(install, gpu, engine, faces):
    install(gpu)
    backend = open_backend("tensorrt", engine)
    for _ in range(3):
        backend.infer(faces(1))
    gpu.log.clear()
    backend.close()
    order = [
        "cudaStreamSynchronize",
        "cudaGraphExecDestroy",
        "~context",
        "~engine",
        "~runtime",
        "cudaFree",
        "cudaFreeHost",
        "cudaStreamDestroy",
    ]
    assert sorted(order, key=gpu.log.index) == order
    backend.close()
    with pytest.raises(BackendError, match="was closed"):
        backend.infer(faces(1))


def test_buffers_are_allocated_once(install, gpu, engine, faces):
    install(gpu)
    with open_backend("tensorrt", engine) as backend:
        before = dict(gpu.memory)
        for batch in (1, 2, 4, 3, 1):
            backend.infer(faces(batch))
        assert dict(gpu.memory) == before


def test_a_repeated_batch_is_captured_and_replayed(install, gpu, engine, faces):
    install(gpu)
    with open_backend("tensorrt", engine) as backend:
        backend.infer(faces(2))
        assert "cudaStreamBeginCapture" not in gpu.log
        backend.infer(faces(2))
        assert backend.settings["cuda_graph"] is True
        gpu.log.clear()
        inputs = faces(2, first=90)
        assert is_correct(backend.infer(inputs), inputs)
        assert [op for op in gpu.log if op.startswith("cuda") and op != "cudaSetDevice"] == [
            "cudaGraphLaunch",
            "cudaStreamSynchronize",
        ]
        assert "enqueue" not in gpu.log


def test_another_batch_size_replaces_the_captured_graph(install, gpu, engine, faces):
    install(gpu)
    with open_backend("tensorrt", engine) as backend:
        for batch in (2, 2, 3, 3, 3):
            inputs = faces(batch)
            assert is_correct(backend.infer(inputs), inputs)
        assert gpu.log.count("cudaStreamBeginCapture") == 2
        assert len(gpu.graphs) == 1
    assert gpu.left() == NOTHING_LEFT


def test_a_failed_enqueue_during_capture_does_not_replay_old_outputs(install, gpu, engine, faces):
    module = install(gpu)
    with open_backend("tensorrt", engine) as backend:
        backend.infer(faces(2))
        module.trt.behaviour.refuse_enqueue = 1
        for first in (30, 60, 90):
            inputs = faces(2, first)
            assert is_correct(backend.infer(inputs), inputs)
        assert backend.settings["cuda_graph"].startswith("refused")
        assert gpu.log.count("cudaStreamBeginCapture") == 1
    assert gpu.left() == NOTHING_LEFT


@pytest.mark.parametrize("operation", ["cudaStreamBeginCapture", "cudaGraphInstantiateWithFlags"])
def test_a_failed_capture_falls_back_to_enqueue(install, gpu, engine, faces, operation):
    install(gpu)
    with open_backend("tensorrt", engine) as backend:
        gpu.fail[operation] = 900
        for first in (10, 40, 70):
            inputs = faces(1, first)
            assert is_correct(backend.infer(inputs), inputs)
        assert "900" in backend.settings["cuda_graph"]
    assert gpu.left() == NOTHING_LEFT


def test_cuda_graphs_can_be_switched_off(install, gpu, engine, faces):
    install(gpu)
    with open_backend("tensorrt", engine, BackendOptions(cuda_graph=False)) as backend:
        for _ in range(3):
            backend.infer(faces(1))
        assert backend.settings["cuda_graph"] == "not asked for"
    assert "cudaStreamBeginCapture" not in gpu.log


def test_pycuda_reports_that_graphs_need_cuda_python(install, gpu, engine):
    install(gpu, binding="pycuda")
    with open_backend("tensorrt", engine) as backend:
        assert "install cuda-python" in backend.settings["cuda_graph"]


@pytest.mark.parametrize("binding", ["cuda-python", "pycuda"])
def test_an_integrated_gpu_uses_the_faster_of_mapped_and_copied_memory(install, gpu, engine, faces, binding):
    gpu.integrated = True
    install(gpu, binding=binding)
    with open_backend("tensorrt", engine) as backend:
        settings = backend.settings
        assert settings["memory"] == ("copied" if settings["copied_ms"] < settings["mapped_ms"] else "mapped")
        # The slower kind of buffers was freed.
        kinds = {kind for kind, _, _ in gpu.memory.values()}
        assert kinds == ({"host", "device"} if settings["memory"] == "copied" else {"mapped"})
        inputs = faces(3)
        assert is_correct(backend.infer(inputs), inputs)
    assert gpu.left() == NOTHING_LEFT


@pytest.mark.parametrize("mapped", [True, False])
def test_mapped_memory_can_be_chosen(install, gpu, engine, faces, mapped):
    gpu.integrated = True
    install(gpu)
    with open_backend("tensorrt", engine, BackendOptions(mapped_memory=mapped)) as backend:
        assert backend.settings["memory"] == ("mapped" if mapped else "copied")
        inputs = faces(2)
        for _ in range(3):
            assert is_correct(backend.infer(inputs), inputs)
    assert ("cudaMemcpyAsync" in gpu.log) == (not mapped)


def test_a_discrete_gpu_never_uses_mapped_memory(install, gpu, engine):
    install(gpu)
    with open_backend("tensorrt", engine) as backend:
        assert backend.settings["memory"] == "copied"
    with pytest.raises(InputError, match="integrated"):
        open_backend("tensorrt", engine, BackendOptions(mapped_memory=True))
    assert gpu.left() == NOTHING_LEFT


@pytest.mark.parametrize(("binding", "operation"), [("cuda-python", "cudaStreamSynchronize"), ("pycuda", "kernel")])
def test_after_a_sticky_error_every_call_fails_at_once(install, gpu, engine, faces, binding, operation):
    install(gpu, binding=binding)
    backend = open_backend("tensorrt", engine)
    backend.infer(faces(1))
    gpu.fail[operation] = 700
    with pytest.raises(BackendError, match=r"lost to this process.*start a new process"):
        backend.infer(faces(1))
    gpu.log.clear()
    with pytest.raises(BackendError, match="lost to this process"):
        backend.infer(faces(1))
    assert gpu.log == []
    backend.close()


def test_a_transient_error_leaves_the_backend_usable(install, gpu, engine, faces):
    install(gpu)
    with open_backend("tensorrt", engine) as backend:
        gpu.fail["cudaMemcpyAsync"] = 2
        with pytest.raises(CudaError, match="what error 2 means"):
            backend.infer(faces(1))
        inputs = faces(2)
        assert is_correct(backend.infer(inputs), inputs)
    assert gpu.left() == NOTHING_LEFT


def test_a_failed_enqueue_raises_instead_of_returning_old_outputs(install, gpu, engine, faces):
    module = install(gpu)
    with open_backend("tensorrt", engine) as backend:
        module.trt.behaviour.refuse_enqueue = 1
        with pytest.raises(BackendError, match="refused to run"):
            backend.infer(faces(1))


def test_a_plan_rejected_by_tensorrt_gives_its_reason_and_a_hint(install, gpu, engine):
    module = install(gpu)
    module.trt.behaviour.refuse_plan = True
    with pytest.raises(EngineError, match=r"version tag does not match.*edgeau build"):
        open_backend("tensorrt", engine)
    assert gpu.left() == NOTHING_LEFT


@pytest.mark.parametrize(("built", "here"), [("10.3", "10.16"), ("11.1", "10.3"), ("8.5", "8.6")])
def test_an_engine_of_another_tensorrt_version_is_never_deserialized(install, gpu, make_engine, built, here):
    install(gpu, here)
    with pytest.raises(EngineError, match=rf"built with TensorRT {built}.*this machine has {here}.*edgeau build"):
        open_backend("tensorrt", make_engine(built))
    assert gpu.log == []


def test_an_altered_plan_is_never_deserialized(install, gpu, engine):
    install(gpu)
    engine.write_bytes(engine.read_bytes()[:-1] + b"!")
    with pytest.raises(EngineError, match="altered"):
        open_backend("tensorrt", engine)
    assert gpu.log == []


def test_without_a_device_tensorrts_null_pointer_is_explained(install, gpu, engine):
    module = install(gpu)
    module.trt.behaviour.has_gpu = False
    with pytest.raises(BackendError, match="CUDA initialization failure with error: 35"):
        open_backend("tensorrt", engine)
    assert gpu.left() == NOTHING_LEFT


def test_without_a_driver_opening_raises_cuda_error(install, gpu, engine):
    install(gpu)
    gpu.fail["cudaSetDevice"] = 2
    with pytest.raises(CudaError, match="cudaSetDevice failed"):
        open_backend("tensorrt", engine)


def test_running_out_of_memory_while_opening_leaks_nothing(install, gpu, engine):
    install(gpu)
    gpu.fail["cudaMalloc"] = 2
    with pytest.raises(CudaError):
        open_backend("tensorrt", engine)
    assert gpu.left() == NOTHING_LEFT


def test_without_a_cuda_binding_the_extra_to_install_is_named(install, gpu, engine, monkeypatch):
    install(gpu, binding=None)
    monkeypatch.setattr("edgeau.runtime.backends.cuda.load_cudart", lambda: iter(()))
    with pytest.raises(MissingExtraError, match=r"edgeau\[jetson\]"):
        open_backend("tensorrt", engine)


def test_a_requested_binding_is_never_replaced_by_another(install, gpu, monkeypatch):
    install(gpu, binding="pycuda")
    assert installed_binding() == "pycuda"
    assert open_cuda("pycuda").binding.startswith("pycuda")
    with pytest.raises(MissingExtraError, match="cuda-python"):
        open_cuda("cuda-python")
    monkeypatch.setenv("EDGEAU_CUDA", "cuda-python")
    with pytest.raises(MissingExtraError, match="cuda-python"):
        open_cuda()


@pytest.mark.parametrize("profile", [(1, 1, 1), (1, 1, 4), (2, 2, 2), (3, 4, 4)])
@pytest.mark.parametrize("batch", [1, 2, 5, 9])
def test_any_number_of_faces_fits_any_profile(install, gpu, make_engine, faces, profile, batch):
    install(gpu)
    with open_backend("tensorrt", make_engine(batch=profile)) as backend:
        for first in (10, 90):
            inputs = faces(batch, first)
            assert is_correct(backend.infer(inputs), inputs)
    assert gpu.left() == NOTHING_LEFT


def test_gpu_time_of_a_batch_outside_the_profile_is_refused_with_a_hint(install, gpu, engine):
    install(gpu)
    with open_backend("tensorrt", engine) as backend, pytest.raises(InputError, match=r"1 to 4.*edgeau build"):
        backend.gpu_ms(batch=5)


def test_a_static_engine_runs_at_its_batch_size(install, gpu, make_engine, faces):
    gpu.integrated = True
    install(gpu)
    with open_backend("tensorrt", make_engine(batch=(2, 2, 2))) as backend:
        inputs = faces(2)
        assert is_correct(backend.infer(inputs), inputs)


@pytest.mark.parametrize("binding", ["cuda-python", "pycuda"])
def test_concurrent_threads_get_their_own_results(install, gpu, engine, faces, binding):
    install(gpu, binding=binding)
    wrong = []

    def work(number):
        for step in range(20):
            inputs = faces(1 + (number + step) % 4, first=number * 20 + step)
            if not is_correct(backend.infer(inputs), inputs):
                wrong.append(number)

    with open_backend("tensorrt", engine) as backend:
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert gpu.left() == NOTHING_LEFT


@pytest.mark.parametrize("binding", ["cuda-python", "pycuda"])
def test_gpu_time_is_measured_by_events_that_are_freed(install, gpu, engine, binding):
    install(gpu, binding=binding)
    with open_backend("tensorrt", engine) as backend:
        assert backend.gpu_ms(batch=2, calls=5).tolist() == [0.25] * 5
    assert gpu.left() == NOTHING_LEFT


def test_every_name_and_value_of_the_fakes_exists_in_cuda_python(install, gpu):
    real = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    install(gpu)

    fake = sys.modules["cuda.bindings.runtime"]
    names = [name for name in vars(fake) if name.startswith("cuda")]
    assert [name for name in names if not hasattr(real, name)] == []
    for kind in ("cudaError_t", "cudaMemcpyKind", "cudaStreamCaptureMode", "cudaDeviceAttr"):
        for member in getattr(fake, kind):
            assert int(getattr(getattr(real, kind), member.name)) == int(member)


def test_a_plan_is_read_once_and_the_verified_bytes_are_deserialized(install, gpu, engine, faces, monkeypatch):
    """Swapping the file between the check and deserialization has no effect."""
    install(gpu)
    reads, read_bytes = [], Path.read_bytes

    def read_then_swap(path):
        data = read_bytes(path)
        if path == engine:
            reads.append(path)
            path.write_bytes(b"something else")
        return data

    monkeypatch.setattr(Path, "read_bytes", read_then_swap)
    with open_backend("tensorrt", engine) as backend:
        inputs = faces(2)
        assert is_correct(backend.infer(inputs), inputs)
    assert len(reads) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plan_for_a_dla_core_is_deserialized_for_that_core(install, gpu, make_engine, version):
    """trtexec sets the runtime's DLA core before deserializing (samples/common/sampleEngines.cpp)."""
    install(gpu, version)
    engine = make_engine(version, settings={"dla_core": 1})
    with open_backend("tensorrt", engine) as backend:
        assert backend.output_names == ("au",)


@pytest.mark.parametrize("core", ["1", -1, 1.5, True])
def test_an_invalid_dla_core_is_refused(install, gpu, make_engine, core):
    install(gpu)
    with pytest.raises(EngineError, match="dla_core"):
        open_backend("tensorrt", make_engine(settings={"dla_core": core}))


@pytest.mark.parametrize("profile", [(1, 2, 4), (4, 4, 4)])
def test_an_output_whose_batch_is_merged_with_another_dimension_fits_its_buffer(
    install, gpu, make_engine, faces, profile
):
    """As after a Reshape to [-1, C] before a MatMul: 49 rows per image. The fake checks every address."""
    install(gpu)
    engine = make_engine(batch=profile, outputs={"merged": [49, 5]})
    with open_backend("tensorrt", engine) as backend:
        for batch in (2, 4):
            inputs = faces(batch)
            outputs = backend.infer(inputs)
            assert outputs["merged"].shape == (49 * batch, 5)
            assert is_correct(outputs, inputs)
            assert np.allclose(outputs["merged"][:, 0], np.repeat(outputs["au"][:, 0], 49))


def test_a_binding_too_new_for_the_driver_is_skipped(install, gpu, engine, faces, monkeypatch):
    """The first call of cuda-python 13 on a CUDA 12 driver returns cudaErrorInsufficientDriver (35)."""
    install(gpu)
    install_binding(monkeypatch, "pycuda", gpu)
    gpu.fail["cudaSetDevice"] = INSUFFICIENT_DRIVER
    with open_backend("tensorrt", engine) as backend:
        assert backend.settings["binding"].startswith("pycuda")
        inputs = faces(1)
        assert is_correct(backend.infer(inputs), inputs)
    assert gpu.left() == NOTHING_LEFT


def test_when_no_binding_works_the_error_gives_every_reason(install, gpu, engine, monkeypatch):
    install(gpu)
    install_binding(monkeypatch, "pycuda", gpu)
    gpu.fail.update(cudaSetDevice=INSUFFICIENT_DRIVER, cuInit=INSUFFICIENT_DRIVER)
    with pytest.raises(CudaError, match=r"cuda-python: cudaSetDevice failed.*pycuda: .*driver version is insufficient"):
        open_backend("tensorrt", engine)


def test_on_a_jetson_the_cuda_library_of_jetpack_is_preferred(install, gpu, monkeypatch):
    install(gpu)
    library = types.ModuleType("cudart")
    library.__dict__.update({k: v for k, v in vars(fake_cudart(gpu)).items() if k.startswith("cuda")})
    monkeypatch.setattr("edgeau.runtime.backends.cuda.load_cudart", lambda: iter([library]))
    assert open_cuda().binding.startswith("cuda-python")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert installed_binding() == "cudart"
    assert open_cuda().binding == "cudart"


def test_an_unknown_binding_is_refused(install, gpu, monkeypatch):
    install(gpu)
    with pytest.raises(InputError, match="cupy, expected cuda-python, pycuda, cudart"):
        open_cuda("cupy")
