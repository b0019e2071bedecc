"""ONNX Runtime and OpenVINO on a real file: the same interface and the same outputs."""

import threading

import numpy as np
import pytest

from edgeau.runtime.backends import BACKEND_NAMES, BackendOptions, lower_precisions, missing, open_backend
from edgeau.runtime.errors import BackendError, EdgeauWarning, InputError
from edgeau.runtime.package import Package, shipped_package

# Of probabilities: rounding in another order.
BATCH_ERROR = 1e-5

ONNX_BACKENDS = ("onnxruntime", "openvino")


@pytest.fixture(params=ONNX_BACKENDS)
def name(request):
    reason = missing(request.param)
    if reason:
        pytest.skip(reason)
    return request.param


@pytest.mark.parametrize("batch", [1, 3])
def test_outputs_are_those_of_the_graph(name, onnx_file, faces, batch):
    inputs = faces(batch)
    with open_backend(name, onnx_file, BackendOptions(threads=1)) as backend:
        outputs = backend.infer(inputs)
        assert dict(backend.input_shapes) == {"face": (8, 8, 3), "neutral": (8, 8, 3)}
        assert backend.output_names == ("au",)
        assert backend.settings["threads"] == 1
        assert backend.settings["version"]
    mean = (inputs["face"].mean((1, 2, 3)) - inputs["neutral"].mean((1, 2, 3))) / 255
    assert outputs["au"].dtype == np.float32
    np.testing.assert_allclose(outputs["au"], np.repeat(mean[:, None], 2, 1), atol=1e-6)


def test_results_outlive_the_next_call(name, onnx_file, faces):
    with open_backend(name, onnx_file) as backend:
        first = backend.infer(faces(1))["au"]
        kept = first.copy()
        backend.infer(faces(1, first=200))
        assert np.array_equal(first, kept)


def test_concurrent_threads_get_their_own_results(name, onnx_file, faces):
    wrong = []

    def work(number):
        inputs = faces(1, first=number * 40)
        expected = (inputs["face"].mean() - inputs["neutral"].mean()) / 255
        for _ in range(50):
            if abs(float(backend.infer(inputs)["au"][0, 0]) - expected) > 1e-5:
                wrong.append(number)

    with open_backend(name, onnx_file, BackendOptions(threads=1)) as backend:
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda inputs: {"face": inputs["face"]}, "input 'neutral'"),
        (lambda inputs: {**inputs, "face": inputs["face"].astype(np.float32)}, "float32"),
        (lambda inputs: {**inputs, "face": inputs["face"][:, :4]}, r"\[N, 8, 8, 3\]"),
        (lambda inputs: {**inputs, "face": inputs["face"][:1]}, "batch"),
        (lambda inputs: {key: value[:0] for key, value in inputs.items()}, "uint8"),
    ],
)
def test_invalid_inputs_are_refused(name, onnx_file, faces, change, says):
    with open_backend(name, onnx_file) as backend, pytest.raises(InputError, match=says):
        backend.infer(change(faces(2)))


