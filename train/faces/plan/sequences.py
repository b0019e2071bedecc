"""Plans a subject's images before any is drawn: sessions of neutral images, stills and continuous sequences."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgeau.train.faces.base import FrameSpec
from edgeau.train.faces.plan.prototypes import AUS
from edgeau.train.faces.plan.sampling import Apex, draw_apex, label_of

SESSION_FRAMES = 34  # a session keeps its light, camera and background
IDENTITY_COEFFICIENTS = 64  # a face model with fewer uses the first ones
SEQUENCE_CHANCE = 0.06  # probability of showing an expression from onset to offset; about 40% of frames then are
# Fraction of a subject's frames in which an AU that is present at the apex is present; the others are neutral, onsets
# and offsets. Measured on the plans below and checked by the tests.
APEX_SHARE = 0.76
_NOT_RESTING = {"AU06", "AU09", "AU20", "AU26", "AU43"}


@dataclass(frozen=True)
class Sample:
    """One planned image and its labels.

    Attributes:
        spec: what to draw.
        au: float32 [A], FACS intensity 0..5 of the AUs in UNION, relative to the neutral face; the stronger side.
        expression: index into EXPRESSIONS, -1 if it is none of them.
        sequence, frame: number of the sequence within the subject, and of the frame within the sequence.
        neutral: index of a neutral image of the same session in the subject's plan.
        is_neutral: whether this image is neutral.
    """

    spec: FrameSpec
    au: np.ndarray
    expression: int
    sequence: int
    frame: int
    neutral: int = -1
    is_neutral: bool = False


@dataclass(frozen=True)
class _Subject:
    identity: np.ndarray
    look_seed: int
    resting: dict[str, tuple[float, float]]
    domain: str


def plan_subject(seed: int, subject: int, frames: int, labels: str = "mix", domain: str = "train") -> list[Sample]:
    """Plan everything about one subject's images except the pixels. The same arguments give the same plan.

    Args:
        seed: seed of the whole set.
        subject: the subject's number in the set.
        frames: number of images, at least 2.
        labels: name of the AU base rates, a key of ``prototypes.RATES``.
        domain: ``train`` or ``heldout``.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(subject,)))
    who = _Subject(
        identity=np.clip(rng.normal(size=IDENTITY_COEFFICIENTS), -2.5, 2.5).astype(np.float32),
        look_seed=int(rng.integers(1 << 31)),
        resting=_resting_face(rng),
        domain=domain,
    )
    samples: list[Sample] = []
    sessions = max(1, round(frames / SESSION_FRAMES))
    for part in np.array_split(np.arange(frames), sessions):
        samples += _session(rng, who, len(part), labels, len(samples), samples[-1].sequence + 1 if samples else 0)
    return samples


