"""Rendered faces as a crop source: ``synthetic:subjects=8,frames=16,seed=1,face=builtin``. Needs no torch."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from edgeau.runtime.action_units import UNION
from edgeau.runtime.crop_set import CropSet, spread
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.train.faces.base import DOMAINS
from edgeau.train.faces.plan.prototypes import RATES
from edgeau.train.faces.plan.sequences import Sample, plan_subject
from edgeau.train.faces.renderers import make_renderer


@dataclass(frozen=True)
class SyntheticOptions:
    """Options of a ``synthetic:`` specification; ``frames`` is the number of images per subject."""

    subjects: int = 8
    frames: int = 16
    seed: int = 0
    face: str = "builtin"
    labels: str = "mix"
    domain: str = "train"


def parse(text: str, seed: int = 0) -> SyntheticOptions:
    """Parse ``subjects=8,frames=16,seed=1,face=builtin,labels=mix,domain=train``; every option may be left out.

    Raises:
        InputError: an unknown option or an invalid value.
    """
    values: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals or key not in SyntheticOptions.__dataclass_fields__:
            expected = "subjects=8,frames=16,seed=1,face=builtin,labels=mix,domain=train"
            raise InputError(f"synthetic:{text}", got=part, expected=expected)
        values[key] = value
    numbers = {name: _number(name, values[name]) for name in ("subjects", "frames", "seed") if name in values}
    return check(
        SyntheticOptions(
            subjects=numbers.get("subjects", 8),
            frames=numbers.get("frames", 16),
            seed=numbers.get("seed", seed),
            face=values.get("face", "builtin"),
            labels=values.get("labels", "mix"),
            domain=values.get("domain", "train"),
        )
    )


def check(options: SyntheticOptions) -> SyntheticOptions:
    """Return the options unchanged. Raises InputError if a value is out of range."""
    if options.subjects < 1 or options.frames < 2 or options.seed < 0:
        got = f"subjects={options.subjects}, frames={options.frames}, seed={options.seed}"
        raise InputError("synthetic faces", got=got, expected="at least 1 subject, 2 frames, and a seed from 0")
    if options.labels not in RATES:
        raise InputError("labels of synthetic faces", got=options.labels, expected=" or ".join(sorted(RATES)))
    if options.domain not in DOMAINS:
        raise InputError("domain of synthetic faces", got=options.domain, expected=" or ".join(DOMAINS))
    return options


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"synthetic faces: {name}", got=repr(text), expected="a whole number") from None


def crops(options: str, crop: CropSpec, *, limit: int | None, seed: int) -> CropSet:
    """Render crops in this process.

    Args:
        options: as for ``parse``.
        crop: the crop rule and size.
        limit: maximum number of crops, spread evenly over all subjects; the rest are not drawn.
        seed: used if the options do not set one.

    Returns:
        A CropSet with each face's neutral image and the intensities of the AUs that BP4D or DISFA codes.

    Raises:
        InputError: invalid options, or a face model that is not available.
    """
    if sys.version_info < (3, 10):  # noqa: UP036 - the runtime, which runs on 3.8, imports this module
        raise InputError(
            f"synthetic:{options}",
            got=f"Python {sys.version_info[0]}.{sys.version_info[1]}",
            expected="3.10 or newer to render faces",
            hint="write them with `edgeau synth` on another machine and pass that folder",
        )
    parsed = parse(options, seed)
    plans = [
        plan_subject(parsed.seed, subject, parsed.frames, parsed.labels, parsed.domain)
        for subject in range(parsed.subjects)
    ]
    chosen = spread(parsed.subjects * parsed.frames, limit)
    renderer = make_renderer(parsed.face)
    faces, neutrals, samples = [], [], []
    try:
        for subject, plan in enumerate(plans):
            rows = [int(row) - subject * parsed.frames for row in chosen if row // parsed.frames == subject]
            drawn = {
                row: renderer.render(plan[row].spec, crop).face for row in {*rows, *(plan[r].neutral for r in rows)}
            }
            faces += [drawn[row] for row in rows]
            neutrals += [drawn[plan[row].neutral] for row in rows]
            samples += [(f"S{subject:05d}", plan[row]) for row in rows]
    finally:
        renderer.close()
    return _crop_set(faces, neutrals, samples, f"synthetic:{options}")


def _crop_set(
    faces: list[np.ndarray], neutrals: list[np.ndarray], samples: list[tuple[str, Sample]], origin: str
) -> CropSet:
    return CropSet(
        faces=np.stack(faces),
        neutrals=np.stack(neutrals),
        aus=UNION,
        intensity=np.stack([sample.au for _, sample in samples]),
        subjects=tuple(subject for subject, _ in samples),
        origin=origin,
    )
