"""The inner tensors of a parsed network: listing them, and making them outputs."""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple

import numpy as np

WEIGHTED = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "FULLY_CONNECTED")


def weighted_outputs(trt: Any, network: Any) -> List[str]:
    """Names of the outputs of convolutions and matrix products, in the order of the network."""
    kinds = {getattr(trt.LayerType, name) for name in WEIGHTED if hasattr(trt.LayerType, name)}
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    return [str(layer.get_output(0).name) for layer in layers if layer.type in kinds]


def expose(network: Any, names: Sequence[str]) -> None:
    """Make these tensors outputs of the network. Layers around them are not fused; their values stay the same."""
    chosen = set(names)
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        for port in range(layer.num_outputs):
            tensor = layer.get_output(port)
            if tensor.name in chosen and not tensor.is_network_output:
                network.mark_output(tensor)


def quantizer_ranges(trt: Any, network: Any) -> List[Tuple[str, float]]:
    """Name and range (127 times its scale) of every quantizer whose scale is one number, in the network's order."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    producers = {layer.get_output(i).name: layer for layer in layers for i in range(layer.num_outputs)}
    ranges = []
    for layer in layers:
        scale = producers.get(layer.get_input(1).name) if layer.type == trt.LayerType.QUANTIZE else None
        if scale is None or scale.type != trt.LayerType.CONSTANT:
            continue
        scale.__class__ = trt.IConstantLayer
        values = np.asarray(scale.weights, np.float64).ravel()
        if values.size == 1:
            ranges.append((str(layer.name), 127.0 * float(values[0])))
    return ranges
