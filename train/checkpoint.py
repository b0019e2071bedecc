"""Checkpoints: a model's weights with everything needed to rebuild, resume and export it.

The file is written by ``torch.save`` and holds only plain values and tensors, so that it can be read with
``weights_only=True`` and can't run code.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from edgeau.runtime.decode import decode
from edgeau.runtime.errors import InputError, PackageError
from edgeau.runtime.files import PathLike, write_bytes
from edgeau.runtime.manifest import CropSpec, NeutralSpec
from edgeau.train.models.tensors_file import read_tensors

from .models import AuModel, build_model

FORMAT, VERSION = "edgeau-checkpoint", 1


@dataclass(frozen=True)
class Checkpoint:
    """A trained model on disk.

    Attributes:
        family, config: arguments of ``build_model``.
        state_dict: the weights to use (the averaged ones if training kept an average).
        crop: the crop rule of its training data.
        neutral: the neutral policy at run time; ``none`` for models that take no neutral.
        thresholds: presence thresholds in 0..1, one per AU (see thresholds.py).
        provenance: data, subjects held out, command, seed, versions, commit, metrics.
        trainer: state needed to resume (optimiser, scheduler, averaged weights, random states, step); None in a
            checkpoint meant for inference only.
    """

    family: str
    config: dict[str, Any]
    state_dict: Mapping[str, Tensor]
    crop: CropSpec
    neutral: NeutralSpec
    thresholds: tuple[float, ...]
    provenance: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] | None = None


def save_checkpoint(path: PathLike, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all.

    Raises:
        TypeError: it holds something other than plain values and tensors, which could not be read back.
        OSError: the file can't be written.
    """
    values = {f.name: getattr(checkpoint, f.name) for f in dataclasses.fields(checkpoint)}
    values |= {"crop": dataclasses.asdict(checkpoint.crop), "neutral": dataclasses.asdict(checkpoint.neutral)}
    values["state_dict"] = {name: tensor.detach().cpu() for name, tensor in checkpoint.state_dict.items()}
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "version": VERSION, **values}, buffer)
    buffer.seek(0)
    try:
        torch.load(buffer, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise TypeError(f"a checkpoint holds plain values and tensors only: {error}") from error
    write_bytes(path, buffer.getvalue())


def load_checkpoint(path: PathLike) -> Checkpoint:
    """Read a checkpoint, all tensors on the CPU.

    Raises:
        InputError: the file is missing, truncated, or not a checkpoint.
    """
    what = f"checkpoint {path}"
    values = read_tensors(path, what, "a file written by `edgeau train`")
    head = [values.pop(name, None) for name in ("format", "version")] if isinstance(values, dict) else []
    if list(map(repr, head)) != [repr(FORMAT), repr(VERSION)]:
        raise InputError(what, got="another format or version", expected=f"{FORMAT} {VERSION}")
    names = {f.name for f in dataclasses.fields(Checkpoint)}
    if set(values) != names:
        raise InputError(what, got=f"fields {sorted(map(str, values))}", expected=str(sorted(names)))
    plain = _without_tensors(what, values)
    values["config"].setdefault("pixels", "scaled")  # the only choice when older checkpoints were written
    values["crop"] = CropSpec(plain.crop.size_px, plain.crop.template)
    values["neutral"], values["thresholds"] = plain.neutral, plain.thresholds
    return Checkpoint(**values)


@dataclass(frozen=True)
class _Plain:
    """The fields of a checkpoint without tensors, for ``decode``."""

    family: str
    config: dict[str, Any]
    crop: CropSpec
    neutral: NeutralSpec
    thresholds: tuple[float, ...]
    provenance: dict[str, Any]
    trainer: dict[str, Any] | None


def _without_tensors(what: str, values: dict[str, Any]) -> _Plain:
    """The other fields. Raises InputError where any field is of another type: the file may be anybody's."""
    weights = values["state_dict"]
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in weights.items()
    ):
        raise InputError(f"{what}: state_dict", got="something else", expected="tensors by name")
    try:
        return decode(_Plain, {name: value for name, value in values.items() if name != "state_dict"}, what)
    except PackageError as error:
        raise InputError(what, got=f"a damaged one ({error})", expected="a file written by `edgeau train`") from error


def model_from_checkpoint(checkpoint: Checkpoint) -> AuModel:
    """The model with its weights, in eval mode on the CPU. Raises InputError if weights and configuration differ."""
    model = build_model(checkpoint.family, checkpoint.config)
    try:
        model.load_state_dict(checkpoint.state_dict)
    except RuntimeError as error:
        raise InputError(
            f"weights of the {checkpoint.family} checkpoint", got="names or shapes that do not match its configuration",
            expected="a checkpoint of this version of edgeau", hint="train again, or use the version that wrote it",
        ) from error  # fmt: skip
    return model.eval()
