"""Engines of the face detector, built on the device from the graphs in a package's ``detector`` folder.

    detector/yunet.onnx                                    YuNet's file, as it was given
    detector/yunet-640x384.fp32.onnx  .fp16.onnx  .int8.onnx    a graph per size of image (runtime/yunet_graph.py)
    detector/evidence-640x384.npz                          images, and the faces that FP32 finds in them
    detector/yunet-640x384.orin-nano.trt10.3.0.fp16.engine      what is built, with its sidecar

`load()` uses the engines with a model's engine. A graph has no batch: one image per call.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np

from edgeau.runtime.backends import open_backend
from edgeau.runtime.choose import DETECTOR_ENGINES
from edgeau.runtime.crop_set import read_arrays
from edgeau.runtime.engine_file import sidecar_path, write_sidecar
from edgeau.runtime.errors import EngineError, InputError
from edgeau.runtime.files import PathLike, write_bytes
from edgeau.runtime.machine import Machine, read_machine
from edgeau.runtime.model_file import read_model_file
from edgeau.runtime.report import Report, silent
from edgeau.runtime.yunet import CLOSE_UP, MIN_SCORE, Size, find_in_canvas
from edgeau.runtime.yunet_graph import with_uint8_input

from .builder import BuildOptions, BuiltEngine, build_engine
from .capabilities import Capabilities, capabilities
from .describe import EngineOrigin, engine_name, make_sidecar
from .library import BuildFailedError, load_tensorrt

YUNET = "yunet.onnx"
# The whole image of a camera or video of 16:9, and the square in which a known face is found again.
DEFAULT_SIZES: Tuple[Size, ...] = ((384, 640), CLOSE_UP)
# The engine's boxes and points may differ from FP32's by this much.
MAX_SHIFT_PX = 0.5


@dataclass(frozen=True)
class DetectorRung:
    """One way to build: a graph, the engine's precision, and whether the graph says the precision."""

    file: Path
    precision: str
    strongly_typed: bool


def stem_of(size: Size) -> str:
    """Such as ``yunet-640x384``, for (height, width)."""
    return f"yunet-{size[1]}x{size[0]}"


def sizes_in(folder: Path) -> List[Size]:
    """(height, width) of each FP32 graph in a detector folder."""
    words = [file.name.split(".")[0].partition("-")[2].split("x") for file in folder.glob("yunet-*.fp32.onnx")]
    return sorted((int(height), int(width)) for width, height in words)


def add_graphs(folder: Path, yunet: PathLike, sizes: Tuple[Size, ...] = DEFAULT_SIZES) -> None:
    """Write YuNet's file and an FP32 graph for each size. Raises InputError where the file is not YuNet's."""
    if not Path(yunet).is_file():
        raise InputError(f"detector {yunet}", got="no such file", expected="YuNet's ONNX file")
    data = read_model_file(yunet).data
    graphs = {f"{stem_of(size)}.fp32.onnx": with_uint8_input(data, *size) for size in sizes}
    folder.mkdir(exist_ok=True)
    for name, content in {YUNET: data, **graphs}.items():
        write_bytes(folder / name, content)


def build_detector(
    package: PathLike,
    precision: str = "fp16",
    *,
    trt: Any = None,
    machine: Optional[Machine] = None,
    report: Report = silent,
    check: bool = True,
) -> List[Path]:
    """Build an engine for each graph in a package's ``detector`` folder.

    Args:
        package: the package's folder.
        precision: where to start: ``int8`` is built only where the package has a graph of it, which is the case where
            it keeps the faces (see ``optimize/detector_files.py``).
        trt, machine, report: as in `make_engine`.
        check: whether each engine is run on the evidence.

    Returns:
        The engines; empty where the package has no detector.

    Raises:
        EngineError: no TensorRT or GPU, or no precision could be built that finds the same faces.
    """
    folder = Path(package) / DETECTOR_ENGINES
    sizes = sizes_in(folder)
    if not sizes:
        return []
    trt, machine = trt or load_tensorrt(), machine or read_machine()
    return [_build(folder, size, precision, trt, machine, report, check) for size in sizes]


