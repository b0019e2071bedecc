"""The steps of the chain as commands: what is timed, at which sizes, and what has to exist first.

Sizes are small, so that the whole takes a few minutes on two cores. What a step costs per unit of work does not depend
on its fixed part (imports are done, but files are read, graphs built, reports written), because synth, train, quantize
and report are timed at two or three sizes. Export, optimize and build are timed whole, once per model.
"""

from __future__ import annotations

from dataclasses import dataclass

MODELS = ("cednn-s", "cednn-m")
FACES = "faces"
# In a command, the name of what it writes.
OUT = "{out}"
OPTIMIZE_LIMIT_S = 15
_FRAMES = 16
_FACES_SUBJECTS = 8
_CPU = ("--device", "cpu", "--workers", "1", "--val", "0", "--test", "0")


@dataclass(frozen=True)
class Point:
    """One command that is timed.

    Attributes:
        step: of the chain.
        words: the command; OUT stands for what it writes.
        needs: files or folders that must exist.
        count, unit: how much work it does: so many images, steps, crops or packages.
        model: preset; "" if the step has none.
        batch: images per training step; 0 elsewhere.
        copies: the package that is copied to OUT beforehand, for commands that write into a package.
    """

    step: str
    words: tuple[str, ...]
    needs: tuple[str, ...] = ()
    count: int = 1
    unit: str = "package"
    model: str = ""
    batch: int = 0
    copies: str = ""

    @property
    def name(self) -> str:
        """In tables: ``train cednn-s, batch 16, 6 steps``."""
        batch = f", batch {self.batch}" if self.batch else ""
        many = f"{self.count} {self.unit}{'' if self.count == 1 else 's'}"
        what = f"{self.model}{batch}, {many}" if self.model else many
        return f"{self.step} {what}"


@dataclass(frozen=True)
class Preparation:
    """A command that makes what later steps need; not timed."""

    step: str
    makes: str
    words: tuple[str, ...]


def package(model: str) -> str:
    """Name of a model's package in the working folder."""
    return f"{model}.edgeau"


def quantized(model: str) -> str:
    """Name of the package that also has INT8 variants."""
    return f"{model}-int8.edgeau"


def preparations(needed: set[str]) -> list[Preparation]:
    """What makes the ``needed`` files, and what these need, in order."""
    commands = [Preparation("synth", FACES, _synth(FACES, _FACES_SUBJECTS))]
    for model in MODELS:
        run = f"run-{model}"
        train = ("train", "--model", model, "--data", FACES, "--out", run, "--steps", "2", "--batch", "16", *_CPU)
        commands.append(Preparation("train", f"{run}/best.pt", train))
        commands.append(Preparation("export", package(model), ("export", f"{run}/best.pt", "-o", package(model))))
        commands.append(Preparation("quantize", quantized(model), _quantize(model, 32, quantized(model))))
    selected: list[Preparation] = []
    for command in reversed(commands):
        if command.makes in needed:
            selected.insert(0, command)
            needed = needed | set(command.words)
    return selected


def points() -> list[Point]:
    """Everything that is timed, in the order of the chain."""
    return [
        *(
            Point("synth", _synth(OUT, subjects), count=subjects * _FRAMES, unit="image")
            for subjects in (2, 4, 8)
        ),
        *(_train(model, batch, steps) for model, batch in _TRAININGS for steps in (2, 8)),
        *(
            Point("export", ("export", f"run-{model}/best.pt", "-o", OUT), (f"run-{model}/best.pt",), model=model)
            for model in MODELS
        ),
        *(
            Point("quantize", _quantize(model, crops, OUT), (package(model), FACES), crops, "crop", model)
            for model in MODELS
            for crops in (32, 128)
        ),
        Point(
            "optimize",
            ("optimize", OUT, "--eval", FACES, "--minutes", str(OPTIMIZE_LIMIT_S / 60)),
            (quantized(MODELS[0]), FACES),
            model=MODELS[0],
            copies=quantized(MODELS[0]),
        ),
        *(
            Point(
                "build",
                ("build", OUT, "--precision", "fp32", "--skip-parity"),
                (package(model),),
                unit="engine",
                model=model,
                copies=package(model),
            )
            for model in MODELS
        ),
        *(_report(count) for count in (1, 2)),
    ]  # fmt: skip


_TRAININGS = ((MODELS[0], 16), (MODELS[0], 32), (MODELS[1], 16))
STEPS = ("synth", "train", "export", "quantize", "optimize", "build", "report")


def _synth(out: str, subjects: int) -> tuple[str, ...]:
    return ("synth", "--out", out, "--subjects", str(subjects), "--frames", str(_FRAMES), "--workers", "1")


def _train(model: str, batch: int, steps: int) -> Point:
    plain = ("train", "--model", model, "--data", FACES, "--out", OUT, "--one-batch", *_CPU)
    words = (*plain, "--steps", str(steps), "--batch", str(batch))
    return Point("train", words, (FACES,), steps, "step", model, batch)


def _quantize(model: str, crops: int, out: str) -> tuple[str, ...]:
    return ("quantize", package(model), "--calib", FACES, "--samples", str(crops), "-o", out)


def _report(count: int) -> Point:
    """Measuring is kept as short as it can be, so that opening the packages and writing the page remain."""
    packages = tuple(package(model) for model in MODELS[:count])
    quick = ("--seconds", "0.02", "--rounds", "2", "--warmup", "0", "--no-memory", "--no-limit", "--no-stages")
    return Point("report", ("bench", *packages, *quick, "--html", OUT), packages, count, "package")