def test_a_truncated_file_is_a_one_line_error(name, onnx_file, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(onnx_file.read_bytes()[:-40])
    with pytest.raises(BackendError) as caught:
        open_backend(name, broken)
    assert "\n" not in str(caught.value)
    assert "broken.onnx" in str(caught.value)


def test_openvino_computes_in_the_precision_of_the_file(onnx_file):
    pytest.importorskip("openvino", reason="openvino is not installed")
    with open_backend("openvino", onnx_file) as backend:
        assert backend.settings["inference_precision"] == "f32"


def test_openvino_gives_one_face_what_it_gives_it_among_others_in_any_order_of_batches():
    pytest.importorskip("openvino", reason="openvino is not installed")
    package = Package.open(shipped_package())
    random = np.random.default_rng(0)
    inputs = {spec.name: random.integers(0, 256, (5, 112, 112, 3), np.uint8) for spec in package.manifest.inputs}
    with open_backend("openvino", package.file(package.variant("fp32"))) as backend:
        whole = backend.infer(inputs)["au"]
        for size in (1, 2, 1, 5, 1):
            part = backend.infer({name: images[:size] for name, images in inputs.items()})["au"]
            np.testing.assert_allclose(part, whole[:size], atol=BATCH_ERROR)


@pytest.mark.parametrize("threads", [None, 1, 2])
def test_openvino_pins_no_thread_to_a_core(onnx_file, threads):
    pytest.importorskip("openvino", reason="openvino is not installed")
    with open_backend("openvino", onnx_file, BackendOptions(threads=threads)) as backend:
        assert backend.settings["pinned"] is False


@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_openvino_uses_a_lower_precision_only_if_the_cpu_supports_it(onnx_file, precision):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    options = BackendOptions(inference_precision=precision)
    if precision not in lower_precisions("openvino"):
        with pytest.raises(BackendError, match=f"asked for {precision} and computes in "):
            open_backend("openvino", onnx_file, options)
        return
    if openvino.__version__.startswith("2024"):
        pytest.skip("OpenVINO 2024 lists types in which it doesn't compute, and the backend refuses them")
    with open_backend("openvino", onnx_file, options) as backend:
        assert backend.settings["inference_precision"] == precision


def test_onnx_runtime_has_no_lower_precisions():
    pytest.importorskip("onnxruntime")
    assert lower_precisions("onnxruntime") == ()


def test_an_unknown_backend_lists_the_known_ones():
    with pytest.raises(InputError, match=", ".join(BACKEND_NAMES)):
        open_backend("caffe", "x.onnx")


class FakeSession:
    """A session on a GPU that only records the providers it was created with."""

    asked = None
    got = None

    def __init__(self, file, options, providers):
        type(self).asked = providers

    def get_providers(self):
        return self.got or [name for name, _ in self.asked]

    def get_inputs(self):
        return []

    get_outputs = get_inputs


@pytest.fixture
def gpu_build(monkeypatch, tmp_path):
    """ONNX Runtime with the providers of a GPU build, and sessions that only record theirs."""
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: names)
    monkeypatch.setattr(ort, "InferenceSession", FakeSession)
    monkeypatch.setattr(FakeSession, "got", None)
    monkeypatch.setenv("EDGEAU_CACHE", str(tmp_path / "cache"))
    return FakeSession


def test_the_tensorrt_provider_caches_engines_and_warns_before_the_first_build(gpu_build, onnx_file, tmp_path):
    options = BackendOptions(provider="TensorrtExecutionProvider")
    with pytest.warns(EdgeauWarning, match="can take minutes"):
        backend = open_backend("onnxruntime", onnx_file, options)
    names = [name for name, _ in gpu_build.asked]
    assert names == ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    given = dict(gpu_build.asked)["TensorrtExecutionProvider"]
    folder = given["trt_engine_cache_path"]
    assert folder.startswith(str(tmp_path / "cache"))
    assert given["trt_engine_cache_enable"] == given["trt_timing_cache_enable"] == "True"
    assert given["trt_int8_enable"] == "False"
    assert backend.settings["provider"] == "TensorrtExecutionProvider"
    # The second time the engine is cached, so there is no warning (it would be an error here).
    (tmp_path / "cache" / "onnxruntime-tensorrt").joinpath(folder.rsplit("/", 1)[1], "net.engine").write_bytes(b"plan")
    open_backend("onnxruntime", onnx_file, options)


def test_the_tensorrt_provider_enables_int8_for_a_quantized_file(gpu_build, tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed, and makes the test graph")
    file = tmp_path / "int8.onnx"
    node = onnx.helper.make_node("QuantizeLinear", ["x", "scale"], ["y"])
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "quantize", [], [])), file)
    with pytest.warns(EdgeauWarning):
        open_backend("onnxruntime", file, BackendOptions(provider="TensorrtExecutionProvider"))
    assert dict(gpu_build.asked)["TensorrtExecutionProvider"]["trt_int8_enable"] == "True"


def test_a_cache_that_cannot_be_written_is_refused_before_the_build(gpu_build, onnx_file, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("EDGEAU_CACHE", str(file))
    with pytest.raises(InputError, match="set EDGEAU_CACHE"):
        open_backend("onnxruntime", onnx_file, BackendOptions(provider="TensorrtExecutionProvider"))


def test_a_fallback_to_another_provider_is_an_error(gpu_build, onnx_file, monkeypatch):
    monkeypatch.setattr(FakeSession, "got", ["CPUExecutionProvider"])
    with pytest.raises(BackendError, match="asked for CUDAExecutionProvider and fell back to CPUExecutionProvider"):
        open_backend("onnxruntime", onnx_file, BackendOptions(provider="CUDAExecutionProvider"))


def test_an_unavailable_provider_names_the_extra_to_install(onnx_file):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    with pytest.raises(InputError, match=r"CUDAExecutionProvider.*edgeau\[gpu\]"):
        open_backend("onnxruntime", onnx_file, BackendOptions(provider="CUDAExecutionProvider"))
