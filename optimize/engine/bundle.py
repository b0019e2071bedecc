"""A deployment bundle: one self-extracting file that builds, verifies and measures an engine on a device.

    requires  a package with ONNX variants; here, a backend to compute the FP32 reference with
    does      packs the variants that the ladder may need, crops with reference outputs, recipe, wheel and install.sh
    ensures   one file that needs no network, says what it will do before it does it, and refuses to run when damaged

Engines are built on their device because they run on no other: TensorRT times its kernels there.

Scripts are the same for every package: what a package, a manifest or a user names goes into files that are only read
(``plan.txt``, ``recipe.json``), never into a script's text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import shlex
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import List, Optional, Tuple

from edgeau.runtime.choose import DETECTOR_ENGINES
from edgeau.runtime.errors import InputError
from edgeau.runtime.files import PathLike, atomic_path, sha256_file, write_text
from edgeau.runtime.manifest import Manifest, Variant
from edgeau.runtime.package import Package
from edgeau.runtime.parity_crops import gather, write_evidence
from edgeau.runtime.terminal import printable
from edgeau.runtime.version import __version__

from .job import ENGINES, MakeOptions
from .ladder import LADDER
from .names import slug
from .recipe import CROPS, Recipe, write_recipe
from .verify import fp32_variant
from .wheel import check_wheel, write_wheel

_HERE = Path(__file__).parent
ANY = "any"


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle that was written.

    Attributes:
        path: the file; ``size_bytes`` its size.
        target: what it was made for.
        contents: names of the files in it.
        samples: crops for parity.
    """

    path: Path
    size_bytes: int
    target: str
    contents: Tuple[str, ...]
    samples: int


def make_bundle(
    package: Package, target: str, options: MakeOptions, out: PathLike, *, wheel: Optional[PathLike] = None
) -> Bundle:
    """Write a bundle, whole or not at all.

    Args:
        package: with the ONNX variants that the ladder from ``options.precision`` may need.
        target: ``--target``'s text, or ``any``.
        options: what to build there; ``crops`` are read here and travel along.
        out: the file to write, a shell script with the archive behind it.
        wheel: edgeau's wheel; by default one is made of the edgeau that is running.

    Raises:
        InputError, PackageError: the package lacks what is needed, crops or wheel can't be used.
    """
    with tempfile.TemporaryDirectory(prefix="edgeau-bundle-") as work:
        folder = Path(work)
        name = f"{package_slug(package)}.edgeau"
        trimmed = _trimmed(package, options.precision)
        _copy_package(package, trimmed, folder / name)
        samples = _write_crops(package, options, folder / CROPS)
        made = check_wheel(wheel) if wheel is not None else write_wheel(folder)
        if wheel is not None:
            shutil.copyfile(made, folder / made.name)
        files = {file: sha256_file(folder / file) for file in (CROPS, made.name)}
        write_recipe(folder, Recipe(target, name, __version__, options, files))
        write_text(folder / "plan.txt", _plan(target, package, options, samples))
        shutil.copyfile(_HERE / "install.sh", folder / "install.sh")
        contents = _write(folder, Path(out))
    return Bundle(Path(out), Path(out).stat().st_size, target, contents, samples)


def bundle_name(package: Package, target: str) -> str:
    """Default file name of a bundle, such as ``cednn-orin-nano-6.2.sh``."""
    return f"{package_slug(package)}-{target.replace(':', '-')}.sh"


def package_slug(package: Package) -> str:
    """A package's folder name without its suffix, as a slug: ``cednn`` for ``cednn.edgeau``, also for ``.`` in it."""
    return slug(package.path.resolve().name.split(".")[0])


