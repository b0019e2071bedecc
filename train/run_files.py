"""Files in a run's folder: the best weights of each member, and the state from which to resume."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeau.runtime.errors import InputError
from edgeau.runtime.files import write_bytes, write_json
from edgeau.runtime.folders import Contents, FolderKind, claim_folder, obstacle
from edgeau.runtime.manifest import CropSpec, NeutralSpec

from .blend import blend
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .models import AuModel

OPTIONS = "options.json"
_WRITTEN = ("best.pt", "best-*.pt", "last.pt", "fan.pth", "pruned.pt", "history.jsonl", "metrics.json", "tensorboard/*")
_CHECKPOINTS = ("best*.pt", "last.pt", "fan.pth")


def _contents(options: bytes) -> Contents | None:
    value = json.loads(options.decode("utf-8"))
    return Contents((), _WRITTEN) if {"verb", "arguments"} <= set(value) else None


RUN = FolderKind("training run", OPTIONS, _contents)

_RUN_TIME_NEUTRAL = NeutralSpec(policy="running")


def claim_run(out: Path, *, resume: bool) -> None:
    """Create a run's folder. Raises InputError if it holds another run's checkpoints or unrelated files."""
    claim_folder(out, RUN)
    kept = sorted(file.name for pattern in _CHECKPOINTS for file in out.glob(pattern))
    if kept and not resume:
        hint = f"give another --out, or continue with --resume {out}"
        raise InputError(f"run {out}", got=f"a run that contains {kept[0]}", expected="a new folder", hint=hint)


def write_options(out: Path, verb: str, arguments: Mapping[str, Any], command: str) -> None:
    """Write what a run was started with."""
    write_json(out / OPTIONS, {"verb": verb, "arguments": dict(arguments), "command": command})


def started_by(out: Path) -> str | None:
    """The command that started a run; None for a new folder, and for runs that did not note it."""
    try:
        command = json.loads((out / OPTIONS).read_text(encoding="utf-8")).get("command")
    except (OSError, json.JSONDecodeError):
        return None
    return command if isinstance(command, str) else None


def discard_run(out: Path) -> None:
    """Remove a run's folder that holds no checkpoint, and nothing that is not a run's."""
    if any(any(out.glob(pattern)) for pattern in (*_CHECKPOINTS, "pruned.pt")) or obstacle(out, RUN) is not None:
        return
    shutil.rmtree(out, ignore_errors=True)


def best_member(out: Path) -> Path:
    """A run's best checkpoint: of several members the one with the highest mean F1 in validation.

    Where there is none, the path of the only one that a run of one member would have.
    """
    members = sorted(out.glob("best-*.pt"))
    if (out / "best.pt").is_file() or not members:
        return out / "best.pt"
    scores = [(load_checkpoint(file).provenance.get("metrics", {}).get("val") or {}).get("mean_f1") for file in members]
    return max(zip(members, scores, strict=True), key=lambda pair: -1.0 if pair[1] is None else pair[1])[0]


class RunFiles:
    """The checkpoints of a run's folder.

    Args:
        out: the folder.
        models: models by member name.
        crop: the crop rule of the data; each model substitutes its own size.
        source: provenance common to all members.
    """

    def __init__(self, out: Path, models: Mapping[str, AuModel], crop: CropSpec, source: dict[str, Any]) -> None:
        self.out, self.crop, self.source = out, crop, source
        self.names = tuple(models)

    def path(self, name: str) -> Path:
        """The checkpoint of a member's best weights."""
        return self.out / ("best.pt" if len(self.names) == 1 else f"best-{name}.pt")

    def keep(self, name: str, member: nn.Module, step: int) -> None:
        """Write a member's weights as its best."""
        assert isinstance(member, AuModel)
        save_checkpoint(self.path(name), self._checkpoint(member, {**self.source, "step": step}))

    def blend(self, name: str, start: Mapping[str, Tensor], start_share: float) -> None:
        """Replace a member's best weights by their mean with those it started from, once."""
        kept = load_checkpoint(self.path(name))
        if "start_share" not in kept.provenance:
            weights = blend(start, kept.state_dict, start_share)
            provenance = {**kept.provenance, "start_share": start_share}
            save_checkpoint(self.path(name), replace(kept, state_dict=weights, provenance=provenance))

    def complete(self, name: str, notes: Mapping[str, Any], thresholds: tuple[float, ...]) -> None:
        """Write notes, such as metrics, and thresholds into a member's best checkpoint."""
        kept = load_checkpoint(self.path(name))
        provenance = {**kept.provenance, **notes}
        save_checkpoint(self.path(name), replace(kept, provenance=provenance, thresholds=thresholds))

    def _checkpoint(self, model: AuModel, source: dict[str, Any]) -> Checkpoint:
        return Checkpoint(
            family=model.family,
            config=model.config.to_dict(),
            state_dict=model.state_dict(),
            crop=CropSpec(model.config.size_px, self.crop.template),
            neutral=_RUN_TIME_NEUTRAL if model.takes_neutral else NeutralSpec(),
            thresholds=(0.5,) * len(model.config.aus),
            provenance=source,
        )


def write_tensors(path: Path, value: dict[str, Any]) -> None:
    """Write a value with ``torch.save``, atomically. A full disk raises OSError, which torch itself would hide."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write_bytes(path, buffer.getvalue())


def write_state(out: Path, state: dict[str, Any]) -> None:
    """Write the state from which to resume."""
    write_tensors(out / "last.pt", state)


def read_state(out: Path) -> dict[str, Any]:
    """Read what ``write_state`` wrote. Raises InputError if the file is missing or damaged."""
    file = out / "last.pt"
    if not file.is_file():
        raise InputError(f"run {out}", got="no last.pt", expected="a run that was interrupted")
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise InputError(f"{file}", got="a truncated or foreign file", hint="start the run again") from error
    return state
