"""What a bundle is to do on the device: ``recipe.json``."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from edgeau.runtime.errors import InputError
from edgeau.runtime.files import PathLike, sha256_file, write_json

from .builder import BuildOptions
from .make import MakeOptions

RECIPE, CROPS, REPORT = "recipe.json", "parity.npz", "report.json"
RECIPE_VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """One engine to build.

    Attributes:
        target: board (and JetPack) that the bundle was made for, as ``--target`` takes it.
        package: folder of the package inside the bundle.
        edgeau: version that made the bundle.
        precision, fall_back: where the ladder starts, and whether it goes down.
        batch, workspace_mib, optimization_level, tactic_sources, dla_core, dla_fallback: as in BuildOptions.
        parity: whether the engine is compared with FP32.
        files: SHA-256 by name of the bundle's other files.
    """

    target: str
    package: str
    edgeau: str
    precision: str
    fall_back: bool
    batch: Tuple[int, int, int]
    workspace_mib: Optional[int]
    optimization_level: Optional[int]
    tactic_sources: Optional[Tuple[str, ...]]
    dla_core: Optional[int]
    dla_fallback: float
    parity: bool
    files: Dict[str, str]
    version: int = RECIPE_VERSION

    def options(self, folder: Path) -> MakeOptions:
        """The options for ``make_engine``, with the bundle in this folder."""
        build = BuildOptions(
            batch=self.batch,
            workspace_mib=self.workspace_mib,
            optimization_level=self.optimization_level,
            tactic_sources=self.tactic_sources,
            dla_core=self.dla_core,
            dla_fallback=self.dla_fallback,
        )
        crops = str(folder / CROPS)
        return MakeOptions(self.precision, build, crops, parity=self.parity, fall_back=self.fall_back)


def make_recipe(target: str, package: str, edgeau: str, options: MakeOptions, files: Dict[str, str]) -> Recipe:
    """A recipe that does on the device what these options would do here."""
    build = options.build
    return Recipe(
        target=target,
        package=package,
        edgeau=edgeau,
        precision=options.precision,
        fall_back=options.fall_back,
        batch=build.batch,
        workspace_mib=build.workspace_mib,
        optimization_level=build.optimization_level,
        tactic_sources=build.tactic_sources,
        dla_core=build.dla_core,
        dla_fallback=build.dla_fallback,
        parity=options.parity,
        files=files,
    )


def write_recipe(folder: PathLike, recipe: Recipe) -> None:
    """Write ``recipe.json``."""
    write_json(Path(folder) / RECIPE, dataclasses.asdict(recipe))


def read_recipe(folder: PathLike) -> Recipe:
    """Read a bundle's recipe and compare its files with it. Raises InputError for what is missing or altered."""
    path = Path(folder) / RECIPE
    hint = "copy the bundle again"
    try:
        value: Dict[str, Any] = json.loads(path.read_bytes().decode("utf-8"))
        if value.get("version") != RECIPE_VERSION:
            raise InputError(f"{path}", got=f"version {value.get('version')}", expected=str(RECIPE_VERSION), hint=hint)
        for name in ("batch", "tactic_sources"):
            value[name] = None if value[name] is None else tuple(value[name])
        recipe = Recipe(**value)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} can't be read ({error})", hint=hint) from error
    for name, digest in recipe.files.items():
        file = Path(folder) / name
        if not file.is_file() or sha256_file(file) != digest:
            raise InputError(f"{file} is missing or altered", hint=hint)
    return recipe
