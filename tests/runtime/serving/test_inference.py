"""The Open Inference Protocol, tested with NVIDIA's Triton client, and by its specification for other requests."""

import json

import numpy as np
import pytest
from fakes.serving import SIDE, ask, ask_whole, bright_analyzer

from edgeau.runtime import load

client = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
utils = pytest.importorskip("tritonclient.utils")

INFER = "/v2/models/bright/infer"


@pytest.fixture
def bright(serve):
    """A client of a server whose probabilities are the brightness of the crop, and its port."""
    port = serve(bright_analyzer(), bright_analyzer())
    with client.InferenceServerClient(f"127.0.0.1:{port}") as connected:
        yield connected, port


def faces(*brightness):
    return np.stack([np.full((SIDE, SIDE, 3), value, np.uint8) for value in brightness])


def face_input(array, binary=True):
    tensor = client.InferInput("face", array.shape, "UINT8")
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def test_the_client_sees_a_live_server_and_a_ready_model(bright):
    triton, _ = bright
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("bright")
    assert triton.is_model_ready("bright", "1")
    assert not triton.is_model_ready("other")
    assert not triton.is_model_ready("bright", "2")


def test_metadata_names_the_server_and_the_models_tensors(bright):
    triton, _ = bright
    server, model = triton.get_server_metadata(), triton.get_model_metadata("bright")
    assert server["name"] == "edgeau"
    assert server["extensions"] == ["binary_tensor_data"]
    assert (model["name"], model["versions"]) == ("bright", ["1"])
    assert model["inputs"] == [{"name": "face", "datatype": "UINT8", "shape": [-1, SIDE, SIDE, 3]}]
    assert model["outputs"] == [{"name": "au", "datatype": "FP32", "shape": [-1, 2]}]
    assert model["parameters"]["au"] == "AU01,AU12"


