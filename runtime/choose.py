"""``load``: a package becomes an analyzer, on the best variant that runs here."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np

from .analyzer import Analyzer
from .backends import BACKEND_NAMES, Backend, BackendOptions, lower_precisions, missing, open_backend
from .detect import Detector, can_run_yunet, make_detector
from .device import fingerprint
from .errors import BackendError, EdgeauWarning, InputError, PackageError
from .files import PathLike
from .following import SEARCH_EVERY
from .manifest import NEUTRAL_POLICIES, Manifest, NeutralSpec, Variant
from .manifest_rules import check_outputs
from .package import Package, shipped_package
from .selection import Selection, reading
from .yunet import on_engines

# Engines of YuNet's graphs (yunet_graph.with_uint8_input), one for each size of picture, with their sidecars.
DETECTOR_ENGINES, DETECTOR_FILE = "detector", "yunet.onnx"
HAAR_ONLY = (
    "YuNet's file is not here, so faces are found by Haar cascades, which are slower and miss turned faces; "
    "type: edgeau doctor --fetch-detector"
)
# Below this, threads gain less than they cost the other stages of a stream: on 2 cores a stream of the shipped package
# has 480 frames per second with one thread and 390 with two.
_ONE_THREAD_BYTES = 4 << 20


@dataclass(frozen=True)
class Choice:
    """What runs, and why.

    Attributes:
        variant, backend, threads: names and settings; threads None lets the backend choose.
        batch: number of faces per call that measured best, for use when there are many faces; an analyzer always runs
            the faces of a frame together.
        inference_precision: ``bf16`` or ``f16`` where the backend computes in it what the file has in float32, as
            `edgeau optimize` may choose; None for the types of the file.
        reason: one sentence.
    """

    variant: str
    backend: str
    threads: Optional[int]
    reason: str
    batch: int = 1
    inference_precision: Optional[str] = None

    @property
    def reading(self) -> str:
        """What runs, in words: ``fp32 on openvino in bf16``."""
        return reading(self.variant, self.backend, self.inference_precision)


def load(
    package: Optional[PathLike] = None,
    *,
    variant: Optional[str] = None,
    backend: Optional[str] = None,
    threads: Optional[int] = None,
    detector: Optional[str] = None,
    neutral_policy: Optional[str] = None,
    neutral_image_bgr: Optional[np.ndarray] = None,
    search_every: int = SEARCH_EVERY,
    max_faces: Optional[int] = None,
) -> Analyzer:
    """Open a package for use.

    Args:
        package: its folder; without it the one that ships with edgeau.
        variant: name of the variant to run; by default the one measured best on this device, else the safest.
        backend: ``onnxruntime``, ``openvino`` or ``tensorrt``; by default the same.
        threads: CPU threads of the model; by default those that measured best, else one for small models and the
            backend's own choice for large ones. The detector has one.
        detector: ``yunet``, ``yunet-opencv``, ``haar`` or a path to YuNet's file; by default the package's engines of
            YuNet with a variant for TensorRT, else YuNet where its file is at hand, else Haar.
        neutral_policy: overrides the manifest's: ``first``, ``running``, ``none`` (compare each face with itself).
        neutral_image_bgr: uint8 [H, W, 3], BGR: a picture of one subject at rest, which is then that subject's neutral.
            Faces that don't look like it find their own by the policy.
        search_every: YuNet looks for known faces near where they were in the last frame of a video, and searches the
            whole frame in every n-th one, or when a face is lost. 1 searches every frame.
        max_faces: analyse at most so many faces of an image, the largest; in a video those analysed before come first.

    Raises:
        InputError, PackageError, BackendError, MissingExtraError: each says in one line what is wrong and the hint.
    """
    opened = Package.open(shipped_package() if package is None else package)
    if neutral_policy is not None and neutral_policy not in NEUTRAL_POLICIES:
        raise InputError("neutral policy", got=neutral_policy, expected=", ".join(NEUTRAL_POLICIES))
    if max_faces is not None and max_faces < 1:
        raise InputError("max_faces", got=str(max_faces), expected="1 or more")
    if search_every < 1:
        raise InputError("search_every", got=str(search_every), expected="1 or more frames")
    choice = choose(opened, variant, backend, threads)
    engine = open_variant(opened, choice)
    _check_graph(opened.manifest, engine)
    spec = opened.manifest.neutral
    if neutral_policy is not None:
        spec = NeutralSpec(neutral_policy, spec.frames)
    return Analyzer(
        opened.manifest,
        engine,
        open_detector(opened, choice.backend, detector),
        choice=choice,
        neutral=spec,
        neutral_image_bgr=neutral_image_bgr,
        search_every=search_every,
        max_faces=max_faces,
    )


def open_detector(package: Package, backend: str, name: Optional[str] = None) -> Detector:
    """The detector that `load` takes beside a backend of the model.

    It is the one asked for by name, or the package's own (engines beside an engine of the model, else its file), or the
    default.
    """
    if name is not None:
        return make_detector(name)
    folder = package.path / DETECTOR_ENGINES
    engines = detector_engines(folder) if backend == "tensorrt" else []
    if engines:
        return on_engines([open_backend("tensorrt", file) for file in engines])
    own = folder / DETECTOR_FILE
    detector = make_detector(str(own) if own.is_file() and can_run_yunet() else None)
    if detector.name == "haar":
        warnings.warn(HAAR_ONLY, EdgeauWarning, stacklevel=3)
    return detector


def detector_engines(folder: Path) -> List[Path]:
    """Engines of the detector that may run on this machine; those that were built for another one are passed over."""
    engines = sorted(folder.glob("*.engine"))
    if not engines:
        return []
    from .engine_check import engine_obstacle
    from .machine import read_machine

    machine = read_machine()
    return [file for file in engines if engine_obstacle(file, machine) is None]


def _check_graph(manifest: Manifest, backend: Backend) -> None:
    """Compare a graph with the manifest. Raises PackageError where they don't fit."""
    size_px = manifest.crop.size_px
    if any((spec.height, spec.width) != (size_px, size_px) for spec in manifest.inputs):
        got = ", ".join(f"{spec.name} {spec.height} x {spec.width}" for spec in manifest.inputs)
        raise PackageError(f"package {manifest.name}: crops of {size_px} x {size_px} do not fit its inputs, {got}")
    expected = {spec.name: (spec.height, spec.width, 3) for spec in manifest.inputs}
    if {name: tuple(shape) for name, shape in backend.input_shapes.items()} != expected:
        raise PackageError(
            f"package {manifest.name}: the graph takes {dict(backend.input_shapes)}, the manifest says {expected}; "
            "export or import the model again"
        )
    if backend.name != "tensorrt":  # whose smallest batch may be more than one; its outputs are checked as they come
        one = {name: np.zeros((1, *shape), np.uint8) for name, shape in expected.items()}
        check_outputs(manifest, backend.infer(one), 1)


