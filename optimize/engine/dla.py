"""The deep learning accelerator (DLA) of some Jetson boards: which layers and precisions it takes.

DLA runs FP16 and INT8, but INT8 only by implicit quantization, which needs a calibrator and is gone in TensorRT 11; a
graph with Q/DQ nodes is explicit quantization, which it doesn't take (NVIDIA's developer guide, "Working with DLA";
NVIDIA/TensorRT issue 2222; NVIDIA/Model-Optimizer pull request 1661, June 2026). So an engine for DLA is FP16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple

from edgeau.runtime.errors import EngineError, InputError

from .library import BuildFailedError, member

DLA_PRECISION = "fp16"
WHY_NO_INT8 = "DLA takes no Q/DQ nodes, and no FP32"


@dataclass(frozen=True)
class DlaUse:
    """How many layers run on DLA.

    Attributes:
        layers: number of layers, without constants.
        fell_back: names of those that run on the GPU instead.
    """

    layers: int
    fell_back: Tuple[str, ...]

    @property
    def gpu_share(self) -> float:
        """Share of layers that fell back, 0..1."""
        return len(self.fell_back) / self.layers if self.layers else 1.0


def use_dla(trt: Any, builder: Any, config: Any, core: int, batch: Tuple[int, int, int]) -> None:
    """Send layers to DLA ``core``, with the GPU for those that it can't take.

    Raises:
        EngineError: this board or TensorRT has no DLA.
        InputError: no such core, or a batch that varies, which DLA does not support.
    """
    cores = int(getattr(builder, "num_DLA_cores", 0) or 0)
    device = member(getattr(trt, "DeviceType", None), "DLA")
    if cores == 0 or device is None:
        raise EngineError(
            f"this machine has no DLA that TensorRT {trt.__version__} can use; build without --dla "
            "(Orin Nano and Thor have none, Orin NX 8 GB has one, Orin NX 16 GB, AGX Orin and Xavier have two)"
        )
    if not 0 <= core < cores:
        raise InputError("--dla", got=str(core), expected=f"0 to {cores - 1}")
    if batch[0] != batch[2]:
        raise InputError("--batch", got=",".join(map(str, batch)), expected="one fixed batch for DLA, such as 1,1,1")
    config.default_device_type = device
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def count_fallback(trt: Any, network: Any, config: Any, allowed_share: float) -> DlaUse:
    """Count the layers that can't run on DLA.

    Raises:
        BuildFailedError: more than ``allowed_share`` (0..1) of them; such an engine is mostly a GPU engine.
    """
    constant = member(trt.LayerType, "CONSTANT")
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    counted = [layer for layer in layers if layer.type != constant]
    use = DlaUse(len(counted), tuple(layer.name for layer in counted if not config.can_run_on_DLA(layer)))
    if use.gpu_share > allowed_share:
        first = ", ".join(use.fell_back[:3])
        raise BuildFailedError(
            f"{len(use.fell_back)} of {use.layers} layers can't run on DLA ({first}, ...): a share of "
            f"{use.gpu_share:.2f}, more than the {allowed_share:.2f} allowed; build without --dla, "
            "or allow more with --dla-fallback"
        )
    return use
