"""Boards and JetPack releases for which engines are built, with sources.

Sources, by the word used in ``source`` below:
    archive    NVIDIA's JetPack archive and release notes: JetPack, Jetson Linux (L4T), CUDA, TensorRT
    matrix     NVIDIA's TensorRT support matrices: compute capability, precisions, DLA
    modules    NVIDIA's Jetson module data sheets: memory, bandwidth, DLA cores
    seen       versions that users report from boards (NVIDIA/TensorRT issue 4832, ultralytics issue 14068,
               pytorch/TensorRT issue 2700, SnapDragonfly/jetson-fpv's TESTENV.md), where the archive gives only the
               first two numbers
    containers dusty-nv/jetson-containers pull requests 1042, 1179 and 1676, which cite NVIDIA's release pages
    nixos      anduril/jetpack-nixos pull requests 320, 536 and 541, which cite NVIDIA's release notes
    migration  NVIDIA's TensorRT 11.4 migration guide for Jetson

Jetson Linux 35.6.3 and 36.5.1 were published, but no source says which JetPack they belong to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional, Tuple

from .errors import InputError


@dataclass(frozen=True)
class Board:
    """A Jetson board.

    Attributes:
        name: value for ``--target``; ``title`` is NVIDIA's name.
        model: pattern that matches the device tree's model for this board only.
        soc: system on chip, as the device tree names it.
        compute_capability: compute capability of the GPU.
        precisions: fp32, and those in which its GPU is faster.
        dla_cores: number of DLA cores by memory size, in the order of ``memory_gib``.
        memory_gib: sizes sold; shared by CPU and GPU.
        bandwidth_gb_s: memory bandwidth of the fastest module.
        source: where the facts are from.
    """

    name: str
    title: str
    model: str
    soc: str
    compute_capability: str
    precisions: Tuple[str, ...]
    dla_cores: Tuple[int, ...]
    memory_gib: Tuple[int, ...]
    bandwidth_gb_s: float
    source: str


@dataclass(frozen=True)
class JetPack:
    """A JetPack release.

    Attributes:
        release: such as ``6.2``.
        l4t: Jetson Linux releases that belong to it.
        cuda, tensorrt: versions that it installs; TensorRT as far as the sources agree.
        python: version in its Ubuntu, for which its TensorRT module is built.
        socs: chips that it supports.
        source: where the facts are from.
    """

    release: str
    l4t: Tuple[str, ...]
    cuda: str
    tensorrt: str
    python: str
    socs: Tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Target:
    """A board, and the JetPack releases that it may run.

    Attributes:
        board: the board.
        jetpacks: the requested release, or all that run on the board, oldest first.
    """

    board: Board
    jetpacks: Tuple[JetPack, ...]

    @property
    def name(self) -> str:
        """The value for ``--target``."""
        return f"{self.board.name}:{self.jetpacks[0].release}" if len(self.jetpacks) == 1 else self.board.name


_FLOATS_AND_INT8 = ("fp32", "fp16", "int8")

BOARDS = (
    Board("orin-nano", "Jetson Orin Nano", r"Orin Nano", "tegra234", "8.7", _FLOATS_AND_INT8,
          (0, 0), (4, 8), 102.4, "matrix, modules"),
    Board("orin-nx", "Jetson Orin NX", r"Orin NX", "tegra234", "8.7", _FLOATS_AND_INT8,
          (1, 2), (8, 16), 102.4, "matrix, modules"),
    Board("agx-orin", "Jetson AGX Orin", r"AGX Orin", "tegra234", "8.7", _FLOATS_AND_INT8,
          (2, 2), (32, 64), 204.8, "matrix, modules"),
    Board("xavier-nx", "Jetson Xavier NX", r"Xavier NX", "tegra194", "7.2", _FLOATS_AND_INT8,
          (2, 2), (8, 16), 59.7, "matrix, modules"),
    Board("agx-xavier", "Jetson AGX Xavier", r"(AGX Xavier|Jetson-AGX)", "tegra194", "7.2", _FLOATS_AND_INT8,
          (2, 2), (32, 64), 136.5, "matrix, modules"),
    Board("thor", "Jetson AGX Thor", r"Thor", "tegra264", "11.0", (*_FLOATS_AND_INT8, "fp8", "fp4"),
          (0,), (128,), 273.0, "matrix, modules"),
)  # fmt: skip

_XAVIER_AND_ORIN, _ORIN, _THOR = ("tegra194", "tegra234"), ("tegra234",), ("tegra264",)

JETPACKS = (
    JetPack("5.1", ("35.2.1",), "11.4", "8.5.2", "3.8", _XAVIER_AND_ORIN, "archive"),
    JetPack("5.1.1", ("35.3.1",), "11.4", "8.5.2", "3.8", _XAVIER_AND_ORIN, "archive"),
    JetPack("5.1.2", ("35.4.1",), "11.4", "8.5.2", "3.8", _XAVIER_AND_ORIN, "archive, seen"),
    JetPack("5.1.3", ("35.5.0",), "11.4", "8.5.2", "3.8", _XAVIER_AND_ORIN, "archive"),
    JetPack("5.1.4", ("35.6.0",), "11.4", "8.5.2", "3.8", _XAVIER_AND_ORIN, "archive, seen"),
    JetPack("5.1.5", ("35.6.1", "35.6.2"), "11.4", "8.5.2", "3.8", _XAVIER_AND_ORIN, "archive, containers, nixos"),
    JetPack("5.1.6", ("35.6.4",), "11.4", "8.5.2", "3.8", _XAVIER_AND_ORIN, "containers"),
    JetPack("5.1.7", ("35.6.5",), "11.4", "8.5.2", "3.8", _XAVIER_AND_ORIN, "nixos"),
    JetPack("6.0", ("36.3.0",), "12.2", "8.6.2", "3.10", _ORIN, "archive, seen"),
    JetPack("6.1", ("36.4.0",), "12.6", "10.3.0", "3.10", _ORIN, "archive"),
    JetPack("6.2", ("36.4.3",), "12.6", "10.3.0", "3.10", _ORIN, "archive"),
    JetPack("6.2.1", ("36.4.4", "36.4.7"), "12.6", "10.3.0", "3.10", _ORIN, "archive"),
    JetPack("6.2.2", ("36.5.0",), "12.6", "10.3.0", "3.10", _ORIN, "archive"),
    JetPack("6.2.3", ("36.5.2",), "12.6", "10.3.0", "3.10", _ORIN, "nixos"),
    JetPack("7.0", ("38.2.0", "38.2.1", "38.2.2"), "13.0", "10.13", "3.12", _THOR, "archive"),
    JetPack("7.1", ("38.4.0",), "13.0", "10.13", "3.12", _THOR, "archive"),
    JetPack("7.2", ("39.2.0",), "13.2", "10.16.2", "3.12", (*_ORIN, *_THOR), "seen, migration"),
    JetPack("7.2.1", ("39.2.1",), "13.2", "10.16.2", "3.12", (*_ORIN, *_THOR), "seen, migration"),
)

# L4T release -> JetPack. The last two are not in JETPACKS: TensorRT 8.4, and a developer preview.
JETPACK_BY_L4T = {
    **{l4t: jetpack.release for jetpack in JETPACKS for l4t in jetpack.l4t},
    "35.1.0": "5.0.2",
    "36.2.0": "6.0 DP",
}


def parse_target(text: str) -> Target:
    """Read ``orin-nano`` or ``orin-nano:6.2``.

    Raises:
        InputError: no such board, no such JetPack, or a JetPack that the board can't run; the message lists valid ones.
    """
    name, _, release = text.strip().lower().partition(":")
    board = next((board for board in BOARDS if board.name == name), None)
    if board is None:
        raise InputError("target", got=repr(text), expected=", ".join(board.name for board in BOARDS))
    able = tuple(jetpack for jetpack in JETPACKS if board.soc in jetpack.socs)
    chosen = tuple(jetpack for jetpack in able if release in ("", jetpack.release))
    if not chosen:
        raise InputError(
            f"JetPack of {board.name}", got=repr(release), expected=", ".join(jetpack.release for jetpack in able)
        )
    return Target(board, chosen)


def board_of(model: Optional[str]) -> Optional[Board]:
    """The board whose device tree has this model; None if it is not in BOARDS."""
    return next((board for board in BOARDS if re.search(board.model, model or "")), None)


def only_soc_of(l4t: Optional[str]) -> Optional[str]:
    """The chip of a Jetson Linux release that supports only one, as 36 does Orin; else None.

    Releases of one major version support the same chips, so an unlisted release is recognised by its major version.
    """
    major = (l4t or "").split(".")[0]
    socs = {soc for jetpack in JETPACKS for soc in jetpack.socs if major in {r.split(".")[0] for r in jetpack.l4t}}
    return next(iter(socs)) if len(socs) == 1 else None


def slug_of(model: Optional[str]) -> str:
    """Name of a machine for file names: the board's, or the GPU's in lower case, or ``no-gpu``."""
    board = board_of(model)
    if board is not None:
        return board.name
    return re.sub(r"[^a-z0-9]+", "-", (model or "no-gpu").lower()).strip("-")
