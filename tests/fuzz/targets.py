"""The readers of untrusted bytes, with valid inputs as seeds for mutation.

A target may raise only EdgeauError. Each is a function of bytes, so that any fuzzer can drive it.
"""

from __future__ import annotations

import asyncio
import io
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import uvicorn
from uvicorn.server import ServerState

from edgeau.runtime.analyzer import Analyzer
from edgeau.runtime.choose import Choice
from edgeau.runtime.crop_set import CROP_SET, read_crop_file, read_crop_set
from edgeau.runtime.detect import HaarDetector
from edgeau.runtime.engine_check import describe_engine
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.images import decode_image
from edgeau.runtime.manifest import CropSpec, InputSpec, Manifest
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.records import rows_of
from edgeau.runtime.row_file import Layout, RowFile
from edgeau.runtime.serving.app import Service
from edgeau.runtime.serving.listen import BoundedProtocol
from edgeau.runtime.serving.options import ServerOptions

SIDE = 8
FACES = np.arange(2 * SIDE * SIDE * 3, dtype=np.uint8).reshape(2, SIDE, SIDE, 3)
INDEX = {
    "format": "edgeau-crops", "version": 1, "aus": ["AU01", "AU12"], "expressions": ["neutral"], "size_px": SIDE,
    "generator": {"name": "x"}, "shards": [{"name": "s00000", "subject": "S0", "samples": 2}],
}  # fmt: skip
LABELS = {
    "au": np.zeros((2, 2), np.float16), "neutral": np.array([0, -1], np.int32), "expression": np.zeros(2, np.int8),
    "sequence": np.arange(2, dtype=np.int32), "frame": np.zeros(2, np.int32),
}  # fmt: skip


@dataclass(frozen=True, repr=False)
class Target:
    """A reader: valid inputs as seeds, and the function to call with a mutated one."""

    seeds: tuple[bytes, ...]
    run: Callable[[bytes], None]


def make_targets(folder: Path) -> dict[str, Target]:
    """Return the targets by name; they write below ``folder``."""
    makers: dict[str, Callable[[Path], Target]] = {
        "manifest": _manifest, "sidecar": _sidecar, "plan": _plan, "index": _index, "pixels": _pixels,
        "labels": _labels, "npz": _npz, "picture": _picture, "http": _http, "rows": _rows, "onnx": _onnx,
    }  # fmt: skip
    targets = {}
    for name, make in makers.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        targets[name] = make(folder / name)
    return targets


