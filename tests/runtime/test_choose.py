from __future__ import annotations

import dataclasses
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from edgeau.runtime import choose as module
from edgeau.runtime import load
from edgeau.runtime.backends import FakeBackend, lower_precisions
from edgeau.runtime.choose import choose
from edgeau.runtime.device import fingerprint
from edgeau.runtime.errors import BackendError, EdgeauWarning, InputError, PackageError
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.selection import Selection

# Of probabilities; bfloat16 has 8 bits of mantissa.
BF16_ERROR = 0.05


@pytest.fixture
def package(tmp_path: Path) -> Package:
    shutil.copytree(shipped_package(), tmp_path / "copy.edgeau")
    return Package.open(tmp_path / "copy.edgeau")


def test_fp32_is_chosen_when_nothing_was_measured_and_the_reason_says_so(package: Package) -> None:
    choice = choose(package)
    assert (choice.variant, choice.backend) == ("fp32", "onnxruntime")
    assert "not measured" in choice.reason


def test_the_choice_that_measured_best_on_this_device_wins(package: Package) -> None:
    pytest.importorskip("openvino")
    best = Selection(variant="fp32", backend="openvino", threads=2, objective="latency")
    package = package.with_manifest(dataclasses.replace(package.manifest, selection={fingerprint(): best}))
    choice = choose(package)
    assert (choice.backend, choice.threads) == ("openvino", 2)
    assert "measured best" in choice.reason


def test_the_precision_that_measured_best_is_used_if_the_cpu_supports_it(package: Package, monkeypatch) -> None:
    pytest.importorskip("openvino")
    best = Selection(variant="fp32", backend="openvino", threads=1, inference_precision="bf16")
    package = package.with_manifest(dataclasses.replace(package.manifest, selection={fingerprint(): best}))
    monkeypatch.setattr(module, "lower_precisions", lambda _: ("bf16",))
    assert choose(package).reading == "fp32 on openvino in bf16"
    assert choose(package, backend="openvino").reading == "fp32 on openvino"
    monkeypatch.setattr(module, "lower_precisions", lambda _: ())
    assert choose(package).reading == "fp32 on onnxruntime"


def test_load_requests_the_precision_that_measured_best(package: Package) -> None:
    pytest.importorskip("openvino")
    if "bf16" not in lower_precisions("openvino"):
        pytest.skip("this CPU does not multiply in bf16")
    best = Selection(variant="fp32", backend="openvino", threads=1, inference_precision="bf16")
    package = package.with_manifest(dataclasses.replace(package.manifest, selection={fingerprint(): best}))
    with load(package.path, detector="haar") as analyzer, load(package.path, variant="fp32", detector="haar") as exact:
        assert analyzer.backend.settings["inference_precision"] == "bf16"
        crops = np.random.default_rng(0).integers(0, 256, (4, 112, 112, 3), np.uint8)
        difference = np.abs(analyzer.analyse_crops(crops)["au"] - exact.analyse_crops(crops)["au"]).max()
        assert 0 < difference < BF16_ERROR


def test_the_batch_size_that_measured_best_is_kept(package: Package) -> None:
    best = Selection(variant="fp32", backend="onnxruntime", threads=2, batch=16, objective="throughput")
    choice = choose(package.with_manifest(dataclasses.replace(package.manifest, selection={fingerprint(): best})))
    assert choice.batch == 16
    assert "for throughput, 16 faces at a time," in choice.reason
    assert choose(package, "fp32").batch == 1


def test_a_measured_variant_that_is_missing_is_skipped(package: Package) -> None:
    best = Selection(variant="int8-ort", backend="onnxruntime", threads=2)
    choice = choose(package.with_manifest(dataclasses.replace(package.manifest, selection={fingerprint(): best})))
    assert choice.variant == "fp32"
    assert "not measured" in choice.reason


def test_a_measurement_from_another_device_is_ignored(package: Package) -> None:
    best = Selection(variant="fp32", backend="openvino", threads=2)
    package = package.with_manifest(dataclasses.replace(package.manifest, selection={"elsewhere": best}))
    assert choose(package).backend == "onnxruntime"


def test_when_no_backend_works_the_error_gives_a_reason_for_each(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "missing", lambda name: f"{name} is away")
    with pytest.raises(BackendError, match=r"onnxruntime is away.*openvino is away"):
        choose(package)


def test_a_variant_is_refused_on_a_backend_it_does_not_list(package: Package) -> None:
    with pytest.raises(InputError, match="variant fp32 on tensorrt"):
        choose(package, "fp32", "tensorrt")


def test_a_package_with_a_flipped_bit_does_not_load(package: Package) -> None:
    file = package.path / "fp32.onnx"
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    with pytest.raises(PackageError, match="SHA-256"):
        load(package.path)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_both_cpu_backends_give_the_same_values(photo_bgr: np.ndarray, backend: str) -> None:
    pytest.importorskip(backend)
    with load() as reference, load(backend=backend, threads=1) as analyzer:
        expected, actual = reference.still(photo_bgr)[0].au, analyzer.still(photo_bgr)[0].au
    assert actual == pytest.approx(expected, abs=1e-4)


def test_detector_engines_are_used_only_with_a_model_engine(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = package.path / module.DETECTOR_ENGINES
    folder.mkdir()
    (folder / "yunet-640x384.engine").touch()
    opened: list[tuple[str, str]] = []

    def fake(name: str, file: Path) -> FakeBackend:
        opened.append((name, file.name))
        return FakeBackend({"image": (384, 640, 3)}, 1)

    # A file that is not an engine can't run here, so it is skipped like the engines of other machines.
    assert module.detector_engines(folder) == []
    monkeypatch.setattr(module, "detector_engines", lambda folder: sorted(folder.glob("*.engine")))
    monkeypatch.setattr(module, "open_backend", fake)
    assert module.open_detector(package, "tensorrt").name == "yunet"
    assert opened == [("tensorrt", "yunet-640x384.engine")]
    assert module.open_detector(package, "tensorrt", "haar").name == "haar"
    assert module.open_detector(package, "onnxruntime").name == "haar"


def test_the_hint_for_missing_tensorrt_names_no_extra() -> None:
    from edgeau.runtime.backends import missing

    reason = missing("tensorrt")
    if reason is None:
        pytest.skip("TensorRT is installed here")
    assert "edgeau[" not in reason
    assert "python3-libnvinfer" in reason


def test_load_refuses_a_crop_size_that_differs_from_the_inputs(package: Package) -> None:
    size_px = package.manifest.crop.size_px
    crop = dataclasses.replace(package.manifest.crop, size_px=100)
    package = package.with_manifest(dataclasses.replace(package.manifest, crop=crop))
    with pytest.raises(PackageError, match=f"crops of 100 x 100 do not fit its inputs, face {size_px} x {size_px}"):
        load(package.path, detector="haar")


def test_load_warns_once_with_a_command_when_only_haar_is_available() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load().close()
        load(detector="haar").close()
    (only,) = (warning for warning in caught if issubclass(warning.category, EdgeauWarning))
    assert "type: edgeau doctor --fetch-detector" in str(only.message)
    assert len(str(only.message).splitlines()) == 1