def rungs(folder: Path, size: Size, precision: str, able: Capabilities) -> List[DetectorRung]:
    """The ways to build a size on a TensorRT with these capabilities, from a precision downwards."""
    files = {kind: folder / f"{stem_of(size)}.{kind}.onnx" for kind in ("int8", "fp16", "fp32")}
    found = []
    if precision in ("int8", "mixed") and files["int8"].is_file():
        found.append(DetectorRung(files["int8"], "int8", able.prefers_strong))
    if precision != "fp32" and able.prefers_strong and files["fp16"].is_file():
        found.append(DetectorRung(files["fp16"], "fp16", True))
    elif precision != "fp32" and "FP16" in able.precision_flags:
        found.append(DetectorRung(files["fp32"], "fp16", False))
    return [*found, DetectorRung(files["fp32"], "fp32", not able.precision_flags)]


def _build(folder: Path, size: Size, precision: str, trt: Any, machine: Machine, report: Report, check: bool) -> Path:
    failures: List[str] = []
    for rung in rungs(folder, size, precision, capabilities(trt)):
        report(f"building the detector's {rung.precision} from {rung.file.name}")
        options = BuildOptions(rung.precision, rung.strongly_typed)
        try:
            built = build_engine(rung.file, options, trt=trt, report=report)
        except BuildFailedError as error:
            failures.append(f"{rung.precision}: {error}")
            continue
        engine = _store(folder, size, rung, built, precision, machine, tuple(failures))
        shift = shift_px(folder, size, engine) if check else None
        if shift is None or shift <= MAX_SHIFT_PX:
            return engine
        failures.append(f"{rung.precision}: faces move by {shift:.2f} px, more than {MAX_SHIFT_PX}")
        report(failures[-1])
        sidecar_path(engine).unlink()
        engine.unlink()
    raise EngineError("no engine of the detector could be built: " + "; ".join(failures))


def shift_px(folder: Path, size: Size, engine: Path) -> Optional[float]:
    """The largest distance of a box's side or a point from where FP32 finds it; infinity where other faces are found.

    None where the package has no evidence for this size.
    """
    file = folder / f"evidence-{size[1]}x{size[0]}.npz"
    if not file.is_file():
        return None
    arrays = read_arrays(file)
    shift = 0.0
    with open_backend("tensorrt", engine) as backend:
        for index, canvas in enumerate(arrays["images"]):
            rows = find_in_canvas(backend, canvas, MIN_SCORE)
            shift = max(shift, rows_shift_px(arrays["faces"][arrays["image"] == index], rows))
    return shift


def rows_shift_px(expected: np.ndarray, rows: np.ndarray) -> float:
    """The largest difference of boxes and points, in pixels; infinity where the number of faces differs.

    Args:
        expected, rows: float32 [N, 15] as ``YuNet.faces`` gives them, in any order.
    """
    if len(expected) != len(rows):
        return float("inf")
    if not len(rows):
        return 0.0
    distances = np.abs(expected[:, None, :14] - rows[None, :, :14]).max(axis=2)
    return float(distances.min(axis=1).max())


def _store(
    folder: Path,
    size: Size,
    rung: DetectorRung,
    built: BuiltEngine,
    asked: str,
    machine: Machine,
    failures: Tuple[str, ...],
) -> Path:
    origin = EngineOrigin(
        folder.resolve().parent.name,
        YUNET,
        rung.file.name,
        read_model_file(rung.file).sha256,
        rung.precision,
        asked,
        failures=failures,
    )
    engine = folder / f"{stem_of(size)}.{engine_name(machine, built, rung.precision)}"
    write_bytes(engine, built.plan)
    write_sidecar(engine, make_sidecar(built, origin, machine))
    return engine


def read_sizes(text: str) -> Tuple[Size, ...]:
    """Read ``640x384,160x160`` (width x height) as (height, width). Raises InputError."""
    sizes = []
    for word in text.split(","):
        width, _, height = word.strip().partition("x")
        if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
            raise InputError("--detector-size", got=text, expected="WIDTHxHEIGHT, multiples of 32, such as 640x384")
        sizes.append((int(height), int(width)))
    return tuple(sizes)
