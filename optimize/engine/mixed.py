"""Mixed precision made on the device: grouped convolutions keep their activations in float.

INT8 kernels for grouped convolutions are few, and where one is missing the whole INT8 build fails. Taking the
activation's Q/DQ pair out of such a convolution's way leaves the rest of the network quantized. Only the network in
memory changes.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional


def leave_grouped_in_float(trt: Any, network: Any) -> List[str]:
    """Bypass the Q/DQ pair in front of every grouped convolution.

    Returns:
        Names of the convolutions that now read float activations; empty where there was none to change.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    producers = {layer.get_output(i).name: layer for layer in layers for i in range(layer.num_outputs)}
    changed = []
    for layer in layers:
        if layer.type == trt.LayerType.CONVOLUTION and _groups(trt, layer) > 1:
            source = _float_source(trt, producers, layer.get_input(0))
            if source is not None:
                layer.set_input(0, source)
                changed.append(str(layer.name))
    return changed


def _groups(trt: Any, layer: Any) -> int:
    """Groups of a convolution. The binding hands out layers by their base class until told what they are."""
    layer.__class__ = trt.IConvolutionLayer
    return int(layer.num_groups)


def _float_source(trt: Any, producers: Dict[str, Any], tensor: Any) -> Optional[Any]:
    """The float tensor from which a dequantized one was made; None where ``tensor`` was not quantized in the graph."""
    dequantize = producers.get(tensor.name)
    if dequantize is None or dequantize.type != trt.LayerType.DEQUANTIZE:
        return None
    quantize = producers.get(dequantize.get_input(0).name)
    if quantize is None or quantize.type != trt.LayerType.QUANTIZE:
        return None
    return quantize.get_input(0)
