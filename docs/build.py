"""The API reference, built from the docstrings with pdoc: ``make docs`` writes it to build/docs.

A module is public if it lists its names in ``__all__``. What would leave a reader without an answer is an error: a
public name without a docstring, a field that its class doesn't describe, and a `name` in backticks that nothing has.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pdoc
import pdoc.doc
import pdoc.render

from edgeau.runtime import __version__

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("runtime", "optimize", "export", "train", "benchmarks")
_REFERENCE = re.compile(r"(?<!`)`([A-Za-z_][\w.]*)`(?!`)")


def main(folder: Path = ROOT / "build" / "docs") -> int:
    warnings.simplefilter("error", SyntaxWarning)
    names = public_modules()
    modules = [importlib.import_module(name) for name in names]
    for module in modules:
        for name in module.__all__:
            getattr(module, name)  # some are imported when they are asked for, which pdoc doesn't do
    problems = [problem for module in modules for problem in check(module)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    templates = Path(__file__).parent / "templates"
    pdoc.render.configure(docformat="google", footer_text=f"edgeau {__version__}", template_directory=templates)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Without their submodules, unless these are public themselves.
        specs = [spec for name in names for spec in (name, rf"!{name}\.")]
        pdoc.pdoc(*specs, output_directory=folder)
    print(f"{len(names)} modules: {folder / 'index.html'}")
    return 0


def public_modules() -> list[str]:
    """Names of the modules that have ``__all__``, found without importing anything."""
    found = []
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            if re.search(r"^__all__ =", path.read_text(encoding="utf-8"), re.MULTILINE):
                parts = path.relative_to(ROOT).with_suffix("").parts
                found.append(".".join(("edgeau", *parts)).replace(".__init__", ""))
    return found


def check(module: object) -> list[str]:
    """What is wrong with the docstrings of a public module, a line each."""
    problems = []
    page = pdoc.doc.Module(module)
    for doc in [page, *described(page)]:
        # pdoc can't see the docstring of a variable that comes from another module; the module's may describe it.
        if not doc.docstring.strip() and not (doc.kind == "variable" and f"`{doc.name}`" in page.docstring):
            problems.append(f"{doc.fullname}: no docstring")
        if isinstance(doc, pdoc.doc.Class):
            problems += [f"{doc.fullname}: field {name} is not described" for name in silent_fields(doc)]
        for reference in _REFERENCE.findall(doc.docstring):
            if not resolves(reference, doc):
                problems.append(f"{doc.fullname}: `{reference}` names nothing")
    return problems


def described(page: pdoc.doc.Module) -> Iterator[pdoc.doc.Doc]:
    """The members of a public module, and the public methods and properties of its classes."""
    for member in page.members.values():
        if member.name.startswith("__"):
            continue
        yield member
        if isinstance(member, pdoc.doc.Class):
            for part in member.members.values():
                if part.name.startswith("_") or not part.taken_from[0].startswith("edgeau"):
                    continue
                if isinstance(part, pdoc.doc.Function) or isinstance(getattr(member.obj, part.name, None), property):
                    yield part


def silent_fields(doc: pdoc.doc.Class) -> list[str]:
    """Annotated public fields that the docstrings of a class and its bases don't mention."""
    bases = [base for base in doc.obj.__mro__ if base.__module__.startswith("edgeau")]
    text = " ".join(inspect.getdoc(base) or "" for base in bases)
    fields = [name for base in bases for name in inspect.get_annotations(base) if not name.startswith("_")]
    documented = {part.name for part in doc.members.values() if part.docstring}
    return [name for name in fields if name not in documented and not re.search(rf"\b{name}\b", text)]


def resolves(reference: str, doc: pdoc.doc.Doc) -> bool:
    """Whether a name in backticks is an argument, a member, a name in the docstring's module, or a module beside it."""
    owner = importlib.import_module(doc.taken_from[0])
    scopes = [
        owner,
        importlib.import_module(doc.modulename),
        getattr(doc, "obj", None),
        getattr(owner, doc.taken_from[1].split(".")[0], None),
    ]
    first, *rest = reference.split(".")
    if isinstance(doc, pdoc.doc.Function) and first in doc.signature.parameters:
        return True
    for scope in scopes:
        value = getattr(scope, first, None)
        for name in rest:
            value = getattr(value, name, None)
        if value is not None:
            return True
    parts = [owner.__name__, owner.__name__.rpartition(".")[0]]
    return any((ROOT / part.partition(".")[2].replace(".", "/") / f"{first}.py").is_file() for part in parts)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
