"""A readable description of a TensorRT engine."""

from __future__ import annotations

from typing import List, Optional

from .engine_check import EngineFacts
from .engine_file import EngineSidecar
from .manifest import Parity

_STATES = {True: "as it was built", False: "NOT as it was built", None: "unknown, there is no sidecar"}


def engine_lines(facts: EngineFacts) -> List[str]:
    """The result of ``describe_engine``, one fact per line."""
    version = facts.tensorrt or "unknown (TensorRT 8 writes none into its plans)"
    lines = [
        f"engine    {facts.file} ({facts.size_bytes / 1e6:.2f} MB)",
        f"builder   {facts.flavour} {version}",
        f"file      {_STATES[facts.intact]}",
    ]
    if facts.sidecar is not None:
        lines += _sidecar_lines(facts.sidecar)
    lines.append(f"here      {facts.here or 'nothing is known against running it here'}")
    return lines + ([f"wrong     {facts.wrong}"] if facts.wrong else [])


def _sidecar_lines(sidecar: EngineSidecar) -> List[str]:
    inputs = ", ".join(f"{name} uint8 [N, {', '.join(map(str, shape))}]" for name, shape in sidecar.inputs.items())
    smallest, preferred, largest = sidecar.batch
    lines = [
        f"built on  {', '.join([sidecar.device or 'a machine without a GPU', *_versions(sidecar), sidecar.built_at])}",
        f"from      {sidecar.onnx_file} of {sidecar.package}, SHA-256 {sidecar.onnx_sha256[:16]}...",
        f"precision {sidecar.precision} (asked for {sidecar.asked_precision})",
        f"inputs    {inputs}, N {smallest} to {largest}, tuned for {preferred}",
        f"settings  {', '.join(f'{name} {value}' for name, value in sidecar.settings.items())}",
    ]
    lines += [f"ladder    {line}" for line in sidecar.ladder]
    if sidecar.fell_back:
        names = ", ".join(sidecar.fell_back)
        lines.append(f"not DLA   {len(sidecar.fell_back)} of {sidecar.layers} layers: {names}")
    return [*lines, f"parity    {_parity(sidecar.parity)}"]


def _versions(sidecar: EngineSidecar) -> List[str]:
    """The known versions of the machine that built it."""
    versions = {
        "compute capability": sidecar.compute_capability,
        "CUDA": sidecar.cuda,
        "driver": sidecar.driver,
        "L4T": sidecar.l4t,
        "JetPack": sidecar.jetpack,
    }
    return [f"{label} {version}" for label, version in versions.items() if version]


def _parity(parity: Optional[Parity]) -> str:
    if parity is None:
        return "was not measured"
    ratio = "exact" if parity.sqnr_db is None else f"{parity.sqnr_db:.1f} dB"
    flipped = f"{parity.decisions_flipped} of {parity.decisions} decisions flipped"
    return f"mean error {parity.mean_abs_error:.2g}, SQNR {ratio}, {flipped}"
