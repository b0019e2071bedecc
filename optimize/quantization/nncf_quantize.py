"""Post-training quantization by NNCF on its ONNX backend, quiet and repeatable."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import random
import warnings
from collections.abc import Iterator

import numpy as np
import onnx

from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.privacy import send_no_telemetry

from .ranges import refine_ranges
from .scope import float_nodes, has_attention, name_nodes

send_no_telemetry()

# Share of one crop's values that may lie outside the range; the range then holds for every crop.
OUTLIERS = 1e-4


def quantize_model(
    model: onnx.ModelProto, samples: list[dict[str, np.ndarray]], *, seed: int = 0, also_float: tuple[str, ...] = ()
) -> onnx.ModelProto:
    """Quantize a float model to INT8 with Q/DQ nodes: weights per channel, activations per tensor.

    Args:
        model: float, every arithmetic in the graph; left as it is.
        samples: the graph's inputs by name, one crop each: uint8 [1, H, W, 3].
        seed: of every random choice.
        also_float: names of more nodes to leave in float.

    Returns:
        Unsigned activations behind a ReLU, as NNCF makes them, with ranges refined; not finished for any target.

    Raises:
        EdgeauError: NNCF failed; the text is its own.
    """
    model = prepared(model)
    ignored = [*float_nodes(model), *also_float]
    with _quiet():
        import nncf
        from nncf.quantization.advanced_parameters import (
            AdvancedQuantizationParameters,
            AdvancedSmoothQuantParameters,
            OverflowFix,
            QuantizationParameters,
        )
        from nncf.quantization.range_estimator import (
            AggregatorType,
            RangeEstimatorParameters,
            StatisticsCollectorParameters,
            StatisticsType,
        )

        low, high = (
            StatisticsCollectorParameters(StatisticsType.QUANTILE, kind, quantile_outlier_prob=OUTLIERS)
            for kind in (AggregatorType.MIN, AggregatorType.MAX)
        )

        advanced = AdvancedQuantizationParameters(
            # Overflow fixing halves the weights' range for AVX2 without VNNI; TensorRT has no such overflow.
            overflow_fix=OverflowFix.DISABLE,
            # Left to itself NNCF quantizes a depthwise layer's input per channel, which TensorRT can't read.
            activations_quantization_params=QuantizationParameters(per_channel=False),
            # By default the range is the mean of each crop's extremes. Most crops show little expression, so that mean
            # cuts off what the others show: on the shipped CEDNN 14.5 dB of signal to noise instead of 27. Here it
            # holds every crop's, and `refine_ranges` narrows it where that pays.
            activations_range_estimator_params=RangeEstimatorParameters(min=low, max=high),
            # It shifts each bias by the mean error of the unrefined ranges. On held-out faces every trained model is
            # nearer to FP32 without (dB): EAU 35.5 for 25.8, SMA-Net 34.9 for 30.3, FAN-Trans 37.8 for 36.2.
            disable_bias_correction=True,
            # Moving scale from activations to weights in front of a transformer's products: on FAN-Trans it took ten
            # times as long as all the rest and changed nothing (18.5 dB with and without).
            smooth_quant_alphas=AdvancedSmoothQuantParameters(convolution=-1, matmul=-1),
        )
        random.seed(seed)
        np.random.seed(seed)
        try:
            quantized = nncf.quantize(
                model,
                nncf.Dataset(samples),
                subset_size=len(samples),
                model_type=nncf.ModelType.TRANSFORMER if has_attention(model) else None,
                ignored_scope=nncf.IgnoredScope(names=ignored, validate=False),
                advanced_parameters=advanced,
            )
        except (nncf.ValidationError, nncf.InternalError, nncf.UnsupportedModelError, RuntimeError) as error:
            raise EdgeauError(f"NNCF can't quantize this model: {str(error).strip().splitlines()[0]}") from error
    return refine_ranges(quantized, samples)


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that NNCF can address: every node named, shapes inferred, the default operator set first."""
    model = copy.deepcopy(model)
    name_nodes(model)
    sets = sorted(model.opset_import, key=lambda entry: entry.domain not in ("", "ai.onnx"))
    kept = [onnx.helper.make_opsetid(entry.domain, entry.version) for entry in sets]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return onnx.shape_inference.infer_shapes(model)


def nncf_version() -> str:
    """Version of NNCF that is installed."""
    from importlib.metadata import version

    return version("nncf")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep NNCF's log and its progress bars off the terminal: standard output belongs to the result."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nncf

        nncf.set_log_level(logging.CRITICAL)
        yield