def open_variant(package: Package, choice: Choice) -> Backend:
    """Verify a variant's file and load it on the chosen backend."""
    file = package.read(package.variant(choice.variant))
    return open_backend(choice.backend, file, backend_options(choice.threads, choice.inference_precision))


def backend_options(threads: Optional[int], inference_precision: Optional[str]) -> BackendOptions:
    """Options of a backend from a selection's values."""
    precision = inference_precision or BackendOptions.inference_precision
    return BackendOptions(threads=threads, inference_precision=precision)


def choose(
    package: Package, variant: Optional[str] = None, backend: Optional[str] = None, threads: Optional[int] = None
) -> Choice:
    """Pick what to run: what was asked for, else what measured best on this device, else a rule.

    The rule without a measurement: an engine that was built for this machine, else FP32 on ONNX Runtime or OpenVINO.
    INT8 is never picked unmeasured, because it is slower than FP32 on many machines.

    Raises:
        BackendError: nothing of what was asked for runs here; the text says why for each.
    """
    if backend is not None and backend not in BACKEND_NAMES:
        raise InputError("backend", got=backend, expected=", ".join(BACKEND_NAMES))
    best = package.manifest.selection.get(fingerprint())
    if best is not None and variant is None and backend is None and _still_runs(package, best):
        faces = f", {best.batch} faces at a time," if best.batch > 1 else ""
        reason = f"measured best for {best.objective}{faces} on this device by `edgeau optimize`"
        return Choice(best.variant, best.backend, threads or best.threads, reason, best.batch, best.inference_precision)
    reasons: List[str] = []
    for candidate, name in _candidates(package, variant, backend):
        why_not = obstacle(package, candidate, name)
        if why_not is None:
            asked = variant is not None or backend is not None
            reason = "as asked" if asked else "not measured on this device yet; `edgeau optimize` finds the fastest"
            return Choice(candidate.name, name, threads or default_threads(candidate), reason)
        reasons.append(f"{candidate.name} on {name}: {why_not}")
    raise BackendError("nothing in this package runs here: " + ("; ".join(reasons) or "no variant fits what was asked"))


def default_threads(variant: Variant) -> Optional[int]:
    """CPU threads of a variant that isn't measured here: one for a small file, else the backend's choice."""
    return 1 if variant.size_bytes <= _ONE_THREAD_BYTES else None


def _candidates(package: Package, variant: Optional[str], backend: Optional[str]) -> List[Tuple[Variant, str]]:
    """Variants and backends in order of preference."""
    wanted = [package.variant(variant)] if variant is not None else list(package.manifest.variants)
    pairs = [(v, b) for v in wanted for b in v.backends if backend in (None, b)]
    if variant is not None and not pairs:
        raise InputError(
            f"variant {variant} on {backend}", expected=f"one of {', '.join(package.variant(variant).backends)}"
        )
    precisions = ("fp32", "fp16", "mixed", "int8")
    order = ("tensorrt", "onnxruntime", "openvino")
    return sorted(pairs, key=lambda p: (p[1] != "tensorrt", precisions.index(p[0].precision), order.index(p[1])))


def _still_runs(package: Package, best: Selection) -> bool:
    """Whether the selected variant is still in the package, and its backend and precision still here."""
    variants = [v for v in package.manifest.variants if v.name == best.variant]
    if not variants or obstacle(package, variants[0], best.backend) is not None:
        return False
    return best.inference_precision is None or best.inference_precision in lower_precisions(best.backend)


def obstacle(package: Package, variant: Variant, backend: str) -> Optional[str]:
    """Why a variant can't run on a backend here; None where nothing speaks against it."""
    why_not = missing(backend)
    if why_not is not None or backend != "tensorrt":
        return why_not
    from .engine_check import engine_obstacle
    from .machine import read_machine

    return engine_obstacle(package.path / variant.file, read_machine())