def attempt(target: Target, data: bytes) -> bool:
    """Run a target and return whether it accepted the bytes; errors other than EdgeauError propagate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            target.run(data)
        except EdgeauError:
            return False
    return True


def _manifest(folder: Path) -> Target:
    whole = shipped_package()

    def run(data: bytes) -> None:
        (folder / "manifest.json").write_bytes(data)
        Package.open(folder).manifest.to_json()

    return Target(((whole / "manifest.json").read_bytes(),), run)


SIDECAR = {
    "engine_sha256": "0" * 64, "engine_size_bytes": 64, "onnx_file": "fp32.onnx", "onnx_sha256": "0" * 64,
    "made_from": "fp32", "package": "p", "flavour": "tensorrt", "tensorrt": "10.3.0.30", "precision": "fp16",
    "asked_precision": "fp16", "batch": [1, 1, 8], "inputs": {"face": [8, 8, 3]}, "compute_capability": "8.7",
    "schema_version": 1, "settings": {"dla_core": 0}, "ladder": ["int8: x"],
}  # fmt: skip
PLAN = b"ftrt" + bytes(20) + bytes([10, 3, 0, 30]) + bytes(36)


def _sidecar(folder: Path) -> Target:
    (folder / "x.engine").write_bytes(PLAN)

    def run(data: bytes) -> None:
        (folder / "x.engine.json").write_bytes(data)
        describe_engine(folder / "x.engine")

    return Target((json.dumps(SIDECAR).encode(),), run)


def _plan(folder: Path) -> Target:
    (folder / "x.engine.json").write_text(json.dumps(SIDECAR))

    def run(data: bytes) -> None:
        (folder / "x.engine").write_bytes(data)
        describe_engine(folder / "x.engine")

    return Target((PLAN, b"vtrt" + PLAN[4:]), run)


def _crop_set(folder: Path) -> tuple[bytes, bytes, bytes]:
    """Write a complete set to a folder and return the bytes of its index, pixels and labels."""
    (folder / "shards").mkdir()
    pixels, labels = io.BytesIO(), io.BytesIO()
    np.save(pixels, FACES)
    np.savez(labels, **LABELS)
    data = json.dumps(INDEX).encode(), pixels.getvalue(), labels.getvalue()
    for name, content in zip(("index.json", "shards/s00000.npy", "shards/s00000.npz"), data, strict=True):
        (folder / name).write_bytes(content)
    return data


def _index(folder: Path) -> Target:
    index, _, _ = _crop_set(folder)

    def run(data: bytes) -> None:
        (folder / "index.json").write_bytes(data)
        read_crop_set(folder, SIDE)
        CROP_SET.contents(data)

    return Target((index,), run)


def _pixels(folder: Path) -> Target:
    _, pixels, _ = _crop_set(folder)

    def run(data: bytes) -> None:
        (folder / "shards" / "s00000.npy").write_bytes(data)
        read_crop_set(folder, SIDE)

    return Target((pixels,), run)


def _labels(folder: Path) -> Target:
    _, _, labels = _crop_set(folder)

    def run(data: bytes) -> None:
        (folder / "shards" / "s00000.npz").write_bytes(data)
        read_crop_set(folder, SIDE)

    return Target((labels,), run)


def _npz(folder: Path) -> Target:
    seeds = []
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, faces=FACES, neutrals=FACES, au=np.zeros((2, 1), np.float32), aus=np.array(["AU01"]))  # type: ignore[operator]
        seeds.append(buffer.getvalue())

    def run(data: bytes) -> None:
        (folder / "x.npz").write_bytes(data)
        read_crop_file(folder / "x.npz", SIDE)

    return Target(tuple(seeds), run)


def _picture(folder: Path) -> Target:
    seeds = tuple(cv2.imencode(suffix, FACES[0])[1].tobytes() for suffix in (".png", ".jpg", ".bmp", ".webp"))

    def run(data: bytes) -> None:
        decode_image(np.frombuffer(data, np.uint8), "picture")

    return Target(seeds, run)


class _NoAnalyzer(Analyzer):
    """Finds no face in any picture and returns zero for every crop."""

    def __init__(self) -> None:
        """Nothing to load."""
        inputs = (InputSpec("face", SIDE, SIDE), InputSpec("neutral", SIDE, SIDE))
        self.manifest = Manifest("m", "imported", ("AU12",), (0.5,), inputs, CropSpec(SIDE))
        self.choice = Choice("fp32", "onnxruntime", None, "none")
        self.detector = HaarDetector()

    def __call__(self, frame_bgr: Any, **_: Any) -> tuple:
        """No face."""
        return ()

    def for_another_video(self) -> Analyzer:
        """The same analyzer, which has no state."""
        return self

    def still(self, image_bgr: Any, **_: Any) -> list:
        """No faces in a list of pictures."""
        return [() for _ in image_bgr]

    def analyse_crops(self, faces: Any, neutrals: Any = None) -> dict[str, np.ndarray]:
        """Zero."""
        return {"au": np.zeros((len(faces), 1), np.float32)}


class _Connection(asyncio.Transport):
    """A connection that discards the answer."""

    closed = False

    def write(self, data: Any) -> None:
        """Discard the answer."""

    def close(self) -> None:
        """Close the connection."""
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        """Whether the connection was closed."""
        return self.closed

    def pause_reading(self) -> None:
        """Nothing to pause: all data was sent already."""

    resume_reading = pause_reading


def _http(folder: Path) -> Target:
    options, loop = ServerOptions(), asyncio.new_event_loop()
    service = Service([_NoAnalyzer()], options, lambda _: None)
    defects: list[Exception] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await service(scope, receive, send)
        except Exception as error:
            defects.append(error)
            raise

    config = uvicorn.Config(app, interface="asgi3", ws="none", lifespan="off", log_config=None, log_level="critical")

    async def answer(data: bytes) -> None:
        protocol = BoundedProtocol(options, config=config, server_state=ServerState(), app_state={}, _loop=loop)
        connection = _Connection()
        protocol.connection_made(connection)
        if data:  # asyncio never passes empty data, which h11 interprets as the end of the connection
            protocol.data_received(data)
        if protocol.cycle is None or protocol.cycle.more_body:
            protocol.connection_lost(None)  # the client has nothing more to send
        while protocol.tasks:  # an answer starts the next request of the same connection
            await asyncio.wait(protocol.tasks)
        protocol.connection_lost(None)

    def run(data: bytes) -> None:
        loop.run_until_complete(answer(data))
        if defects:
            raise defects.pop()

    return Target(tuple(_requests()), run)


def _requests() -> Iterator[bytes]:
    png = cv2.imencode(".png", FACES[0])[1].tobytes()
    file = b'--b\r\nContent-Disposition: form-data; name="p"; filename="p"\r\n\r\n' + png + b"\r\n--b--\r\n"
    tensors = [
        {"name": name, "datatype": "UINT8", "shape": [1, SIDE, SIDE, 3], "parameters": {"binary_data_size": size}}
        for name, size in (("face", SIDE * SIDE * 3), ("neutral", SIDE * SIDE * 3))
    ]
    text = json.dumps({"id": "1", "inputs": tensors, "outputs": [{"name": "au"}]}).encode()
    infer = f"/v2/models/m/infer HTTP/1.1\r\nInference-Header-Content-Length: {len(text)}".encode()
    bodies = (
        (b"/analyze?session=a HTTP/1.1", png),
        (b"/analyze HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b", file),
        (infer, text + FACES.tobytes()),
    )
    for line, body in bodies:
        yield b"POST %b\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (line, len(body), body)
    yield b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    yield b"GET /health HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"


def _rows(folder: Path) -> Target:
    layout = Layout("csv", ("AU12",))
    file = folder / "rows.csv"
    with RowFile(file, layout) as rows:
        for frame in range(3):
            rows.write(rows_of('a,"b', frame, 0.0, (), layout.aus))

    def run(data: bytes) -> None:
        file.write_bytes(data)
        RowFile(file, layout, resume=True).close()

    return Target((file.read_bytes(),), run)


def _onnx(folder: Path) -> Target:
    import onnx
    from onnx import TensorProto, helper

    from edgeau.optimize.lint.describe import report

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("x", "au")]
    nodes = [helper.make_node("Mul", ["x", "w"], ["y"]), helper.make_node("Sigmoid", ["y"], ["au"])]
    weights = [helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def run(data: bytes) -> None:
        (folder / "x.onnx").write_bytes(data)
        report(folder / "x.onnx")

    return Target((onnx.ModelProto.SerializeToString(model),), run)
