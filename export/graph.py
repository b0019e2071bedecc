"""A model as an ONNX graph that contains all of its arithmetic: uint8 crops in, probabilities out.

The model itself stays clean: everything that export adds is in the wrapper below. Inputs and outputs are the package's
contract: ``face`` (and ``neutral``) uint8 [N, H, W, 3], RGB; ``au`` float32 [N, A] and, for models with these heads,
``expression`` float32 [N, E] and ``intensity`` float32 [N, A].
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

import onnx
import torch
from torch import Tensor, nn

from edgeau.runtime.errors import EdgeauError, InputError
from edgeau.train.models import AuModel
from edgeau.train.models.intensity import expected_intensity

from .tidy import tidy

OPSETS = (17, 18, 19, 20)
# The first ONNX format that has the operator set; older parsers, such as JetPack 5's, refuse newer formats.
_IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9}


class Probabilities(nn.Module):
    """A model followed by the activations that turn its logits into probabilities."""

    def __init__(self, model: AuModel) -> None:
        super().__init__()
        self.model = model
        self.au = nn.Sigmoid()
        self.expression = nn.Softmax(dim=1)

    def forward(self, face: Tensor, neutral: Tensor | None = None) -> tuple[Tensor, ...]:
        """Map crops uint8 [N, H, W, 3] to the outputs that `output_names` names."""
        output = self.model(face, neutral)
        outputs = [self.au(output.au_logits)]
        if output.expression_logits is not None:
            outputs.append(self.expression(output.expression_logits))
        if self.model.intensity is not None:
            outputs.append(expected_intensity(self.model.intensity(output.au_logits)))
        return tuple(outputs)


def input_names(model: AuModel) -> tuple[str, ...]:
    """``face``, and ``neutral`` for models that take one."""
    return ("face", "neutral") if model.takes_neutral else ("face",)


def output_names(model: AuModel) -> tuple[str, ...]:
    """``au``, then ``expression`` and ``intensity`` for models with these heads."""
    heads = (("expression", bool(model.config.expressions)), ("intensity", model.config.intensity))
    return ("au", *(name for name, has in heads if has))


def to_onnx(model: AuModel, opset: int = 18) -> onnx.ModelProto:
    """Turn a model in eval mode into a checked ONNX graph with a dynamic batch.

    Raises:
        InputError: the operator set is not supported.
        EdgeauError: the exporter or the checker refused the model.
    """
    if opset not in OPSETS:
        raise InputError("opset", got=str(opset), expected=f"one of {', '.join(map(str, OPSETS))}")
    side = model.config.size_px
    names = input_names(model)
    # A tensor of its own for each input: the exporter merges inputs that are given the same tensor.
    examples = tuple(torch.zeros((2, side, side, 3), dtype=torch.uint8) for _ in names)
    batch = torch.export.Dim("N", min=1)
    with _quiet():
        try:
            program = torch.onnx.export(
                Probabilities(model).eval(),
                examples,
                dynamo=True,
                opset_version=opset,
                input_names=list(names),
                output_names=list(output_names(model)),
                dynamic_shapes=tuple({0: batch} for _ in names),
                external_data=False,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise EdgeauError(f"torch can't export this {model.family}: {str(error).splitlines()[0]}") from error
    if program is None:
        raise EdgeauError(f"torch returned no graph for this {model.family}")
    graph = tidy(program.model)
    graph.ir_version = _IR_VERSIONS[opset]
    _check(graph, opset)
    return graph


def _check(graph: onnx.ModelProto, opset: int) -> None:
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise EdgeauError(f"the exported graph is not valid ONNX: {str(error).splitlines()[0]}") from error
    got = {item.domain: item.version for item in graph.opset_import}
    if got != {"": opset}:
        raise EdgeauError(f"the exported graph has operator sets {got} instead of {opset}; try --opset 18")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's advice about libraries that are not used here."""
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in ("torch.onnx", "onnxscript")}
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
