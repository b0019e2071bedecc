"""A TensorRT engine in words, from what ``describe_engine`` found."""

from __future__ import annotations

from typing import Any, Dict, List


def engine_lines(found: Dict[str, Any]) -> List[str]:
    """What ``describe_engine`` found, for a person."""
    version = found["tensorrt"] or "unknown (TensorRT 8 writes none into its plans)"
    state = {True: "as it was built", False: "NOT as it was built", None: "unknown, there is no sidecar"}[
        found["intact"]
    ]
    lines = [
        f"engine    {found['file']} ({found['size_bytes'] / 1e6:.2f} MB)",
        f"builder   {found['flavour']} {version}",
        f"file      {state}",
    ]
    if found["sidecar"]:
        lines += _sidecar_lines(found["sidecar"])
    lines.append(f"here      {found['here'] or 'nothing speaks against running it here'}")
    return lines + ([f"wrong     {found['wrong']}"] if found["wrong"] else [])


def _sidecar_lines(known: Dict[str, Any]) -> List[str]:
    where = ", ".join(
        f"{label} {known[key]}"
        for key, label in (
            ("compute_capability", "compute capability"),
            ("cuda", "CUDA"),
            ("driver", "driver"),
            ("l4t", "L4T"),
            ("jetpack", "JetPack"),
        )
        if known[key]
    )
    inputs = ", ".join(f"{name} uint8 [N, {', '.join(map(str, shape))}]" for name, shape in known["inputs"].items())
    lines = [
        f"built on  {known['device'] or 'a machine without a GPU'}{', ' + where if where else ''}, {known['built_at']}",
        f"from      {known['onnx_file']} of {known['package']}, SHA-256 {known['onnx_sha256'][:16]}...",
        f"precision {known['precision']} (asked for {known['asked_precision']})",
        f"inputs    {inputs}, N {known['batch'][0]} to {known['batch'][2]}, tuned for {known['batch'][1]}",
        f"settings  {', '.join(f'{name} {value}' for name, value in known['settings'].items())}",
    ]
    lines += [f"ladder    {line}" for line in known["ladder"]]
    if known["fell_back"]:
        lines.append(
            f"not DLA   {len(known['fell_back'])} of {known['layers']} layers: {', '.join(known['fell_back'])}"
        )
    parity = known["parity"]
    if parity is None:
        return [*lines, "parity    was not measured"]
    ratio = "exact" if parity["sqnr_db"] is None else f"{parity['sqnr_db']:.1f} dB"
    flipped = f"{parity['decisions_flipped']} of {parity['decisions']} decisions flipped"
    return [*lines, f"parity    mean error {parity['mean_abs_error']:.2g}, SQNR {ratio}, {flipped}"]