def _resting_face(rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """AU shapes that this face has at rest. They are not actions: labels ignore them, and neutral images show them."""
    resting = {}
    for au in AUS:
        if au not in _NOT_RESTING and rng.random() < 0.28:
            level = float(rng.uniform(0, 0.6 if au == "AU25" else 1.4))
            resting[au] = (level, level * float(rng.uniform(0.7, 1)))
    return resting


def _session(
    rng: np.random.Generator, who: _Subject, count: int, labels: str, start: int, sequence: int
) -> list[Sample]:
    scene_seed = int(rng.integers(1 << 31))
    yaw, pitch, roll = rng.normal(0, (10, 7, 4))
    base = FrameSpec(
        who.identity, who.look_seed, scene_seed, 0, yaw_deg=yaw, pitch_deg=pitch, roll_deg=roll, domain=who.domain
    )
    neutrals = min(count, max(2, round(count * 0.09)))
    samples = [_sample(rng, who, base, {}, 0, sequence + i, 0, is_neutral=True) for i in range(neutrals)]
    while len(samples) < count:
        sequence = samples[-1].sequence + 1
        left = count - len(samples)
        apex = draw_apex(rng, labels, APEX_SHARE)
        if left >= 8 and rng.random() < SEQUENCE_CHANCE:
            samples += _sequence(rng, who, base, apex, int(rng.integers(8, min(left, 16) + 1)), sequence)
        else:
            samples.append(_sample(rng, who, base, apex.au, apex.expression, sequence, 0))
    chosen = rng.integers(0, neutrals, count)
    other = (np.arange(count) + 1 + rng.integers(0, max(neutrals - 1, 1), count)) % neutrals
    chosen[:neutrals] = other[:neutrals]  # a neutral image is paired with another one, if there is another
    return [replace(sample, neutral=start + int(at)) for sample, at in zip(samples, chosen, strict=True)]


def _sample(
    rng: np.random.Generator,
    who: _Subject,
    base: FrameSpec,
    au: dict[str, tuple[float, float]],
    expression: int,
    sequence: int,
    frame: int,
    is_neutral: bool = False,
) -> Sample:
    sway = 0.6 if is_neutral else 1.0
    moved = replace(
        base,
        frame_seed=int(rng.integers(1 << 31)),
        yaw_deg=float(np.clip(base.yaw_deg + rng.normal(0, 8 * sway), -40, 40)),
        pitch_deg=float(np.clip(base.pitch_deg + rng.normal(0, 5 * sway), -25, 25)),
        roll_deg=float(np.clip(base.roll_deg + rng.normal(0, 4 * sway), -25, 25)),
        gaze_deg=(float(np.clip(rng.normal(0, 8), -25, 25)), float(np.clip(rng.normal(0, 5), -18, 15))),
        blink=float(rng.uniform(0.5, 1)) if not is_neutral and rng.random() < 0.12 else float(rng.uniform(0, 0.12)),
    )
    return _finish(moved, who, au, expression, sequence, frame, is_neutral)


def _finish(
    spec: FrameSpec,
    who: _Subject,
    au: dict[str, tuple[float, float]],
    expression: int,
    sequence: int,
    frame: int,
    is_neutral: bool = False,
) -> Sample:
    """Labels give the action alone; the image adds it to the resting face."""
    shown = {
        name: _on_top(au.get(name, (0.0, 0.0)), who.resting.get(name, (0.0, 0.0)))
        for name in sorted({*au, *who.resting})
    }
    label = label_of(au)
    if expression > 0 and label.max(initial=0) < 1:
        expression = -1 if label.max(initial=0) > 0.5 else 0
    return Sample(replace(spec, au=shown), label, expression, sequence, frame, is_neutral=is_neutral)


def _on_top(action: tuple[float, float], resting: tuple[float, float]) -> tuple[float, float]:
    return min(5.0, action[0] + resting[0]), min(5.0, action[1] + resting[1])


def _sequence(
    rng: np.random.Generator, who: _Subject, base: FrameSpec, apex: Apex, length: int, sequence: int
) -> list[Sample]:
    """Neutral, onset, apex and offset, sampled a few frames apart; each AU starts and ends at its own time."""
    time = np.linspace(0, 1, length)
    envelopes = {au: _envelope(time, *(np.array([0.08, 0.30, 0.72, 0.95]) + rng.normal(0, 0.03, 4))) for au in apex.au}
    if "AU26" in envelopes:
        envelopes["AU26"] = envelopes["AU25"]  # a dropping jaw parts the lips
    drift = np.cumsum(rng.normal(0, (1.2, 0.8, 0.6), (length, 3)), axis=0) + rng.normal(0, (6, 4, 3))
    gaze = rng.normal(0, (7, 4))
    blinks = np.where(rng.random(length) < 0.06, rng.uniform(0.5, 1, length), rng.uniform(0, 0.1))
    samples = []
    for frame in range(length):
        au = {
            name: (float(r * envelopes[name][frame]), float(le * envelopes[name][frame]))
            for name, (r, le) in apex.au.items()
        }
        spec = replace(
            base,
            frame_seed=int(rng.integers(1 << 31)),
            yaw_deg=float(np.clip(base.yaw_deg + drift[frame, 0], -40, 40)),
            pitch_deg=float(np.clip(base.pitch_deg + drift[frame, 1], -25, 25)),
            roll_deg=float(np.clip(base.roll_deg + drift[frame, 2], -25, 25)),
            gaze_deg=(float(gaze[0]), float(gaze[1])),
            blink=float(blinks[frame]),
        )
        samples.append(_finish(spec, who, au, apex.expression, sequence, frame))
    return samples


def _envelope(time: np.ndarray, start: float, peak: float, fall: float, end: float) -> np.ndarray:
    """0 before start, 1 from peak to fall, 0 after end, cosine between."""
    rise = np.clip((time - start) / max(peak - start, 0.05), 0, 1)
    drop = np.clip((end - time) / max(end - fall, 0.05), 0, 1)
    return (0.5 - 0.5 * np.cos(np.pi * np.minimum(rise, 1))) * (0.5 - 0.5 * np.cos(np.pi * drop))