def _trimmed(package: Package, precision: str) -> Manifest:
    """The manifest with the ONNX variants that the ladder may need, and FP32, which parity needs."""
    precisions = {*LADDER[LADDER.index(precision) :], "fp32"} | ({"int8"} if precision == "mixed" else set())

    def travels(variant: Variant) -> bool:
        quantized = variant.precision in ("int8", "mixed")
        fits = variant.precision in precisions and variant.file.endswith(".onnx")
        return fits and (not quantized or "tensorrt" in variant.backends)

    variants = tuple(variant for variant in package.manifest.variants if travels(variant))
    fp32_variant(package)
    if precision == "int8" and all(variant.precision != "int8" for variant in variants):
        hint = f"type: edgeau quantize {shlex.quote(str(package.path))} --calib DATA --targets tensorrt"
        raise InputError(f"package {package.path}", got="no int8 ONNX finished for TensorRT", hint=hint)
    return dataclasses.replace(package.manifest, variants=variants, selection={})


def _copy_package(package: Package, manifest: Manifest, target: Path) -> None:
    def files(folder: Path) -> Manifest:
        for variant in manifest.variants:
            (folder / variant.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / variant.file).write_bytes(package.read(variant).data)
        for file in package.files_beside(f"{DETECTOR_ENGINES}/*"):
            if ".engine" not in file.name:  # those of other machines
                (folder / DETECTOR_ENGINES).mkdir(exist_ok=True)
                shutil.copyfile(file, folder / DETECTOR_ENGINES / file.name)
        # Timings of an earlier build on the same device make the next one short; other devices ignore them.
        for cache in package.files_beside(f"{ENGINES}/*.timing"):
            (folder / ENGINES).mkdir(exist_ok=True)
            shutil.copyfile(cache, folder / ENGINES / cache.name)
        return manifest

    Package.create(target, manifest, files)


def _write_crops(package: Package, options: MakeOptions, path: Path) -> int:
    """Crops and what FP32 says of them, so that the device needs no other backend to compare with."""
    evidence = gather(package, fp32_variant(package), options.crops)
    write_evidence(path, evidence)
    return len(evidence.reference)


def _plan(target: str, package: Package, options: MakeOptions, samples: int) -> str:
    """What the bundle will do, for the person who is asked whether to go on."""
    lower = LADDER[LADDER.index(options.precision) + 1 :]
    falls = f"; if that fails {', then '.join(lower)}" if options.fall_back and lower else ""
    batch = ",".join(map(str, options.builder.batch))
    parity = f"compare it with FP32 on {samples} crops, and keep it only if it says the same"
    steps = (
        "unpack edgeau's wheel into lib/ (no pip, no network)",
        f"build an engine with this machine's TensorRT: {options.precision}, batch {batch}{falls}",
        parity if options.parity else "keep it without comparing it with FP32, as was asked",
        f"{'measure its latency, and ' if options.parity else ''}write engine, sidecar and report.json",
    )
    board = "any machine with TensorRT" if target == ANY else target
    lines = [
        printable(f"edgeau {__version__}: {package.manifest.name} for {board}"),
        "",
        "This will:",
        *(f"  {number}. {step}" for number, step in enumerate(steps, 1)),
        "It needs python3 (3.8 or later) with numpy and tensorrt, which come with JetPack. A build takes minutes.",
        "",
    ]
    return "\n".join(lines)


def _write(folder: Path, out: Path) -> Tuple[str, ...]:
    contents: List[str] = []
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = str(path.relative_to(folder))
                archive.add(path, name, filter=_plain)
                contents.append(name)
    payload = buffer.getvalue()
    stub = (_HERE / "stub.sh").read_text(encoding="utf-8")
    # Two numbers of our own are all that is filled in.
    stub = stub.replace("@LINES@", str(len(stub.splitlines()) + 1))
    stub = stub.replace("@SHA256@", hashlib.sha256(payload).hexdigest())
    with atomic_path(out) as temporary:
        temporary.write_bytes(stub.encode("utf-8") + payload)
    out.chmod(out.stat().st_mode | 0o111)
    return tuple(contents)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Files belong to whoever unpacks them."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.name.endswith(".sh") else 0o644
    return entry
