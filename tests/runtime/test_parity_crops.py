"""The default crops for comparing an engine, which need neither a renderer nor another backend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeau.runtime import parity_crops
from edgeau.runtime.crop_source import SHIPPED_PARITY, read_crops
from edgeau.runtime.errors import InputError
from edgeau.runtime.package import Package, shipped_package
from edgeau.runtime.parity_crops import compute_reference, default_spec, gather, store_reference, write_evidence


@pytest.fixture
def package(tmp_path: Path) -> Package:
    """A package without parity crops."""
    copy = Package.open(shipped_package()).copy_to(tmp_path / "own.edgeau")
    (copy.path / "parity.npz").unlink()
    return copy


@pytest.fixture
def without_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity_crops, "missing", lambda name: "not installed")


def test_the_shipped_reference_is_the_output_of_the_shipped_fp32_file() -> None:
    package = Package.open(shipped_package())
    evidence = gather(package, package.variant("fp32"))
    assert evidence.inputs["face"].shape == evidence.inputs["neutral"].shape == (32, 112, 112, 3)
    computed = compute_reference(package, package.variant("fp32"), evidence.crops)
    np.testing.assert_allclose(evidence.reference, computed, atol=1e-5)  # stored on another processor


@pytest.mark.usefixtures("without_backends")
def test_the_shipped_package_needs_no_backend_to_compare_with() -> None:
    package = Package.open(shipped_package())
    assert gather(package, package.variant("fp32")).reference.shape == (32, 15)


@pytest.mark.skipif(sys.version_info < (3, 10), reason="rendering faces needs Python 3.10")
def test_the_shipped_crops_are_reproduced_by_the_renderer() -> None:
    package = Package.open(shipped_package())
    shipped = read_crops(SHIPPED_PARITY, package.manifest.crop)
    drawn = read_crops("synthetic:subjects=4,frames=8,seed=7", package.manifest.crop)
    # Other versions of OpenCV may round differently.
    assert np.abs(shipped.faces.astype(int) - drawn.faces).mean() < 1
    assert (shipped.subjects, shipped.aus) == (drawn.subjects, drawn.aus)


def test_a_package_without_parity_crops_uses_the_shipped_ones(package: Package) -> None:
    assert default_spec(package) == SHIPPED_PARITY
    evidence = gather(package, package.variant("fp32"))
    assert (evidence.data, len(evidence.reference)) == (SHIPPED_PARITY, 32)


def test_a_stored_reference_makes_the_other_backend_unnecessary(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store_reference(package)
    assert (package.path / "parity.npz").stat().st_size < 10_000
    expected = compute_reference(package, package.variant("fp32"), read_crops(SHIPPED_PARITY, package.manifest.crop))
    monkeypatch.setattr(parity_crops, "missing", lambda name: "not installed")
    np.testing.assert_array_equal(gather(package, package.variant("fp32")).reference, expected)


@pytest.mark.parametrize("key", ["fp32_sha256", "crops_sha256"])
def test_a_reference_of_another_model_or_of_other_crops_is_not_used(
    package: Package, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_reference(package)
    file = package.path / "parity.npz"
    with np.load(file) as arrays:
        changed = {**arrays, key: np.array("0" * 64)}
    np.savez(file, **changed)
    assert gather(package, package.variant("fp32")).reference.shape == (32, 15)  # computed
    monkeypatch.setattr(parity_crops, "missing", lambda name: "not installed")
    with pytest.raises(InputError, match=r"neither onnxruntime nor openvino.*parity\.npz"):
        gather(package, package.variant("fp32"))


def test_a_stored_reference_is_not_used_for_the_users_crops(package: Package, tmp_path: Path) -> None:
    store_reference(package)
    faces = np.random.default_rng(0).integers(0, 256, (32, 112, 112, 3), np.uint8)
    np.savez(tmp_path / "given.npz", faces=faces)
    evidence = gather(package, package.variant("fp32"), str(tmp_path / "given.npz"))
    crops = read_crops(str(tmp_path / "given.npz"), package.manifest.crop)
    np.testing.assert_array_equal(evidence.reference, compute_reference(package, package.variant("fp32"), crops))


def test_evidence_survives_a_round_trip(package: Package, tmp_path: Path) -> None:
    fp32 = package.variant("fp32")
    evidence = gather(package, fp32)
    write_evidence(tmp_path / "e.npz", evidence)
    again = gather(package, fp32, str(tmp_path / "e.npz"))
    np.testing.assert_array_equal(again.reference, evidence.reference)
    for name, array in evidence.inputs.items():
        np.testing.assert_array_equal(again.inputs[name], array)


def test_a_reference_with_the_wrong_number_of_aus_is_refused(package: Package, tmp_path: Path) -> None:
    faces = np.zeros((2, 112, 112, 3), np.uint8)
    np.savez(tmp_path / "c.npz", faces=faces, reference=np.zeros((2, 3), np.float32))
    with pytest.raises(InputError, match=r"got shape \[2, 3\], expected \[2, 15\]"):
        gather(package, package.variant("fp32"), str(tmp_path / "c.npz"))


def test_no_layer_above_the_runtime_is_needed() -> None:
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys([f'edgeau.{n}' for n in ('train', 'export', 'optimize', 'benchmarks')]))\n"
        "sys.modules.update(dict.fromkeys(['cv2', 'onnx', 'torch', 'onnxruntime', 'openvino', 'skimage']))\n"
        "from edgeau.runtime.package import Package, shipped_package\n"
        "from edgeau.runtime.parity_crops import gather\n"
        "package = Package.open(shipped_package())\n"
        "print(gather(package, package.variant('fp32')).reference.shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "(32, 15)\n", done.stderr
