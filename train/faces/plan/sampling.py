"""Samples expressions: which action units occur together, and how often, as on real faces.

The prototypes' shares are fitted so that each AU is present (intensity 2 or more) about as often as in a named set of
labels. The remaining difference is made up by adding single AUs, or by showing some only weakly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgeau.runtime.action_units import EXPRESSIONS, UNION
from edgeau.train.faces.plan.prototypes import AUS, PROTOTYPES, RATES

PRESENT_FROM = 2.0
UNSMILING = tuple(EXPRESSIONS.index(name) for name in ("sadness", "fear", "disgust", "anger"))
RESERVED = 0.3  # fraction of faces that keep the prototypes' own shares, so that none dies out


@dataclass(frozen=True)
class Apex:
    """The peak of an expression: its class, and intensity 0..5 of the right and left side by AU."""

    name: str
    expression: int
    au: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Mixture:
    """How often to show each of PROTOTYPES (cumulative, ending in 1), and to add or weaken each of AUS."""

    cumulative: tuple[float, ...]
    extra: tuple[float, ...]
    soften: tuple[float, ...]


@lru_cache(maxsize=16)
def mixture(labels: str, apex_share: float = 1.0) -> Mixture:
    """Return the mixture in which each AU is present at the apex as often as the rates named ``labels`` require.

    Combinations that one face can't show (``limit``) make AUs rarer than the prototypes say, so the fit is corrected
    with the rates of a fixed sample of faces. Takes about half a second, once per process.

    Args:
        labels: a name in RATES.
        apex_share: the fraction of frames in which an AU that is present at the apex is present; less than 1 because
            of neutral frames and onsets.
    """
    target = np.array([RATES[labels][au] / apex_share for au in AUS])
    aim = np.minimum(target, 0.85)
    fitted = _fit(aim)
    for _ in range(4):
        shown = _shown(fitted, np.random.default_rng(0), 800)
        aim = np.clip(aim * (target / np.maximum(shown, 0.01)) ** 0.8, 0.0, 0.95)
        fitted = _fit(aim)
    return fitted


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
    """Probability that each prototype shows each AU at PRESENT_FROM or more: float64 [K, A]."""
    table = np.zeros((len(PROTOTYPES), len(AUS)))
    for row, kind in enumerate(PROTOTYPES):
        for au, (probability, low, high) in kind.core.items():
            table[row, AUS.index(au)] = probability * np.clip((high - PRESENT_FROM) / (high - low), 0, 1)
    return table


def _shown(mix: Mixture, rng: np.random.Generator, count: int) -> np.ndarray:
    drawn = np.stack([label_of(_draw(rng, mix).au, AUS) for _ in range(count)])
    return (drawn >= PRESENT_FROM).mean(axis=0)


def draw_apex(rng: np.random.Generator, labels: str, apex_share: float = 1.0) -> Apex:
    """Draw the peak of an expression; see ``mixture`` for the arguments."""
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
    """Limit AUs to what one face can do: antagonistic muscles don't act together."""
    limited = dict(au)

    def value(name: str) -> float:
        return limited.get(name, 0.0)

    if value("AU26") > 0:
        limited["AU25"] = max(value("AU25"), 0.7 * value("AU26"))
    if value("AU25") >= 1:
        if value("AU24") > value("AU25") and value("AU26") < 1:
            limited["AU25"] = limited["AU26"] = 0.0
        else:
            limited["AU24"] = 0.0
            limited["AU23"] = min(value("AU23"), 1.5)
    if value("AU26") >= 2:
        limited["AU17"] = min(value("AU17"), 1.0)
    if value("AU12") > 1 and value("AU15") > 1 and rng.random() < 0.85:
        weaker = "AU12" if value("AU12") < value("AU15") else "AU15"
        limited[weaker] *= 0.25
    if value("AU20") > 1:
        limited["AU23"] = min(value("AU23"), 0.8)
        limited["AU24"] = min(value("AU24"), 0.8)
    if value("AU43") > 1.5:
        limited["AU05"] = 0.0
    if value("AU05") > 1.5:
        limited["AU06"], limited["AU07"] = min(value("AU06"), 1.5), min(value("AU07"), 2.0)
    return {name: min(intensity, 5.0) for name, intensity in limited.items() if intensity > 0.05}


_ONE_SIDED = {"AU02": 0.08, "AU10": 0.08, "AU12": 0.08, "AU14": 0.22, "AU15": 0.05, "AU06": 0.03, "AU20": 0.05}


def two_sided(name: str, intensity: float, rng: np.random.Generator) -> tuple[float, float]:
    """Intensity of the right and left side. The stronger side keeps ``intensity``, which is what the labels give."""
    weaker = intensity * (1 - min(abs(float(rng.normal(0, 0.09))), 0.4))
    if rng.random() < _ONE_SIDED.get(name, 0.01):
        weaker = intensity * float(rng.uniform(0, 0.45))
    return (intensity, weaker) if rng.random() < 0.5 else (weaker, intensity)


def label_of(au: dict[str, tuple[float, float]], aus: tuple[str, ...] = UNION) -> np.ndarray:
    """FACS intensity float32 [len(aus)]: the stronger side of each AU, as coders score a unilateral action."""
    return np.array([max(au.get(name, (0.0, 0.0))) for name in aus], np.float32)
