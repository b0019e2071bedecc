"""Which action units act together, and how often: expressions drawn as on real faces.

The prototypes' shares are fitted so that each unit is present (intensity 2 or more) about as often as a named set of
labels has it. What is left between the fit and the target is made up by single units on top, or by showing some only
weakly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgeau.runtime.action_units import EXPRESSIONS, UNION
from edgeau.train.faces.plan.prototypes import AUS, PROTOTYPES, RATES

PRESENT_FROM = 2.0
UNSMILING = tuple(EXPRESSIONS.index(name) for name in ("sadness", "fear", "disgust", "anger"))
RESERVED = 0.3  # of the faces, so many keep the prototypes' own shares, that none dies out


@dataclass(frozen=True)
class Apex:
    """The peak of an expression: intensity 0..5 of the right and left side by unit, and its class."""

    name: str
    expression: int
    au: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Mixture:
    """How often each of PROTOTYPES is shown (cumulative, ends in 1), and each of AUS added on top or shown weakly."""

    cumulative: tuple[float, ...]
    extra: tuple[float, ...]
    soften: tuple[float, ...]


@lru_cache(maxsize=16)
def mixture(labels: str, apex_share: float = 1.0) -> Mixture:
    """The mixture under which each unit is present at the apex as often as the rates named ``labels`` ask.

    What one face can't do at once (``limit``) makes units rarer than the prototypes say, so the fit is corrected by
    what a fixed sample of faces really shows. About half a second, once in a process.

    Args:
        labels: a name in RATES.
        apex_share: the part of all frames that shows a unit as present when its expression has it at the apex; neutral
            frames and onsets make it less than 1.
    """
    target = np.array([RATES[labels][au] / apex_share for au in AUS])
    aim = np.minimum(target, 0.85)
    found = _fit(aim)
    for _ in range(4):
        shown = _shown(found, np.random.default_rng(0), 800)
        aim = np.clip(aim * (target / np.maximum(shown, 0.01)) ** 0.8, 0.0, 0.95)
        found = _fit(aim)
    return found


def _fit(target: np.ndarray) -> Mixture:
    chance = _chances()
    prior = np.array([kind.share for kind in PROTOTYPES])
    prior /= prior.sum()
    share = prior.copy()
    scale = 0.06 / np.maximum(target, 0.05) ** 1.6
    for _ in range(600):  # exponentiated gradient: shares stay positive and sum to 1
        slope = chance @ (scale * (share @ chance - target)) + 0.04 * np.log(share / prior)
        share *= np.exp(-0.5 * slope)
        share /= share.sum()
    share = (1 - RESERVED) * share + RESERVED * prior
    shown = share @ chance
    extra = np.clip((target - shown) / (1 - shown), 0, 0.85)
    soften = np.clip((shown - target) / np.maximum(shown, 0.01), 0, 0.95)
    return Mixture(tuple(np.cumsum(share).tolist()), tuple(extra.tolist()), tuple(soften.tolist()))


@lru_cache(maxsize=1)
def _chances() -> np.ndarray:
    """How likely each prototype shows each unit at PRESENT_FROM or more: float64 [K, A]."""
    table = np.zeros((len(PROTOTYPES), len(AUS)))
    for row, kind in enumerate(PROTOTYPES):
        for au, (probability, low, high) in kind.core.items():
            table[row, AUS.index(au)] = probability * np.clip((high - PRESENT_FROM) / (high - low), 0, 1)
    return table


def _shown(mix: Mixture, rng: np.random.Generator, count: int) -> np.ndarray:
    drawn = np.stack([label_of(_draw(rng, mix).au, AUS) for _ in range(count)])
    return (drawn >= PRESENT_FROM).mean(axis=0)


def draw_apex(rng: np.random.Generator, labels: str, apex_share: float = 1.0) -> Apex:
    """Draw the peak of an expression, see ``mixture``."""
    return _draw(rng, mixture(labels, apex_share))


def _draw(rng: np.random.Generator, mix: Mixture) -> Apex:
    kind = PROTOTYPES[min(int(np.searchsorted(mix.cumulative, rng.random())), len(PROTOTYPES) - 1)]
    strength = float(rng.beta(2.2, 1.8))
    au = {}
    for name, (probability, low, high) in kind.core.items():
        if rng.random() < probability:
            au[name] = low + (high - low) * (0.55 * strength + 0.45 * float(rng.random()))
    for name, extra, soften in zip(AUS, mix.extra, mix.soften, strict=True):
        if name not in au and rng.random() < extra and not (name == "AU12" and kind.expression in UNSMILING):
            au[name] = float(rng.uniform(PRESENT_FROM, 4.5))
        elif au.get(name, 0.0) >= PRESENT_FROM and rng.random() < soften:
            au[name] = float(rng.uniform(0.5, PRESENT_FROM - 0.1))
    if kind.name == "one small thing" or rng.random() < 0.15:
        au.setdefault(str(rng.choice(AUS)), float(rng.uniform(0.4, 3.0)))
    limited = limit(au, rng)
    return Apex(
        kind.name,
        kind.expression,
        {name: two_sided(name, value, rng) for name, value in limited.items()},
    )


def limit(au: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Keep to what one face can do: muscles that work against each other don't both act."""
    found = dict(au)

    def value(name: str) -> float:
        return found.get(name, 0.0)

    if value("AU26") > 0:
        found["AU25"] = max(value("AU25"), 0.7 * value("AU26"))
    if value("AU25") >= 1:
        if value("AU24") > value("AU25") and value("AU26") < 1:
            found["AU25"] = found["AU26"] = 0.0
        else:
            found["AU24"] = 0.0
            found["AU23"] = min(value("AU23"), 1.5)
    if value("AU26") >= 2:
        found["AU17"] = min(value("AU17"), 1.0)
    if value("AU12") > 1 and value("AU15") > 1 and rng.random() < 0.85:
        weaker = "AU12" if value("AU12") < value("AU15") else "AU15"
        found[weaker] *= 0.25
    if value("AU20") > 1:
        found["AU23"] = min(value("AU23"), 0.8)
        found["AU24"] = min(value("AU24"), 0.8)
    if value("AU43") > 1.5:
        found["AU05"] = 0.0
    if value("AU05") > 1.5:
        found["AU06"], found["AU07"] = min(value("AU06"), 1.5), min(value("AU07"), 2.0)
    return {name: min(intensity, 5.0) for name, intensity in found.items() if intensity > 0.05}


_ONE_SIDED = {"AU02": 0.08, "AU10": 0.08, "AU12": 0.08, "AU14": 0.22, "AU15": 0.05, "AU06": 0.03, "AU20": 0.05}


def two_sided(name: str, intensity: float, rng: np.random.Generator) -> tuple[float, float]:
    """Intensity of the right and left side. The stronger side keeps ``intensity``, which is what labels say."""
    weaker = intensity * (1 - min(abs(float(rng.normal(0, 0.09))), 0.4))
    if rng.random() < _ONE_SIDED.get(name, 0.01):
        weaker = intensity * float(rng.uniform(0, 0.45))
    return (intensity, weaker) if rng.random() < 0.5 else (weaker, intensity)


def label_of(au: dict[str, tuple[float, float]], aus: tuple[str, ...] = UNION) -> np.ndarray:
    """FACS intensity float32 [len(aus)]: the stronger side of each unit, as coders score a one-sided action."""
    return np.array([max(au.get(name, (0.0, 0.0))) for name in aus], np.float32)
