"""Which action units act together, and how often: expressions drawn as on real faces.

An expression comes from one of the prototypes below: emotions after the FACS Investigator's Guide (Ekman, Friesen and
Hager, 2002, table of prototypes), talking, and *confusable* faces that models of single units mistake for another. The
prototypes' shares are fitted so that each unit is present (intensity 2 or more) about as often as a named set of labels
has it. What is left between the fit and the target is made up by single units on top, or by showing some only weakly.

``Rates`` for BP4D and DISFA are the occurrence of the public label lists (146,847 and 130,814 frames); units that a data
set does not code have a rate of our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgeau.runtime.action_units import EXPRESSIONS, UNION

AUS: tuple[str, ...] = tuple(sorted({*UNION, "AU05", "AU20"}))
PRESENT_FROM = 2.0
RESERVED = 0.25  # of the faces, so many keep the prototypes' own shares, that none dies out

_BP4D = {"AU01": 0.211, "AU02": 0.171, "AU04": 0.203, "AU06": 0.461, "AU07": 0.549, "AU10": 0.594, "AU12": 0.562,
         "AU14": 0.466, "AU15": 0.169, "AU17": 0.343, "AU23": 0.165, "AU24": 0.151}  # fmt: skip
_DISFA = {"AU01": 0.050, "AU02": 0.043, "AU04": 0.152, "AU06": 0.079, "AU09": 0.042, "AU12": 0.129, "AU25": 0.277, "AU26": 0.088}
# Ours: DISFA's rates of what BP4D lacks, raised as BP4D's are over DISFA's where both code a unit, but kept plausible.
_UNION = {**_BP4D, "AU05": 0.05, "AU09": 0.10, "AU20": 0.05, "AU25": 0.42, "AU26": 0.18}
_CALM = {"AU05": 0.02, "AU07": 0.08, "AU10": 0.05, "AU14": 0.05, "AU15": 0.04, "AU17": 0.06, "AU20": 0.03, "AU23": 0.03, "AU24": 0.03}

RATES: dict[str, dict[str, float]] = {
    "bp4d": {**_BP4D, "AU05": 0.04, "AU09": 0.05, "AU20": 0.04, "AU25": 0.32, "AU26": 0.12},
    "disfa": {**_CALM, **_DISFA},
    "union": _UNION,
    "balanced": {**dict.fromkeys(UNION, 0.24), "AU05": 0.08, "AU20": 0.08},
    # For training: BP4D's order, pulled together, so that each unit has examples both ways and faces stay plausible.
    "mix": {au: float(np.clip(0.6 * rate + 0.05, 0.13 if au in UNION else 0.06, 0.33)) for au, rate in _UNION.items()},
}


@dataclass(frozen=True)
class Prototype:
    """A kind of expression.

    Attributes:
        name: in English.
        expression: index into EXPRESSIONS, -1 for none of them.
        core: units that make it: (probability, lowest, highest intensity) at the apex.
        share: what it weighs before fitting.
    """

    name: str
    expression: int
    core: dict[str, tuple[float, float, float]]
    share: float = 1.0


def _kind(name: str, of: str | None, share: float, /, **units: tuple[float, float, float]) -> Prototype:
    core = {f"AU{int(key[2:]):02d}": value for key, value in units.items()}
    return Prototype(name, EXPRESSIONS.index(of) if of else -1, core, share)


_ALWAYS_STRONG, _ALWAYS, _LIGHT = (1.0, 2.2, 5.0), (1.0, 1.5, 4.5), (1.0, 0.5, 2.6)
PROTOTYPES: tuple[Prototype, ...] = (
    _kind("smile", "happiness", 1.6, au6=(0.75, 1.0, 4), au12=_ALWAYS, au7=(0.4, 0.8, 3.5), au14=(0.3, 1, 3.5), au10=(0.35, 1, 3.5)),
    _kind("broad smile", "happiness", 1.6, au6=(1, 2, 5), au12=(1, 2.8, 5), au25=(1, 2, 5), au26=(0.35, 1, 3.5), au7=(0.6, 1.5, 4), au10=(0.6, 1.5, 4)),
    _kind("amused", "happiness", 2.0, au6=(0.9, 1.5, 4.5), au7=(0.85, 1.5, 4.5), au10=(0.9, 1.5, 4.5), au12=(1, 2, 5), au14=(0.7, 1.5, 4.5), au25=(0.4, 1, 4)),
    _kind("sadness", "sadness", 1.0, au1=_ALWAYS, au4=_ALWAYS, au15=(1, 1.2, 4.5), au17=(0.65, 1, 4.5), au6=(0.2, 1, 3)),
    _kind("surprise", "surprise", 0.8, au1=_ALWAYS_STRONG, au2=_ALWAYS_STRONG, au5=(0.8, 1, 4), au25=(1, 2, 5), au26=(1, 1.5, 5)),
    _kind("fear", "fear", 0.6, au1=_ALWAYS_STRONG, au2=(0.85, 1.5, 4.5), au4=(0.9, 1.2, 4.5), au5=(0.8, 1.5, 5), au20=(0.75, 1.2, 4.5), au25=(0.85, 1, 4), au26=(0.4, 1, 3.5)),
    _kind("disgust", "disgust", 0.7, au9=_ALWAYS_STRONG, au10=(0.4, 1, 4), au17=(0.6, 1, 4), au4=(0.6, 1, 4), au7=(0.6, 1, 4), au25=(0.2, 1, 3)),
    _kind("lip-raising disgust", "disgust", 0.7, au10=_ALWAYS_STRONG, au17=(0.5, 1, 4), au4=(0.4, 1, 3.5), au25=(0.35, 1, 3), au7=(0.4, 1, 3.5)),
    _kind("anger", "anger", 0.8, au4=_ALWAYS_STRONG, au7=(0.8, 1, 4.5), au5=(0.4, 0.8, 3.5), au23=(0.75, 1.2, 4.5), au24=(0.6, 1.2, 4.5), au17=(0.4, 1, 3.5)),
    _kind("talking", None, 1.0, au25=(0.95, 0.5, 4), au26=(0.5, 0.5, 3.2), au10=(0.35, 0.5, 3), au14=(0.3, 0.5, 3), au17=(0.2, 0.5, 2.6), au23=(0.15, 0.5, 2.5), au20=(0.15, 0.5, 2.5), au1=(0.15, 0.5, 3), au2=(0.15, 0.5, 3)),
    _kind("thinking", None, 0.8, au4=(0.7, 0.6, 3.2), au7=(0.5, 0.6, 3), au14=(0.5, 0.8, 3.5), au17=(0.4, 0.8, 3.5), au24=(0.5, 1, 4), au23=(0.3, 1, 3)),
    _kind("polite face", None, 1.0, au12=(0.5, 0.5, 2.8), au14=(0.8, 1.5, 4.5), au10=(0.3, 0.5, 2.5), au17=(0.3, 0.8, 3), au24=(0.2, 0.8, 3), au7=(0.4, 0.8, 3)),
    _kind("embarrassed smile", None, 0.7, au12=(1, 1.2, 4), au24=(0.5, 1, 4), au14=(0.6, 1.2, 4), au17=(0.4, 1, 3), au6=(0.6, 1, 3.5), au7=(0.5, 1, 3.5), au23=(0.2, 1, 3)),
    _kind("pain", None, 0.8, au4=(0.9, 1.2, 4.5), au6=(0.9, 1.5, 5), au7=(0.95, 1.5, 5), au10=(0.8, 1.2, 4.5), au9=(0.35, 1, 4), au25=(0.5, 1, 4), au20=(0.25, 1, 3.5)),
    _kind("brow flash", None, 0.7, au1=(1, 1, 4.5), au2=(1, 1, 4.5), au25=(0.2, 0.5, 2.5)),
    _kind("doubt", None, 0.5, au15=(0.8, 1, 3.5), au17=(0.95, 1.2, 4.5), au1=(0.3, 0.8, 3), au2=(0.3, 0.8, 3), au14=(0.25, 0.8, 3)),
    _kind("disdain", None, 0.8, au10=(0.8, 1.2, 4.5), au14=(0.9, 1.5, 4.5), au17=(0.7, 1, 4), au7=(0.6, 1.2, 4), au23=(0.4, 1.5, 4), au24=(0.3, 1, 4)),
    _kind("tension", None, 0.8, au17=(0.8, 1.2, 4.5), au23=(0.7, 1.5, 4.5), au24=(0.5, 1.5, 4.5), au14=(0.6, 1.2, 4), au7=(0.5, 1, 4), au15=(0.2, 1, 3)),
    _kind("squint", None, 0.5, au7=(1, 1.5, 5), au6=(0.5, 1, 4), au4=(0.4, 0.8, 3.5), au10=(0.35, 0.8, 3)),
    # Confusables: what looks like one unit and is another.
    _kind("lip stretch", None, 0.5, au20=(1, 1.5, 5), au25=(0.5, 1, 4), au26=(0.2, 0.5, 2.5)),
    _kind("closed-lip crying", None, 0.6, au1=(0.7, 1, 4), au4=(0.9, 1.2, 4.5), au15=(1, 1.8, 5), au17=(1, 1.8, 5), au6=(0.5, 1, 4), au7=(0.5, 1, 4)),
    _kind("crying grimace", None, 0.4, au4=(0.9, 1.5, 5), au6=(0.8, 1.5, 5), au7=(0.9, 1.5, 5), au20=(0.9, 1.5, 4.5), au25=(0.8, 1.5, 4.5), au1=(0.5, 1, 4), au10=(0.3, 1, 3)),
    _kind("nose wrinkle", None, 0.4, au9=(1, 1.5, 5), au4=(0.3, 0.5, 3)),
    _kind("open mouth", None, 0.5, au25=(1, 1, 5), au26=(0.9, 1.5, 5)),
    _kind("mouth shrug", None, 0.4, au17=(1, 1.5, 5), au15=(0.25, 0.5, 2.5)),
    _kind("tight lips", None, 0.5, au23=(1, 1.2, 5), au24=(0.35, 1, 4), au17=(0.25, 0.5, 3)),
    _kind("pressed lips", None, 0.5, au24=(1, 1.5, 5), au14=(0.4, 1, 3.5), au17=(0.25, 0.5, 3)),
    _kind("one small thing", None, 0.6),
)  # fmt: skip


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
        aim = np.clip(aim * (target / np.maximum(shown, 0.01)) ** 0.8, 0.0, 0.9)
        found = _fit(aim)
    return found


def _fit(target: np.ndarray) -> Mixture:
    chance = _chances()
    prior = np.array([kind.share for kind in PROTOTYPES])
    prior /= prior.sum()
    share = prior.copy()
    scale = 0.05 / np.maximum(target, 0.05) ** 2
    for _ in range(600):  # exponentiated gradient: shares stay positive and sum to 1
        slope = chance @ (scale * (share @ chance - target)) + 0.04 * np.log(share / prior)
        share *= np.exp(-0.5 * slope)
        share /= share.sum()
    share = (1 - RESERVED) * share + RESERVED * prior
    shown = share @ chance
    extra = np.clip((target - shown) / (1 - shown), 0, 0.6)
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
        if name not in au and rng.random() < extra:
            au[name] = float(rng.uniform(PRESENT_FROM, 4.5))
        elif au.get(name, 0.0) >= PRESENT_FROM and rng.random() < soften:
            au[name] = float(rng.uniform(0.5, PRESENT_FROM - 0.1))
    if kind.name == "one small thing" or rng.random() < 0.15:
        au.setdefault(str(rng.choice(AUS)), float(rng.uniform(0.4, 3.0)))
    limited = limit(au, rng)
    masked = kind.expression > 1 and limited.get("AU12", 0.0) >= PRESENT_FROM  # a smile over it is another message
    return Apex(kind.name, -1 if masked else kind.expression, {name: two_sided(name, value, rng) for name, value in limited.items()})


def limit(au: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Keep to what one face can do: muscles that work against each other don't both act."""
    found = dict(au)

    def value(name: str) -> float:
        return found.get(name, 0.0)

    if value("AU26") > 0:
        found["AU25"] = max(value("AU25"), 0.7 * value("AU26"))
    if value("AU25") >= 1:
        if value("AU24") > value("AU25") and value("AU26") < 1:
            found["AU25"] = 0.0
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
