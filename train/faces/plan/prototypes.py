"""Expressions as sets of action units, and how often each AU occurs in public data sets.

Emotions follow the FACS Investigator's Guide (Ekman, Friesen and Hager, 2002, table of prototypes). The others are
everyday faces, and *confusable* ones in which a model of single AUs mistakes one AU for another.

``RATES`` for BP4D and DISFA are the occurrence rates in the public label lists (146,847 and 130,814 frames, DISFA at
intensity 2 or more); for AUs that a data set does not code, we chose a rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeau.runtime.action_units import EXPRESSIONS, UNION

AUS: tuple[str, ...] = tuple(sorted({*UNION, "AU05", "AU20", "AU43"}))

_BP4D = {
    "AU01": 0.211,
    "AU02": 0.171,
    "AU04": 0.203,
    "AU06": 0.461,
    "AU07": 0.549,
    "AU10": 0.594,
    "AU12": 0.562,
    "AU14": 0.466,
    "AU15": 0.169,
    "AU17": 0.343,
    "AU23": 0.165,
    "AU24": 0.151,
}
_DISFA = {
    "AU01": 0.050,
    "AU02": 0.043,
    "AU04": 0.152,
    "AU06": 0.079,
    "AU09": 0.042,
    "AU12": 0.129,
    "AU25": 0.277,
    "AU26": 0.088,
}
# Our choice: DISFA's rates for AUs that BP4D does not code, raised as BP4D's are over DISFA's where both code an AU,
# but kept plausible.
_UNION = {**_BP4D, "AU05": 0.05, "AU09": 0.10, "AU20": 0.05, "AU25": 0.42, "AU26": 0.18, "AU43": 0.04}
_CALM = {
    "AU05": 0.02,
    "AU07": 0.08,
    "AU10": 0.05,
    "AU14": 0.05,
    "AU15": 0.04,
    "AU17": 0.06,
    "AU20": 0.03,
    "AU23": 0.03,
    "AU24": 0.03,
    "AU43": 0.03,
}

RATES: dict[str, dict[str, float]] = {
    "bp4d": {**_BP4D, "AU05": 0.04, "AU09": 0.05, "AU20": 0.04, "AU25": 0.32, "AU26": 0.12, "AU43": 0.03},
    "disfa": {**_CALM, **_DISFA},
    "union": _UNION,
    "balanced": {**dict.fromkeys(UNION, 0.24), "AU05": 0.08, "AU20": 0.08, "AU43": 0.08},
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
    _kind(
        "smile",
        "happiness",
        1.6,
        au6=(0.75, 1.0, 4),
        au12=_ALWAYS,
        au7=(0.4, 0.8, 3.5),
        au14=(0.3, 1, 3.5),
        au10=(0.35, 1, 3.5),
    ),
    _kind(
        "broad smile",
        "happiness",
        1.6,
        au6=(1, 2, 5),
        au12=(1, 2.8, 5),
        au25=(1, 2, 5),
        au26=(0.35, 1, 3.5),
        au7=(0.6, 1.5, 4),
        au10=(0.6, 1.5, 4),
    ),
    _kind(
        "amused",
        "happiness",
        2.0,
        au6=(0.9, 1.5, 4.5),
        au7=(0.85, 1.5, 4.5),
        au10=(0.9, 1.5, 4.5),
        au12=(1, 2, 5),
        au14=(0.7, 1.5, 4.5),
        au25=(0.4, 1, 4),
    ),
    _kind(
        "sadness", "sadness", 1.0, au1=_ALWAYS, au4=_ALWAYS, au15=(1, 1.2, 4.5), au17=(0.65, 1, 4.5), au6=(0.2, 1, 3)
    ),
    _kind(
        "surprise",
        "surprise",
        0.8,
        au1=_ALWAYS_STRONG,
        au2=_ALWAYS_STRONG,
        au5=(0.8, 1, 4),
        au25=(1, 2, 5),
        au26=(1, 1.5, 5),
    ),
    _kind(
        "fear",
        "fear",
        0.6,
        au1=_ALWAYS_STRONG,
        au2=(0.85, 1.5, 4.5),
        au4=(0.9, 1.2, 4.5),
        au5=(0.8, 1.5, 5),
        au20=(0.75, 1.2, 4.5),
        au25=(0.85, 1, 4),
        au26=(0.4, 1, 3.5),
    ),
    _kind(
        "disgust",
        "disgust",
        0.7,
        au9=_ALWAYS_STRONG,
        au10=(0.4, 1, 4),
        au17=(0.6, 1, 4),
        au4=(0.6, 1, 4),
        au7=(0.6, 1, 4),
        au25=(0.2, 1, 3),
    ),
    _kind(
        "lip-raising disgust",
        "disgust",
        0.7,
        au10=_ALWAYS_STRONG,
        au17=(0.5, 1, 4),
        au4=(0.4, 1, 3.5),
        au25=(0.35, 1, 3),
        au7=(0.4, 1, 3.5),
    ),
    _kind(
        "anger",
        "anger",
        0.8,
        au4=_ALWAYS_STRONG,
        au7=(0.8, 1, 4.5),
        au5=(0.4, 0.8, 3.5),
        au23=(0.75, 1.2, 4.5),
        au24=(0.6, 1.2, 4.5),
        au17=(0.4, 1, 3.5),
    ),
    _kind(
        "talking",
        None,
        1.0,
        au25=(0.95, 0.5, 4),
        au26=(0.5, 0.5, 3.2),
        au10=(0.35, 0.5, 3),
        au14=(0.3, 0.5, 3),
        au17=(0.2, 0.5, 2.6),
        au23=(0.15, 0.5, 2.5),
        au20=(0.15, 0.5, 2.5),
        au1=(0.15, 0.5, 3),
        au2=(0.15, 0.5, 3),
    ),
    _kind(
        "thinking",
        None,
        0.8,
        au4=(0.7, 0.6, 3.2),
        au7=(0.5, 0.6, 3),
        au14=(0.5, 0.8, 3.5),
        au17=(0.4, 0.8, 3.5),
        au24=(0.5, 1, 4),
        au23=(0.3, 1, 3),
    ),
    _kind(
        "polite face",
        None,
        1.0,
        au12=(0.5, 0.5, 2.8),
        au14=(0.8, 1.5, 4.5),
        au10=(0.3, 0.5, 2.5),
        au17=(0.3, 0.8, 3),
        au24=(0.2, 0.8, 3),
        au7=(0.4, 0.8, 3),
    ),
    _kind(
        "embarrassed smile",
        None,
        0.7,
        au12=(1, 1.2, 4),
        au24=(0.5, 1, 4),
        au14=(0.6, 1.2, 4),
        au17=(0.4, 1, 3),
        au6=(0.6, 1, 3.5),
        au7=(0.5, 1, 3.5),
        au23=(0.2, 1, 3),
    ),
    _kind(
        "pain",
        None,
        0.8,
        au4=(0.9, 1.2, 4.5),
        au6=(0.9, 1.5, 5),
        au7=(0.95, 1.5, 5),
        au10=(0.8, 1.2, 4.5),
        au9=(0.35, 1, 4),
        au25=(0.5, 1, 4),
        au20=(0.25, 1, 3.5),
    ),
    _kind("brow flash", None, 0.7, au1=(1, 1, 4.5), au2=(1, 1, 4.5), au25=(0.2, 0.5, 2.5)),
    _kind(
        "doubt",
        None,
        0.5,
        au15=(0.8, 1, 3.5),
        au17=(0.95, 1.2, 4.5),
        au1=(0.3, 0.8, 3),
        au2=(0.3, 0.8, 3),
        au14=(0.25, 0.8, 3),
    ),
    _kind(
        "disdain",
        None,
        0.8,
        au10=(0.8, 1.2, 4.5),
        au14=(0.9, 1.5, 4.5),
        au17=(0.7, 1, 4),
        au7=(0.6, 1.2, 4),
        au23=(0.4, 1.5, 4),
        au24=(0.3, 1, 4),
    ),
    _kind(
        "tension",
        None,
        0.8,
        au17=(0.8, 1.2, 4.5),
        au23=(0.7, 1.5, 4.5),
        au24=(0.5, 1.5, 4.5),
        au14=(0.6, 1.2, 4),
        au7=(0.5, 1, 4),
        au15=(0.2, 1, 3),
    ),
    _kind("squint", None, 0.5, au7=(1, 1.5, 5), au6=(0.5, 1, 4), au4=(0.4, 0.8, 3.5), au10=(0.35, 0.8, 3)),
    # Confusables: what looks like one unit and is another.
    _kind("lip stretch", None, 0.5, au20=(1, 1.5, 5), au25=(0.5, 1, 4), au26=(0.2, 0.5, 2.5)),
    _kind(
        "closed-lip crying",
        None,
        0.6,
        au1=(0.7, 1, 4),
        au4=(0.9, 1.2, 4.5),
        au15=(1, 1.8, 5),
        au17=(1, 1.8, 5),
        au6=(0.5, 1, 4),
        au7=(0.5, 1, 4),
    ),
    _kind(
        "crying grimace",
        None,
        0.4,
        au4=(0.9, 1.5, 5),
        au6=(0.8, 1.5, 5),
        au7=(0.9, 1.5, 5),
        au20=(0.9, 1.5, 4.5),
        au25=(0.8, 1.5, 4.5),
        au1=(0.5, 1, 4),
        au10=(0.3, 1, 3),
    ),
    # Corners pulled sideways by AU20 look like AU12's until one sees the brows; AU12 itself is a trace at most.
    _kind(
        "closed-lip crying grimace",
        None,
        1.0,
        au1=(0.75, 1, 4.5),
        au4=(1, 1.5, 5),
        au6=(0.8, 1.5, 5),
        au7=(0.9, 1.5, 5),
        au20=(0.9, 1.5, 5),
        au14=(0.3, 1, 3.5),
        au15=(0.4, 1, 3.5),
        au17=(0.5, 1, 4),
        au43=(0.5, 3.5, 5),
    ),
    _kind(
        "held-back crying",
        None,
        1.2,
        au1=(0.85, 1.5, 5),
        au4=(1, 2, 5),
        au6=(0.9, 1.5, 4.5),
        au7=(0.8, 1.5, 4.5),
        au12=(0.85, 0.9, 1.95),
        au20=(0.7, 1, 3.5),
        au14=(0.5, 1, 4),
        au17=(0.65, 0.8, 3),
        au24=(0.3, 0.8, 3),
        au10=(0.3, 0.8, 3),
        au43=(0.7, 3.5, 5),
    ),
    # Smiles under raised brows and without raised cheeks, which raised brows alone would make surprise.
    _kind(
        "delighted smile",
        "happiness",
        1.2,
        au12=(1, 2.2, 5),
        au25=(1, 1.5, 5),
        au26=(0.5, 1, 4),
        au1=(0.5, 0.8, 4),
        au2=(0.5, 0.8, 4),
        au6=(0.5, 0.5, 3),
        au10=(0.2, 0.5, 2.5),
        au5=(0.15, 0.5, 2.5),
    ),
    _kind(
        "worry",
        None,
        0.7,
        au1=(1, 1.2, 4.5),
        au2=(0.4, 0.8, 3),
        au4=(0.85, 1, 4.5),
        au25=(0.4, 0.8, 3),
        au24=(0.15, 0.8, 3),
        au7=(0.3, 0.8, 3),
    ),
    # Brows pulled down while the mouth smiles: into the sun, in doubt, in disbelief.
    _kind(
        "frowning smile",
        None,
        0.6,
        au4=(1, 1.5, 5),
        au12=(1, 1.8, 5),
        au6=(0.6, 1, 4),
        au7=(0.7, 1, 4.5),
        au25=(0.5, 1, 4),
        au1=(0.25, 0.8, 3.5),
        au43=(0.1, 3.5, 5),
    ),
    # Brows alone, the mouth at rest: what tells AU1 and AU4 apart from all that usually comes with them.
    _kind("knitted brows", None, 0.9, au4=(1, 1.5, 5), au1=(0.6, 1, 4.5), au7=(0.2, 0.5, 3), au43=(0.35, 3.5, 5)),
    _kind("nose wrinkle", None, 0.4, au9=(1, 1.5, 5), au4=(0.3, 0.5, 3)),
    _kind("open mouth", None, 0.5, au25=(1, 1, 5), au26=(0.9, 1.5, 5)),
    _kind("mouth shrug", None, 0.4, au17=(1, 1.5, 5), au15=(0.25, 0.5, 2.5)),
    _kind("tight lips", None, 0.5, au23=(1, 1.2, 5), au24=(0.35, 1, 4), au17=(0.25, 0.5, 3)),
    _kind("pressed lips", None, 0.5, au24=(1, 1.5, 5), au14=(0.4, 1, 3.5), au17=(0.25, 0.5, 3)),
    _kind("one small thing", None, 0.6),
)
