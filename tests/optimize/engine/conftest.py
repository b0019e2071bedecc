"""Small ONNX graphs with the inputs and outputs of a package's variants, fakes of TensorRT, and a bare device."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes.tensorrt import VERSIONS, Behaviour, make_tensorrt

SIDE, AUS = Behaviour().side, Behaviour().aus


def _graph(nodes, weights, inputs=("face",)):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed, and makes the test graphs")
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(name, kinds.UINT8, ["N", SIDE, SIDE, 3]) for name in inputs],
        [helper.make_tensor_value_info("au", kinds.FLOAT, ["N", AUS])],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _parts(kind, groups):
    """Nodes and weights: crop -> cast -> NCHW -> conv -> relu -> grouped conv -> relu -> mean -> gemm -> sigmoid."""
    from onnx import helper

    draw = np.random.default_rng(0)
    real = np.float16 if kind == "fp16" else np.float32
    weights = {
        "scale": np.array(1 / 255, real),
        "w1": draw.normal(0, 0.3, (16, 3, 3, 3)).astype(real),
        "w2": draw.normal(0, 0.2, (16, 16 // groups, 3, 3)).astype(real),
        "w3": draw.normal(0, 0.5, (AUS, 16)).astype(real),
        "b3": np.zeros(AUS, real),
    }
    nodes = []

    def quantized(name, scale):
        if kind != "int8":
            return name
        weights[f"{name}_scale"] = np.array(scale, np.float32)
        weights[f"{name}_zero"] = np.array(0, np.int8)
        numbers = [f"{name}_scale", f"{name}_zero"]
        nodes.append(helper.make_node("QuantizeLinear", [name, *numbers], [f"{name}_q"], f"{name}_q"))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", *numbers], [f"{name}_dq"], f"{name}_dq"))
        return f"{name}_dq"

    def add(kind_, inputs, output, **attributes):
        nodes.append(helper.make_node(kind_, inputs, [output], output, **attributes))
        return output

    x = add("Cast", ["face"], "real", to=10 if kind == "fp16" else 1)
    x = add("Transpose", [x], "planes", perm=[0, 3, 1, 2])
    x = add("Mul", [x, "scale"], "scaled")
    x = add("Conv", [quantized(x, 1 / 127), quantized("w1", 0.01)], "conv1", pads=[1, 1, 1, 1], strides=[2, 2])
    x = add("Relu", [x], "relu1")
    x = add("Conv", [quantized(x, 0.02), quantized("w2", 0.01)], "conv2", pads=[1, 1, 1, 1], group=groups)
    x = add("Relu", [x], "relu2")
    x = add("GlobalAveragePool", [x], "pooled")
    x = add("Flatten", [x], "flat")
    x = add("Gemm", [x, "w3", "b3"], "logits", transB=1)
    if kind == "fp16":
        x = add("Cast", [x], "logits32", to=1)
    add("Sigmoid", [x], "au")
    return nodes, weights


@pytest.fixture(scope="session")
def toy_onnx(tmp_path_factory):
    """A function that makes a small ``fp32``, ``fp16`` or ``int8`` ONNX file with a grouped convolution."""
    folder = tmp_path_factory.mktemp("toy")

    def make(kind="fp32", groups=4):
        import onnx

        path = folder / f"{kind}-{groups}.onnx"
        if not path.exists():
            onnx.save(_graph(*_parts(kind, groups)), path)
        return path

    return make


@pytest.fixture(scope="session")
def rtx():
    """TensorRT for RTX: the real parser and builder, without a GPU."""
    return pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed (x86-64 Linux only)")


@pytest.fixture(params=VERSIONS)
def any_fake(request):
    """A fake of each TensorRT version in turn."""
    return make_tensorrt(request.param)


@pytest.fixture
def fake_tensorrt():
    """A function that makes a fake TensorRT module with the names of one version and no others."""
    return make_tensorrt


@pytest.fixture
def package(toy_onnx, tmp_path):
    """A package with fp32, int8-tensorrt and fp16 ONNX files of the toy graph."""
    import shutil

    from edgeau.runtime.files import sha256_file
    from edgeau.runtime.manifest import CropSpec, InputSpec, Manifest, Variant
    from edgeau.runtime.package import Package

    manifest = Manifest(
        name="toy",
        family="imported",
        aus=("AU01", "AU02", "AU04", "AU12"),
        thresholds=(0.5,) * AUS,
        inputs=(InputSpec("face", SIDE, SIDE),),
        crop=CropSpec(size_px=SIDE),
    )
    kinds = {
        "fp32": ("fp32", ("onnxruntime", "openvino")),
        "int8-tensorrt": ("int8", ("tensorrt",)),
        "fp16": ("fp16", ("onnxruntime", "openvino")),
    }

    def files(folder):
        complete = manifest
        for name, (precision, backends) in kinds.items():
            file = folder / f"{name}.onnx"
            shutil.copyfile(toy_onnx(precision), file)
            complete = complete.with_variant(
                Variant(name, file.name, sha256_file(file), file.stat().st_size, precision, backends)
            )
        return complete

    return Package.create(tmp_path / "toy.edgeau", manifest, files)


@pytest.fixture
def crops_file(tmp_path):
    """An .npz file of 12 different crops of the astronaut's photo."""
    skimage = pytest.importorskip("skimage", reason="scikit-image is not installed, and has the photo")
    photo = skimage.data.astronaut()
    faces = np.stack([photo[i : i + 256 : 8, 100 + i : 356 + i : 8] for i in range(0, 120, 10)])
    path = tmp_path / "crops.npz"
    np.savez(path, faces=faces)
    return path


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """A wheel of the edgeau under test."""
    from edgeau.optimize.engine.wheel import write_wheel

    return write_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def device(tmp_path):
    """A bare device: a home folder, a ``python3`` with numpy and nothing else, and optionally a fake TensorRT."""
    return Device(tmp_path / "device")


class Device:
    """A bare device on which bundles are run.

    Attributes:
        home: the device's folder.
        python: its interpreter, which has no package but numpy.
    """

    def __init__(self, home):
        self.home = home
        self._deps = home / "deps"
        self._deps.mkdir(parents=True)
        site = Path(np.__file__).parent.parent
        for name in ("numpy", "numpy.libs"):
            if (site / name).exists():
                (self._deps / name).symlink_to(site / name)
        self.python = home / "python3"
        path = f"{shlex.quote(str(self._deps))}${{PYTHONPATH:+:$PYTHONPATH}}"
        # -S leaves out site-packages and with it this checkout's editable installation.
        self.python.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {sys.executable} -S "$@"\n')
        self.python.chmod(0o755)

    def install_tensorrt(self, version="10.3"):
        """Install a fake TensorRT of this version for the interpreter."""
        tests = Path(__file__).parents[2]
        (self._deps / "tensorrt.py").write_text(
            f"import sys\nsys.path.append({str(tests)!r})\n"
            f"from fakes.tensorrt import make_tensorrt\nglobals().update(vars(make_tensorrt({version!r})))\n"
        )

    def run(self, *command, check=False, **more):
        """Run a command on the device; scripts find its interpreter in PYTHON."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHON": str(self.python), "LC_ALL": "C"}
        return subprocess.run(
            [str(part) for part in command],
            cwd=self.home,
            env=env,
            capture_output=True,
            text=True,
            timeout=180,
            check=check,
            **more,
        )
