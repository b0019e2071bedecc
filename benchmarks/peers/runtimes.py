"""The peers: ONNX Runtime and OpenVINO with their defaults, torch, OpenCV, ncnn and LiteRT; on a GPU TensorRT and ONNX
Runtime's providers. Each is used as its documentation shows it, and its library is imported when it is opened.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from edgeau.benchmarks.limit.engine import engine_of
from edgeau.runtime.backends import Backend, BackendOptions, open_backend
from edgeau.runtime.errors import BackendError
from edgeau.runtime.privacy import send_no_telemetry

from .ncnn_graph import for_ncnn
from .peer import Peer, PeerBackend, input_shapes

Arrays = Mapping[str, np.ndarray]


def _onnxruntime(file: Path, _: int | None) -> Backend:
    send_no_telemetry()
    import onnxruntime as ort

    session = ort.InferenceSession(str(file))
    settings = {"version": ort.__version__, "threads": None, "provider": session.get_providers()[0]}
    return PeerBackend("onnxruntime, defaults", file, settings, lambda x: session.run(["au"], dict(x))[0])


def _openvino(file: Path, _: int | None) -> Backend:
    send_no_telemetry()
    import openvino as ov

    compiled = ov.Core().compile_model(str(file), "CPU")
    settings = {
        "version": ov.__version__.split("-")[0],
        "threads": None,
        "inference_precision": str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()),
    }
    return PeerBackend("openvino, defaults", file, settings, lambda x: compiled(dict(x))["au"])


def _torch(compiled: bool) -> Peer:
    def opened(file: Path, threads: int | None) -> Backend:
        import torch

        from .torch_graph import TorchGraph

        if threads is not None:
            torch.set_num_threads(threads)
        graph = TorchGraph(onnx.load(str(file))).eval()
        run = torch.compile(graph) if compiled else graph

        def infer(inputs: Arrays) -> np.ndarray:
            with torch.inference_mode():
                return run(*(torch.from_numpy(inputs[name]) for name in graph.input_names)).numpy()

        settings = {"version": torch.__version__, "threads": torch.get_num_threads()}
        return PeerBackend(name, file, settings, infer)

    name = "torch.compile" if compiled else "torch eager"
    return Peer("torch-compile" if compiled else "torch", name, opened, "pip install torch")


def _opencv(file: Path, threads: int | None) -> Backend:
    import cv2

    net = cv2.dnn.readNetFromONNX(str(file))
    if threads is not None:
        cv2.setNumThreads(threads)

    def infer(inputs: Arrays) -> np.ndarray:
        for name, images in inputs.items():
            net.setInput(images.astype(np.float32), name)  # its graphs are float32
        return np.asarray(net.forward("au"))

    return PeerBackend("OpenCV DNN", file, {"version": cv2.__version__, "threads": cv2.getNumThreads()}, infer)


def _ncnn(file: Path, threads: int | None) -> Backend:
    import ncnn
    import pnnx

    shapes = input_shapes(onnx.load(str(file)))
    folder = tempfile.TemporaryDirectory(prefix="edgeau-")
    source = Path(folder.name) / "model.onnx"
    onnx.save(for_ncnn(onnx.load(str(file))), str(source))
    sizes = ",".join(f"[1,{h},{w},{c}]" for h, w, c in shapes.values())
    command = [str(pnnx.EXEC_PATH), source.name, f"inputshape={sizes}", "fp16=0"]
    subprocess.run(command, cwd=folder.name, capture_output=True, timeout=300, check=True)
    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if threads is not None:
        net.opt.num_threads = threads
    param = source.with_suffix(".ncnn.param")
    if net.load_param(str(param)) or net.load_model(str(param.with_suffix(".bin"))):
        raise BackendError("ncnn lacks an operator of this graph")
    names = list(shapes)

    def infer(inputs: Arrays) -> np.ndarray:
        if len(inputs[names[0]]) != 1:
            raise BackendError("ncnn runs one face per call")
        extractor = net.create_extractor()
        images = [np.ascontiguousarray(inputs[name][0], np.float32) for name in names]
        for number, image in enumerate(images):
            extractor.input(f"in{number}", ncnn.Mat(image))
        failed, output = extractor.extract("out0")
        if failed:
            raise BackendError("ncnn failed")
        return np.array(output).reshape(1, -1)

    # Models loaded from files are copied, so that the folder may go.
    folder.cleanup()
    return PeerBackend("ncnn", file, {"version": ncnn.__version__, "threads": net.opt.num_threads}, infer)


def litert(file: Path) -> Peer:
    """LiteRT (TensorFlow Lite) on a file that onnx2tf or the like made from the same ONNX file."""

    def opened(onnx_file: Path, threads: int | None) -> Backend:
        import importlib.metadata

        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(file), num_threads=threads or -1)
        names = list(input_shapes(onnx.load(str(onnx_file))))
        interpreter.allocate_tensors()
        slots = sorted(interpreter.get_input_details(), key=lambda slot: slot["index"])
        (output,) = interpreter.get_output_details()
        if len(slots) != len(names):
            raise BackendError(f"{file} has {len(slots)} inputs, the package {len(names)}")

        def infer(inputs: Arrays) -> np.ndarray:
            for slot, name in zip(slots, names, strict=True):
                by_name = next((each for each in names if each in slot["name"]), name)
                interpreter.set_tensor(slot["index"], inputs[by_name].astype(slot["dtype"]).reshape(slot["shape"]))
            interpreter.invoke()
            return np.asarray(interpreter.get_tensor(output["index"]))

        version = importlib.metadata.version("ai-edge-litert")
        return PeerBackend("LiteRT", onnx_file, {"version": version, "threads": threads}, infer)

    return Peer("litert", "LiteRT", opened, "pip install ai-edge-litert")


def _provider(name: str, title: str) -> Peer:
    def opened(file: Path, _: int | None) -> Backend:
        return open_backend("onnxruntime", file, BackendOptions(provider=name))

    return Peer(f"ort-{title.lower()}", f"ONNX Runtime, {title} provider", opened, "pip install 'edgeau[gpu]'", True)


def _tensorrt(file: Path, _: int | None) -> Backend:
    folder = Path(tempfile.mkdtemp(prefix="edgeau-"))
    copy = folder / "fp32.onnx"
    copy.write_bytes(file.read_bytes())
    return open_backend("tensorrt", engine_of(copy, "fp32"))


PEERS = {
    peer.name: peer
    for peer in (
        Peer("onnxruntime", "ONNX Runtime, its defaults", _onnxruntime, "pip install onnxruntime", True),
        Peer("openvino", "OpenVINO, its defaults", _openvino, "pip install openvino", True),
        _torch(compiled=False),
        _torch(compiled=True),
        Peer("opencv", "OpenCV DNN", _opencv, "pip install opencv-python"),
        Peer("ncnn", "ncnn", _ncnn, "pip install ncnn pnnx"),
        _provider("CUDAExecutionProvider", "CUDA"),
        _provider("TensorrtExecutionProvider", "TensorRT"),
        Peer("tensorrt", "TensorRT", _tensorrt, "pip install tensorrt (a PC with an NVIDIA GPU)", True),
    )
}
