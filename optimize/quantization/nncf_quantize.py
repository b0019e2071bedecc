"""Post-training quantization by NNCF on its ONNX backend, without output and repeatable."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx

from edgeau.optimize.onnx_graph.graph import name_nodes
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.privacy import send_no_telemetry

from .ranges import refine_ranges
from .scope import float_nodes, has_attention

send_no_telemetry()

# Share of a crop's values that may be outside the range, which is the widest over all crops.
OUTLIERS = 1e-4


def quantize_model(
    model: onnx.ModelProto, samples: list[dict[str, np.ndarray]], *, seed: int = 0, also_float: tuple[str, ...] = ()
) -> onnx.ModelProto:
    """Quantize a float model to INT8 with Q/DQ nodes: weights per channel, activations per tensor.

    Args:
        model: float; not changed.
        samples: the graph's inputs by name, one crop each: uint8 [1, H, W, 3].
        seed: of every random choice.
        also_float: names of additional nodes to leave in float.

    Returns:
        A Q/DQ model with refined ranges, and unsigned activations behind ReLU as NNCF writes them; not finished.

    Raises:
        EdgeauError: NNCF failed; with its message.
    """
    model = prepared(model)
    ignored = [*float_nodes(model), *also_float]
    with _quiet():
        import nncf

        random.seed(seed)
        np.random.seed(seed)
        try:
            quantized = nncf.quantize(
                model,
                nncf.Dataset(samples),
                subset_size=len(samples),
                model_type=nncf.ModelType.TRANSFORMER if has_attention(model) else None,
                ignored_scope=nncf.IgnoredScope(names=ignored, validate=False),
                advanced_parameters=_parameters(),
            )
        except (nncf.ValidationError, nncf.InternalError, nncf.UnsupportedModelError, RuntimeError) as error:
            raise EdgeauError(f"NNCF can't quantize this model: {str(error).strip().splitlines()[0]}") from error
    return refine_ranges(quantized, samples)


def _parameters() -> Any:
    """NNCF's `AdvancedQuantizationParameters`, each different from its default for the reason beside it."""
    from nncf.quantization import advanced_parameters as advanced
    from nncf.quantization import range_estimator

    low, high = (
        range_estimator.StatisticsCollectorParameters(
            range_estimator.StatisticsType.QUANTILE, kind, quantile_outlier_prob=OUTLIERS
        )
        for kind in (range_estimator.AggregatorType.MIN, range_estimator.AggregatorType.MAX)
    )
    return advanced.AdvancedQuantizationParameters(
        # It halves the range of weights for AVX2 without VNNI; TensorRT has no such overflow.
        overflow_fix=advanced.OverflowFix.DISABLE,
        # By default NNCF quantizes inputs of depthwise layers per channel, which TensorRT can't read.
        activations_quantization_params=advanced.QuantizationParameters(per_channel=False),
        # By default the range is the mean of the crops' extremes. Most crops show little expression, so the mean clips
        # what the others show: on the shipped CEDNN 14.5 dB of signal to noise instead of 27. Here the range covers all
        # crops, and `refine_ranges` narrows it where that pays.
        activations_range_estimator_params=range_estimator.RangeEstimatorParameters(min=low, max=high),
        # It shifts each bias by the mean error with unrefined ranges. On held-out faces all trained models are closer
        # to FP32 without it (dB): EAU 35.5 instead of 25.8, SMA-Net 34.9 instead of 30.3, FAN-Trans 37.8 instead of
        # 36.2.
        disable_bias_correction=True,
        # It moves scale from activations to weights in front of a transformer's matrix products. On FAN-Trans it took
        # ten times as long as everything else and changed nothing (18.5 dB with and without).
        smooth_quant_alphas=advanced.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1),
    )


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy for NNCF: all nodes named, shapes inferred, the default operator set first."""
    model = copy.deepcopy(model)
    name_nodes(model)
    sets = sorted(model.opset_import, key=lambda entry: entry.domain not in ("", "ai.onnx"))
    kept = [onnx.helper.make_opsetid(entry.domain, entry.version) for entry in sets]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return onnx.shape_inference.infer_shapes(model)


def nncf_version() -> str:
    """Version of the installed NNCF."""
    from importlib.metadata import version

    return version("nncf")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress NNCF's log and progress bars: standard output is for results."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nncf

        nncf.set_log_level(logging.CRITICAL)
        yield
