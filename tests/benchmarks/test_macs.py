import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeau.benchmarks.macs import model_facts
from edgeau.runtime.errors import InputError


def saved(path, nodes, inputs, outputs, constants):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_macs_and_parameters_of_a_known_network(package):
    facts = model_facts(package.path / "fp32.onnx")
    # 16x16 outputs x 8 channels x 3x3x3 in the convolution, and 8 x 2 in the linear layer.
    assert facts.macs_by_operator == {"Conv": 16 * 16 * 8 * 27, "Gemm": 16}
    # The last one is the scale 1/255.
    assert facts.parameters == 8 * 27 + 8 + 8 * 2 + 2 + 1
    assert facts.size_bytes == (package.path / "fp32.onnx").stat().st_size
    assert facts.uncounted == ()


@pytest.mark.parametrize("groups", [1, 4, 16])
def test_groups_divide_a_convolution(tmp_path, groups):
    weight = np.zeros((16, 16 // groups, 3, 3), np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=groups, pads=[1, 1, 1, 1])
    file = saved(tmp_path / "g.onnx", [node], {"x": ["N", 16, 10, 12]}, ["y"], {"w": weight})
    assert model_facts(file).macs == 10 * 12 * 16 * 16 * 9 // groups


def test_macs_of_transposed_convolution_and_matrix_product(tmp_path):
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]),
        helper.make_node("MatMul", ["a", "b"], ["c"]),
    ]
    constants = {"w": np.zeros((4, 6, 2, 2), np.float32), "b": np.zeros((7, 5), np.float32)}
    file = saved(tmp_path / "t.onnx", nodes, {"x": ["N", 4, 8, 8], "a": ["N", 3, 7]}, ["y", "c"], constants)
    assert model_facts(file).macs_by_operator == {"ConvTranspose": 4 * 8 * 8 * 6 * 2 * 2, "MatMul": 3 * 7 * 5}


def test_quantization_changes_neither_parameters_nor_macs(tmp_path):
    weight = np.zeros((8, 3, 3, 3), np.int8)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["y"]),
    ]
    constants = {
        "w": weight, "ws": np.ones(8, np.float32), "wz": np.zeros(8, np.int8),
        "xs": np.array(1, np.float32), "xz": np.array(0, np.uint8),
    }  # fmt: skip
    file = saved(tmp_path / "q.onnx", nodes, {"x": ["N", 3, 10, 10]}, ["y"], constants)
    facts = model_facts(file)
    assert (facts.parameters, facts.macs) == (weight.size, 8 * 8 * 8 * 27)


def test_a_recurrent_layer_is_listed_as_uncounted(tmp_path):
    constants = {"w": np.zeros((1, 16, 5), np.float32), "r": np.zeros((1, 16, 4), np.float32)}
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4)
    file = saved(tmp_path / "l.onnx", [node], {"x": [2, 1, 5]}, ["y"], constants)
    assert model_facts(file).uncounted == ("LSTM",)


def test_a_file_that_is_not_onnx_is_refused(tmp_path):
    file = tmp_path / "x.onnx"
    file.write_bytes(b"not a model")
    with pytest.raises(InputError, match="unreadable"):
        model_facts(file)


def test_lenet5_has_its_known_cost(tmp_path):
    """LeNet-5 on 32x32 with a fully connected second convolution: 61 706 parameters, 416 520 multiply-accumulates."""
    shapes = {"w1": (6, 1, 5, 5), "b1": (6,), "w2": (16, 6, 5, 5), "b2": (16,), "w3": (400, 120), "b3": (120,),
              "w4": (120, 84), "b4": (84,), "w5": (84, 10), "b5": (10,)}  # fmt: skip
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"]),
        helper.make_node("AveragePool", ["c1"], ["p1"], **pool),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"]),
        helper.make_node("AveragePool", ["c2"], ["p2"], **pool),
        helper.make_node("Flatten", ["p2"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["g1"]),
        helper.make_node("Gemm", ["g1", "w4", "b4"], ["g2"]),
        helper.make_node("Gemm", ["g2", "w5", "b5"], ["y"]),
    ]
    constants = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    facts = model_facts(saved(tmp_path / "lenet.onnx", nodes, {"x": ["N", 1, 32, 32]}, ["y"], constants))
    assert (facts.parameters, facts.macs) == (61_706, 416_520)


def test_mobilenet_v1_has_its_published_cost(tmp_path):
    """Howard et al., 2017, table 4: 569 million multiply-accumulates and 4.2 million parameters at 224x224."""
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    nodes, constants, channels, x = [], {}, 32, "stem"

    def convolution(source, name, shape, stride, groups=1):
        constants[f"{name}_w"] = np.zeros(shape, np.float32)
        pads = [shape[2] // 2] * 4
        inputs = [source, f"{name}_w"]
        nodes.append(helper.make_node("Conv", inputs, [name], strides=[stride, stride], pads=pads, group=groups))
        return name

    convolution("x", "stem", (32, 3, 3, 3), 2)
    for number, (wider, stride) in enumerate(blocks):
        x = convolution(x, f"depth{number}", (channels, 1, 3, 3), stride, channels)
        x = convolution(x, f"point{number}", (wider, channels, 1, 1), 1)
        channels = wider
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    nodes.append(helper.make_node("Gemm", ["flat", "fc_w", "fc_b"], ["y"]))
    constants |= {"fc_w": np.zeros((1024, 1000), np.float32), "fc_b": np.zeros(1000, np.float32)}
    facts = model_facts(saved(tmp_path / "mobilenet.onnx", nodes, {"x": ["N", 3, 224, 224]}, ["y"], constants))
    assert facts.macs == pytest.approx(569e6, rel=0.001)
    assert facts.parameters == pytest.approx(4.2e6, rel=0.01)
