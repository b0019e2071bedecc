"""A deployment bundle: one self-extracting file that builds, verifies and measures an engine on a device.

    requires  a package with ONNX variants; here, a backend to compute the FP32 reference with
    does      packs the variants that the ladder may need, crops with reference outputs, recipe, wheel and install.sh
    ensures   one file that needs no network, says what it will do before it does it, and refuses to run when damaged

Engines are built on their device because they run on no other: TensorRT times its kernels there.
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
from typing import Dict, List, Optional, Tuple

from edgeau.runtime.errors import InputError
from edgeau.runtime.files import PathLike, atomic_path, sha256_file
from edgeau.runtime.manifest import Manifest, Variant
from edgeau.runtime.package import Package
from edgeau.runtime.parity_crops import gather, write_evidence
from edgeau.runtime.version import __version__

from .ladder import LADDER
from .make import ENGINES, MakeOptions
from .recipe import CROPS, make_recipe, write_recipe
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
        name = package.path.name
        trimmed = _trimmed(package, options.precision)
        _copy_package(package, trimmed, folder / name)
        samples = _write_crops(package, options, folder / CROPS)
        made = check_wheel(wheel) if wheel is not None else write_wheel(folder)
        if wheel is not None:
            shutil.copyfile(made, folder / made.name)
        files = {file: sha256_file(folder / file) for file in (CROPS, made.name)}
        recipe = make_recipe(target, name, __version__, options, files)
        write_recipe(folder, recipe)
        script = _install_script(target, name, options, made.name, samples)
        (folder / "install.sh").write_text(script, encoding="utf-8")
        contents = _write(folder, Path(out))
    return Bundle(Path(out), Path(out).stat().st_size, target, contents, samples)


def bundle_name(package: Package, target: str) -> str:
    """Default file name of a bundle, such as ``cednn-orin-nano-6.2.sh``."""
    return f"{package.path.name.split('.')[0]}-{target.replace(':', '-')}.sh"


def _trimmed(package: Package, precision: str) -> Manifest:
    """The manifest with the ONNX variants that the ladder may need, and FP32, which parity needs."""
    wanted = {*LADDER[LADDER.index(precision) :], "fp32"} | ({"int8"} if precision == "mixed" else set())

    def travels(variant: Variant) -> bool:
        quantized = variant.precision in ("int8", "mixed")
        fits = variant.precision in wanted and variant.file.endswith(".onnx")
        return fits and (not quantized or "tensorrt" in variant.backends)

    variants = tuple(variant for variant in package.manifest.variants if travels(variant))
    found = {variant.precision for variant in variants}
    if "fp32" not in found:
        raise InputError(f"package {package.path}", got="no fp32 ONNX", expected="one", hint="export it again")
    if precision == "int8" and "int8" not in found:
        hint = f"type: edgeau quantize {package.path} --calib DATA --targets tensorrt"
        raise InputError(f"package {package.path}", got="no int8 ONNX finished for TensorRT", hint=hint)
    return dataclasses.replace(package.manifest, variants=variants, selection={})


def _copy_package(package: Package, manifest: Manifest, target: Path) -> None:
    def files(folder: Path) -> Manifest:
        for variant in manifest.variants:
            (folder / variant.file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(package.file(variant), folder / variant.file)
        # Timings of an earlier build on the same device make the next one short; other devices take no notice.
        for cache in sorted((package.path / ENGINES).glob("*.timing")):
            (folder / ENGINES).mkdir(exist_ok=True)
            shutil.copyfile(cache, folder / ENGINES / cache.name)
        return manifest

    Package.create(target, manifest, files)


def _write_crops(package: Package, options: MakeOptions, path: Path) -> int:
    """Crops and what FP32 says of them, so that the device needs no other backend to compare with."""
    fp32 = package.manifest.fp32_onnx
    assert fp32 is not None, "_trimmed has refused such a package"
    evidence = gather(package, fp32, options.crops)
    write_evidence(path, evidence)
    return len(evidence.reference)


def _install_script(target: str, package: str, options: MakeOptions, wheel: str, samples: int) -> str:
    lower = LADDER[LADDER.index(options.precision) + 1 :]
    falls = f"; if that fails {', then '.join(lower)}" if options.fall_back and lower else ""
    parity = f"compare it with FP32 on {samples} crops, and keep it only if it says the same"
    words = {
        "EDGEAU": __version__,
        "PACKAGE": package,
        "TARGET": "any machine with TensorRT" if target == ANY else target,
        "PRECISION": options.precision,
        "BATCH": ",".join(map(str, options.build.batch)),
        "LADDER": falls,
        "PARITY": parity if options.parity else "keep it without comparing it with FP32, as was asked",
        "MEASURE": "measure its latency, and " if options.parity else "",
        "WHEEL": wheel,
    }
    return _filled("install.sh", words)


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
    words = {"NAME": shlex.quote(out.stem), "SHA256": hashlib.sha256(payload).hexdigest()}
    lines = str(len((_HERE / "stub.sh").read_text(encoding="utf-8").splitlines()) + 1)
    stub = _filled("stub.sh", {**words, "LINES": lines})
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


def _filled(template: str, words: Dict[str, str]) -> str:
    text = (_HERE / template).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
