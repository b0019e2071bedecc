"""Every peer agrees with ONNX Runtime on the same file and random inputs, or is left out."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgeau.benchmarks.claims.networks import NETWORKS
from edgeau.benchmarks.peers.evaluate import TOLERANCE
from edgeau.benchmarks.peers.ncnn_graph import for_ncnn
from edgeau.benchmarks.peers.runtimes import PEERS, litert
from edgeau.benchmarks.peers.tool_networks import TOOLS
from edgeau.runtime.backends import open_backend
from edgeau.runtime.errors import InputError
from edgeau.runtime.package import Package, shipped_package

# For peers that compute in float32; OpenVINO's default is bfloat16 on CPUs that support it.
EXACT = 1e-5


@pytest.fixture(scope="module")
def shipped():
    """The shipped FP32 file, inputs, and ONNX Runtime's output."""
    package = Package.open(shipped_package())
    file = package.file(package.variant("fp32"))
    random = np.random.default_rng(0)
    with open_backend("onnxruntime", file) as backend:
        inputs = {n: random.integers(0, 256, (1, *s), np.uint8) for n, s in backend.input_shapes.items()}
        return file, inputs, backend.infer(inputs)["au"]


@pytest.mark.parametrize(
    ("name", "bound"),
    [("onnxruntime", EXACT), ("openvino", TOLERANCE), ("torch", EXACT), ("opencv", EXACT), ("ncnn", EXACT)],
)
def test_a_peer_agrees_with_onnx_runtime(name, bound, shipped):
    for library in {"ncnn": ("ncnn", "pnnx"), "torch": ("torch",)}.get(name, ()):
        pytest.importorskip(library)
    file, inputs, expected = shipped
    with PEERS[name].open(file, 1) as backend:
        np.testing.assert_allclose(backend.infer(inputs)["au"], expected, rtol=0, atol=bound)
        assert backend.settings["version"]


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])
def test_torch_runs_other_graphs_too(name, tmp_path):
    torch = pytest.importorskip("torch")
    network = {each.name: each for each in [*NETWORKS.values(), *(n for _, n in TOOLS.values())]}[name]
    network.save(tmp_path / "net.onnx", 3, 64)
    image = {"face": np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)}
    with open_backend("onnxruntime", tmp_path / "net.onnx") as reference:
        expected = reference.infer(image)["au"]
    threads = torch.get_num_threads()
    with PEERS["torch"].open(tmp_path / "net.onnx", 1) as backend:
        np.testing.assert_allclose(backend.infer(image)["au"], expected, atol=1e-4)
    torch.set_num_threads(threads)


def test_the_graph_for_ncnn_gives_the_same_in_onnx_runtime(shipped, tmp_path):
    import onnxruntime

    file, inputs, expected = shipped
    graph = for_ncnn(onnx.load(str(file)))
    assert not {"Cast", "Greater"} & {node.op_type for node in graph.graph.node}
    assert any((numpy_helper.to_array(t) != 0).any() for t in graph.graph.initializer)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (au,) = session.run(None, {name: images.astype(np.float32) for name, images in inputs.items()})
    np.testing.assert_allclose(au, expected, atol=EXACT)


def test_gpu_peers_without_a_gpu_give_the_reason(shipped):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(InputError, match="CUDAExecutionProvider"):
        PEERS["ort-cuda"].open(shipped[0], 1)


def test_litert_agrees_with_onnx_runtime_on_crops_of_faces(package):
    """The file beside this test is the package's FP32 file with a batch of 1, converted by onnx2tf 1.28.8."""
    pytest.importorskip("ai_edge_litert")
    file = package.file(package.variant("fp32"))
    faces = [cv2.resize(face, (32, 32), interpolation=cv2.INTER_AREA) for face in _shipped_faces()]
    peer = litert(Path(__file__).with_name("difference.tflite"))
    with peer.open(file, 1) as backend, open_backend("onnxruntime", file) as reference:
        assert backend.settings["version"]
        for face, neutral in itertools.pairwise(faces):
            inputs = {"face": face[None], "neutral": neutral[None]}
            expected = reference.infer(inputs)["au"]
            np.testing.assert_allclose(backend.infer(inputs)["au"], expected, rtol=0, atol=EXACT)
            # Exchanged inputs would be noticed.
            exchanged = reference.infer({"face": neutral[None], "neutral": face[None]})["au"]
            assert np.abs(exchanged - expected).max() > 100 * EXACT


def _shipped_faces():
    """uint8 [N, 112, 112, 3]: the crops on which the shipped package's variants are compared."""
    with np.load(Path(shipped_package()) / "parity.npz") as crops:
        return crops["faces"]