@pytest.mark.parametrize("sent", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("returned", [True, False, None], ids=["as-binary", "as-json", "all"])
def test_inference_returns_the_models_outputs(bright, sent, returned):
    triton, _ = bright
    outputs = None if returned is None else [client.InferRequestedOutput("au", binary_data=returned)]
    answer = triton.infer("bright", [face_input(faces(0, 51, 255), sent)], outputs=outputs, request_id="7")
    np.testing.assert_allclose(answer.as_numpy("au"), [[0, 0], [0.2, 0.2], [1, 1]], atol=1e-6)
    response = answer.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("7", "bright", "1")


def test_the_shipped_package_gives_the_same_as_the_analyzer(serve):
    with load(threads=1) as analyzer:
        spec, name = analyzer.manifest.inputs[0], analyzer.manifest.name
        crops = np.random.default_rng(1).integers(0, 256, (2, 3, spec.height, spec.width, 3), np.uint8)
        expected = analyzer.analyse_crops(*crops)
        inputs = []
        for role, array in zip(("face", "neutral"), crops):
            inputs.append(client.InferInput(role, array.shape, "UINT8"))
            inputs[-1].set_data_from_numpy(array)
        with client.InferenceServerClient(f"127.0.0.1:{serve(analyzer)}") as triton:
            answer = triton.infer(name, inputs)
            described = {tensor["name"]: tensor["shape"] for tensor in triton.get_model_metadata(name)["outputs"]}
        for output, values in expected.items():
            np.testing.assert_allclose(answer.as_numpy(output), values, atol=1e-6)
            assert described[output] == [-1, values.shape[1]]


def test_concurrent_asynchronous_requests_get_their_own_answers(bright):
    _, port = bright
    with client.InferenceServerClient(f"127.0.0.1:{port}", concurrency=8) as triton:
        waiting = [triton.async_infer("bright", [face_input(faces(value))]) for value in range(0, 250, 5)]
        values = [request.get_result().as_numpy("au")[0, 0] for request in waiting]
    np.testing.assert_allclose(values, np.arange(0, 250, 5) / 255, atol=1e-6)


def test_the_client_raises_the_servers_error_messages(bright):
    triton, _ = bright
    with pytest.raises(utils.InferenceServerException, match=r"shape \[1, 8, 8, 3\], expected \[N, 64, 64, 3\]"):
        triton.infer("bright", [face_input(np.zeros((1, 8, 8, 3), np.uint8))])
    wrong = client.InferInput("face", (1, SIDE, SIDE, 3), "FP32")
    wrong.set_data_from_numpy(np.zeros((1, SIDE, SIDE, 3), np.float32))
    with pytest.raises(utils.InferenceServerException, match="datatype 'FP32', expected UINT8"):
        triton.infer("bright", [wrong])
    with pytest.raises(utils.InferenceServerException, match="here is model bright, version 1"):
        triton.infer("other", [face_input(faces(1))])
    with pytest.raises(utils.InferenceServerException, match="compressed"):
        triton.infer("bright", [face_input(faces(1))], request_compression_algorithm="gzip")


def test_json_data_may_be_nested_or_flat(bright):
    _, port = bright
    for data in (faces(51).tolist(), faces(51).ravel().tolist()):
        tensor = {"name": "face", "datatype": "UINT8", "shape": [1, SIDE, SIDE, 3], "data": data}
        status, answer = ask(port, "POST", INFER, json.dumps({"inputs": [tensor]}))
        assert status == 200
        (output,) = answer["outputs"]
        assert (output["shape"], output["datatype"]) == ([1, 2], "FP32")
        assert output["data"] == pytest.approx([0.2, 0.2])


TENSOR = {"name": "face", "datatype": "UINT8", "shape": [1, SIDE, SIDE, 3]}
SIZE = SIDE * SIDE * 3


@pytest.mark.parametrize(
    ("request_json", "binary", "says"),
    [
        ({}, b"", "inputs: got NoneType, expected a list of objects"),
        ([], b"", "expected a JSON object"),
        ({"inputs": [3]}, b"", "expected a list of objects"),
        ({"inputs": [{**TENSOR, "name": "eyes", "data": [0] * SIZE}]}, b"", "got eyes, expected face"),
        ({"inputs": [{**TENSOR, "data": [0]}]}, b"", "1 values, expected 12288"),
        ({"inputs": [{**TENSOR, "data": [256] * SIZE}]}, b"", "whole numbers from 0 to 255"),
        ({"inputs": [{**TENSOR, "data": [0.5] * SIZE}]}, b"", "whole numbers from 0 to 255"),
        ({"inputs": [{**TENSOR, "data": [[1], [1, 2]]}]}, b"", "whole numbers from 0 to 255"),
        ({"inputs": [{**TENSOR, "shape": [-1, SIDE, SIDE, 3]}]}, b"", "expected [N, H, W, 3]"),
        ({"inputs": [{**TENSOR, "shape": [10**18, SIDE, SIDE, 3], "data": [1]}]}, b"", "1 values"),
        ({"inputs": [{**TENSOR, "shape": [0, SIDE, SIDE, 3], "data": []}]}, b"", "whole numbers"),
        ({"inputs": [{**TENSOR, "parameters": {"binary_data_size": SIZE + 1}}]}, bytes(SIZE), "expected at most 12288"),
        ({"inputs": [{**TENSOR, "parameters": {"binary_data_size": SIZE}}]}, bytes(SIZE + 2), "2 bytes after"),
        ({"inputs": [{**TENSOR, "parameters": {"binary_data_size": 0}, "shape": [0, 64, 64, 3]}]}, b"", "shape [0,"),
        (
            {"inputs": [{**TENSOR, "parameters": {"binary_data_size": SIZE}}], "outputs": [{"name": "x"}]},
            bytes(SIZE),
            "'x', expected au",
        ),
    ],
)
def test_an_invalid_request_is_400_with_one_line(bright, request_json, binary, says):
    text = json.dumps(request_json).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    status, answer = ask(bright[1], "POST", INFER, text + binary, headers)
    assert status == 400
    assert says in answer["error"]
    assert "\n" not in answer["error"]


@pytest.mark.parametrize("length", ["-1", "x", "99999", "1" * 5000, ""])
def test_an_invalid_inference_header_content_length_is_400(bright, length):
    status, _, body = ask_whole(bright[1], "POST", INFER, b"{}", {"Inference-Header-Content-Length": length})
    assert (status, b"Inference-Header-Content-Length" in body) == (400, True)


def test_deeply_nested_json_is_400(bright):
    assert ask(bright[1], "POST", INFER, b"[" * 100_000)[0] == 400
