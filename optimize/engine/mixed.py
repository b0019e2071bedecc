"""Mixed precision made on the device: grouped convolutions stay in float.

INT8 kernels for grouped convolutions are few, and if one is missing the whole INT8 build fails. Bypassing the Q/DQ
pairs in front of such a convolution leaves the rest of the network quantized. Both inputs are bypassed: TensorRT 8 has
no convolution of a float activation with quantized weights. Weights that are stored as INT8, which TensorRT 10 takes,
have no float to go back to and stay. Only the network in memory changes.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional


def leave_grouped_in_float(trt: Any, network: Any) -> List[str]:
    """Bypass the Q/DQ pairs in front of every grouped convolution.

    Returns:
        Names of the convolutions that now read float activations; empty if there was none to change.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    producers = {layer.get_output(i).name: layer for layer in layers for i in range(layer.num_outputs)}
    changed = []
    for layer in layers:
        if layer.type == trt.LayerType.CONVOLUTION and _groups(trt, layer) > 1:
            sources = [_float_source(trt, producers, layer.get_input(port)) for port in range(layer.num_inputs)]
            for port, source in enumerate(sources):
                if source is not None:
                    layer.set_input(port, source)
            if sources[0] is not None:
                changed.append(str(layer.name))
    return changed


def _groups(trt: Any, layer: Any) -> int:
    """Groups of a convolution, which the binding returns as its base class until ``__class__`` is set."""
    layer.__class__ = trt.IConvolutionLayer
    return int(layer.num_groups)


def _float_source(trt: Any, producers: Dict[str, Any], tensor: Optional[Any]) -> Optional[Any]:
    """The float tensor from which a dequantized one was made; None if ``tensor`` wasn't quantized in the graph."""
    dequantize = None if tensor is None else producers.get(tensor.name)
    if dequantize is None or dequantize.type != trt.LayerType.DEQUANTIZE:
        return None
    quantize = producers.get(dequantize.get_input(0).name)
    if quantize is None or quantize.type != trt.LayerType.QUANTIZE:
        return None
    return quantize.get_input(0)
