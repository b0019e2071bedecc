"""The detector's graphs in a package: FP32, FP16 and, where it keeps the faces, INT8.

YuNet is not edgeau's: its file is given by the user. On the clip and the photo of the tests FP16 moves boxes and points
by 0.4 px at most, INT8 by up to 7 px (2.6 px in the median), so INT8 is kept only where it stays within the same bound
on the user's own pictures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeau.optimize.engine.detector import DEFAULT_SIZES, MAX_SHIFT_PX, add_graphs, rows_shift_px, stem_of
from edgeau.runtime.backends import open_backend
from edgeau.runtime.choose import DETECTOR_ENGINES
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import PathLike, atomic_path, write_bytes
from edgeau.runtime.package import Package
from edgeau.runtime.report import Report, silent
from edgeau.runtime.sources import open_source
from edgeau.runtime.yunet import MIN_SCORE, Size, find_in_canvas, fit_into
from edgeau.runtime.yunet_graph import INPUT

if TYPE_CHECKING:  # boards have none
    import onnx

PICTURES, EVIDENCE = 64, 8


def add_detector(
    package: Package,
    yunet: PathLike,
    pictures: str | None = None,
    *,
    sizes: tuple[Size, ...] = DEFAULT_SIZES,
    max_shift_px: float = MAX_SHIFT_PX,
    progress: Report = silent,
) -> Path:
    """Write the detector's graphs into a package's ``detector`` folder.

    Args:
        package: written to; a folder ``detector`` of it is replaced file by file.
        yunet: YuNet's ONNX file.
        pictures: a source as `edgeau run` takes it, with faces as the camera will see them; without it there is no
            INT8, and engines are not compared with FP32.
        sizes: (height, width) of the images that graphs are made for.
        max_shift_px: INT8 is kept if no box or point moves further.
        progress: called with a line before each step.

    Returns:
        The folder.

    Raises:
        InputError: the file is not YuNet's, or the pictures can't be read.
    """
    images = [] if pictures is None else _pictures(pictures)
    folder = package.path / DETECTOR_ENGINES
    add_graphs(folder, yunet, sizes)
    if find_spec("onnx") is None:
        return folder
    for size in sizes:
        canvases = [fit_into(size, image)[0] for image in images]
        _add_precisions(folder, size, canvases, max_shift_px, progress)
    return folder


def _pictures(source: str) -> list[np.ndarray]:
    frames = islice(open_source(source).frames, PICTURES)
    images = [frame.image_bgr for frame in frames if frame.image_bgr is not None]
    if not images:
        raise InputError(f"pictures {source}", got="none that can be read", expected="faces as the camera sees them")
    return images


def _add_precisions(
    folder: Path, size: Size, canvases: Sequence[np.ndarray], max_shift_px: float, progress: Report
) -> None:
    import onnx

    from edgeau.optimize.finish import finish
    from edgeau.optimize.half.convert import to_fp16
    from edgeau.optimize.quantization.emulate import emulate_tensorrt
    from edgeau.optimize.quantization.nncf_quantize import quantize_model

    single = folder / f"{stem_of(size)}.fp32.onnx"
    model = finish(_opset_17(onnx.load(str(single))), "tensorrt-8").model
    onnx.save(model, str(single))
    samples = [{INPUT: canvas[None]} for canvas in canvases]
    half = to_fp16(model, samples[:EVIDENCE])
    write_bytes(folder / f"{stem_of(size)}.fp16.onnx", half.SerializeToString())
    if not samples:
        return
    expected = _faces(model, canvases)
    _write_evidence(folder, size, canvases[:EVIDENCE], expected[:EVIDENCE])
    progress(f"quantizing the detector at {size[1]}x{size[0]}")
    quantized = finish(quantize_model(model, samples), "tensorrt-8").model
    rows = _faces(emulate_tensorrt(quantized), canvases)
    shift = max(map(rows_shift_px, expected, rows))
    file = folder / f"{stem_of(size)}.int8.onnx"
    if shift <= max_shift_px:
        write_bytes(file, quantized.SerializeToString())
        progress(f"INT8 moves faces by {shift:.2f} px at most")
    else:
        file.unlink(missing_ok=True)
        progress(f"INT8 moves faces by {shift:.2f} px, more than {max_shift_px:g}: FP16 is built instead")


def _opset_17(model: onnx.ModelProto) -> onnx.ModelProto:
    """The published file is of opset 11, which has no scales per channel."""
    from onnx import version_converter

    return version_converter.convert_version(model, 17)


def _faces(model: onnx.ModelProto, canvases: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a graph finds in each image on ONNX Runtime, as ``YuNet.faces`` gives it."""
    import onnx

    with tempfile.TemporaryDirectory(prefix="edgeau-") as folder:
        file = Path(folder) / "model.onnx"
        onnx.save(model, str(file))
        with open_backend("onnxruntime", file) as backend:
            return [find_in_canvas(backend, canvas, MIN_SCORE) for canvas in canvases]


def _write_evidence(folder: Path, size: Size, canvases: Sequence[np.ndarray], faces: Sequence[np.ndarray]) -> None:
    """Images uint8 [N, H, W, 3]; faces float32 [M, 15]; and int64 [M], the image that each is in."""
    index = np.concatenate([np.full(len(rows), i) for i, rows in enumerate(faces)]).astype(np.int64)
    with atomic_path(folder / f"evidence-{size[1]}x{size[0]}.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, images=np.stack(canvases), faces=np.concatenate(faces), image=index)
