"""What a bundle does on the device: ``recipe.json``.

A recipe is read by the edgeau that wrote it, because a bundle carries its own: another version's is refused.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Dict

from edgeau.runtime.decode import decode, parse_json
from edgeau.runtime.errors import InputError, PackageError
from edgeau.runtime.files import PathLike, sha256_file, write_json

from .job import MakeOptions

RECIPE, CROPS = "recipe.json", "parity.npz"
RECIPE_VERSION = 2


@dataclass(frozen=True)
class Recipe:
    """One engine to build.

    Attributes:
        target: board (and JetPack) that the bundle was made for, as ``--target`` takes it.
        package: folder of the package inside the bundle.
        edgeau: version that made the bundle.
        options: for ``make_engine``; its crops are the bundle's.
        files: SHA-256 by name of the bundle's other files.
    """

    target: str
    package: str
    edgeau: str
    options: MakeOptions
    files: Dict[str, str]
    version: int = RECIPE_VERSION

    def options_in(self, folder: Path) -> MakeOptions:
        """The options for ``make_engine``, with the bundle in this folder."""
        return dataclasses.replace(self.options, crops=str(folder / CROPS))


def write_recipe(folder: PathLike, recipe: Recipe) -> None:
    """Write ``recipe.json``. Where the crops came from stays on this machine."""
    anonymous = dataclasses.replace(recipe, options=dataclasses.replace(recipe.options, crops=None))
    write_json(Path(folder) / RECIPE, dataclasses.asdict(anonymous))


def read_recipe(folder: PathLike) -> Recipe:
    """Read a bundle's recipe and compare its files with it.

    Raises:
        InputError: the recipe is of another version, or a file is missing or altered.
    """
    path = Path(folder) / RECIPE
    hint = "copy the bundle again"
    try:
        value = parse_json(path.read_bytes(), str(path))
        version = value.get("version") if isinstance(value, dict) else None
        if version != RECIPE_VERSION:
            other = "make the bundle again with the edgeau that installs it"
            raise InputError(str(path), got=f"version {version!r}", expected=str(RECIPE_VERSION), hint=other)
        recipe = decode(Recipe, value, str(path))
    except (OSError, PackageError) as error:
        raise InputError(f"{path} can't be read ({error})", hint=hint) from error
    for name, digest in recipe.files.items():
        file = Path(folder) / Path(name).name
        if not file.is_file() or sha256_file(file) != digest:
            raise InputError(f"{file} is missing or altered", hint=hint)
    return recipe
