"""Which parts of a graph stay in float, found by structure and never by name.

- *Preparation*: all that is computed from the inputs without a learnt layer: casting, normalisation, difference images.
- *Maps*: all that leads to a comparison (the thresholds of difference maps), learnt-looking layers such as a grey
  conversion by convolution included; what is made of the maps alone, such as their pooling and scaling, up to the first
  weighted layer; and the sums in which they meet features (a quantized sum would round the map as well). Measured on
  CEDNN, that costs no time.
- *Head*: the last weighted layers before each output, the classifier, and everything behind them.
- *Residual streams*: sums that are added to again without a normalisation or activation in between, as in networks of
  pre-activation blocks, and the few layers that read such a sum as it is. Nothing bounds it: in a trained FAN it grows
  to 400 times its deviation on some crops, and 8 bits leave nothing of the rest. Upsampling such a sum stays as well.
  Where convolutions alone read the sums (MobileNetV2's linear bottlenecks), most of the network would stay in float:
  such a sum, whose terms are all normalised, is no stream.
- *Sensitive operators* wherever they are: sigmoid, softmax, normalisation.

Rounding any of these to 8 bits changes decisions; none of these layers costs time worth saving.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx

WEIGHTED_OPS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
COMPARISONS = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Sign"})
MERGES = frozenset({"Add", "Sub", "Mul"})
# So many sums in a row make a stream.
STREAM_LENGTH = 3
# A residual stream passes through these unchanged in kind.
RESAMPLING_OPS = frozenset({"MaxPool", "AveragePool", "Resize", "Identity"})
SENSITIVE_OPS = frozenset({"Sigmoid", "Softmax", "LogSoftmax", "LayerNormalization", "InstanceNormalization"})


def name_nodes(model: onnx.ModelProto) -> None:
    """Give every node a name of its own, in place: tools address layers by name."""
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{index}"
        taken.add(node.name)


def float_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that stay in float, in graph order. Every node must have a name (`name_nodes`)."""
    nodes = list(model.graph.node)
    keep = _preparation(model) | _head(nodes)
    keep |= _streams(model, keep)
    return [node.name for node in nodes if node.name in keep or node.op_type in SENSITIVE_OPS]


def weighted_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the layers that hold most of the arithmetic, in graph order."""
    return [node.name for node in model.graph.node if node.op_type in WEIGHTED_OPS]


def has_attention(model: onnx.ModelProto) -> bool:
    """Whether a softmax feeds a matrix product, as in a transformer."""
    softened = {out for node in model.graph.node if node.op_type == "Softmax" for out in node.output}
    return any(node.op_type == "MatMul" and softened & set(node.input) for node in model.graph.node)


def _producers(nodes: Iterable[onnx.NodeProto]) -> dict[str, onnx.NodeProto]:
    return {output: node for node in nodes for output in node.output}


def _ancestors(nodes: list[onnx.NodeProto], starts: Iterable[onnx.NodeProto]) -> set[str]:
    """Names of the starts and of all that they are computed from."""
    producers = _producers(nodes)
    found: set[str] = set()
    stack = list(starts)
    while stack:
        node = stack.pop()
        if node.name not in found:
            found.add(node.name)
            stack.extend(producers[name] for name in node.input if name in producers)
    return found


def _preparation(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes that prepare the input or make maps, and of those in which maps meet features."""
    nodes = list(model.graph.node)
    to_thresholds = _ancestors(nodes, (node for node in nodes if node.op_type in COMPARISONS))
    raw = {value.name for value in model.graph.input} - {tensor.name for tensor in model.graph.initializer}
    maps: set[str] = set()
    weighed: set[str] = set()  # the maps behind a weighted layer
    learnt: set[str] = set()
    keep: set[str] = set()
    for node in nodes:
        varying = {name for name in node.input if name in raw or name in maps or name in learnt}
        unlearnt = node.op_type not in WEIGHTED_OPS or node.name in to_thresholds
        kind = learnt
        again = node.op_type in WEIGHTED_OPS and varying & weighed
        if node.op_type in COMPARISONS or (varying and varying <= maps and not again):
            kind = maps
            weighed.update(node.output if node.op_type in WEIGHTED_OPS or varying & weighed else ())
        elif varying and varying <= raw | maps and unlearnt:
            kind = raw
        elif node.op_type in MERGES and varying & (raw | maps):
            keep.add(node.name)
        if kind is not learnt:
            keep.add(node.name)
        kind.update(node.output if varying else ())
    return keep


def _streams(model: onnx.ModelProto, prepared: set[str]) -> set[str]:
    """Names of the sums of residual streams, of what resamples them, and of what reads them as they are."""
    nodes = list(model.graph.node)
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {out for node in nodes if node.op_type == "Constant" for out in node.output}
    links = [node for node in nodes if node.op_type in RESAMPLING_OPS]
    links += [n for n in nodes if n.op_type == "Add" and n.name not in prepared and not constants & set(n.input)]
    names = {node.name for node in links}
    links = [node for node in nodes if node.name in names]
    before: dict[str, int] = {}
    for node in links:
        before[node.output[0]] = max(before.get(name, 0) for name in node.input) + (node.op_type == "Add")
    behind: dict[str, int] = {}
    for node in reversed(links):
        length = behind.get(node.output[0], 0) + (node.op_type == "Add")
        behind.update({name: max(length, behind.get(name, 0)) for name in node.input})
    carried = {name for name, count in before.items() if count and count + behind.get(name, 0) >= STREAM_LENGTH}
    carried &= _normalised_later(nodes, links)
    keep = {node.name for node in links if node.output[0] in carried}
    for node in nodes:
        if node.op_type in WEIGHTED_OPS | {"Concat"} and carried & set(node.input):
            keep.add(node.name)
            carried.update(node.output if node.op_type == "Concat" else ())
    return keep


def _normalised_later(nodes: list[onnx.NodeProto], links: list[onnx.NodeProto]) -> set[str]:
    """Tensors of the chains of links of which an activation or normalisation reads some tensor."""
    linking = {node.name for node in links}
    others = (n for n in nodes if n.name not in linking and n.op_type not in WEIGHTED_OPS | {"Concat"})
    found = {name for node in others for name in node.input}
    made = {node.output[0] for node in links}
    size = -1
    while len(found) != size:
        size = len(found)
        for node in links:
            chain = {node.output[0], *(name for name in node.input if name in made)}
            found.update(chain if chain & found else ())
    return found & made


def _head(nodes: list[onnx.NodeProto]) -> set[str]:
    """Names of the nodes from which no path leads to a weighted layer: the last such layers and all behind them."""
    leads_to_weights: set[str] = set()
    head: set[str] = set()
    for node in reversed(nodes):
        on_the_way = any(output in leads_to_weights for output in node.output)
        if on_the_way or node.op_type in WEIGHTED_OPS:
            leads_to_weights.update(node.input)
        if not on_the_way:
            head.add(node.name)
    return head
