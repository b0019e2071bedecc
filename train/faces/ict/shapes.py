"""Converts action units to shape weights, and adds shapes that ICT-FaceKit does not have.

The kit's own table gives one shape per AU. Real faces do more: a strong smile also bunches the cheeks, a nose wrinkle
also lowers the inner brows, and tightened lips also press. The gains are ours, not the kit's; they were set by eye
against FACS descriptions (Ekman, Friesen and Hager, 2002).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# AU -> (shape, weight at intensity 5); a shape without left and right versions in the mesh gets the mean of both sides.
AU_SHAPES: dict[str, tuple[tuple[str, float], ...]] = {
    "AU01": (("browInnerUp", 1.15), ("browInnerPeak", 0.7)),
    "AU02": (("browOuterUp", 1.15), ("browOuterArch", 0.4)),
    "AU04": (("browDown", 1.2), ("browKnit", 1.1)),
    "AU05": (("eyeWide", 1.4),),
    "AU06": (("cheekSquint", 0.5), ("cheekRaiser", 0.55), ("eyeSquint", 0.5), ("cheekBunch", 0.7), ("eyeBlink", 0.07)),
    "AU07": (("eyeSquint", 1.2), ("eyeBlink", 0.25)),
    "AU09": (("noseSneer", 0.95), ("noseWing", 0.9), ("browDown", 0.25), ("browKnit", 0.25), ("eyeSquint", 0.25)),
    "AU10": (("mouthUpperUp", 1.0), ("mouthShrugUpper", 0.3), ("nasolabialBulge", 0.6)),
    "AU11": (("mouthUpperUp", 0.4), ("nasolabialBulge", 0.7)),
    "AU12": (("mouthSmile", 1.1), ("mouthStretch", 0.15), ("cheekBunch", 0.6), ("nasolabialBulge", 0.4)),
    "AU14": (("mouthDimple", 0.85), ("dimplePit", 1.0)),
    "AU15": (("mouthFrown", 1.1), ("cornerDown", 1.0), ("cornerPouch", 1.0)),
    "AU16": (("mouthLowerDown", 1.1),),
    "AU17": (("mouthShrugLower", 0.75), ("chinBoss", 1.0)),
    "AU18": (("mouthPucker", 1.0),),
    "AU20": (("mouthStretch", 1.15),),
    "AU22": (("mouthFunnel", 0.9),),
    "AU23": (("mouthPress", 0.35), ("mouthRollUpper", 0.28), ("mouthRollLower", 0.3), ("cornerIn", 1.0)),
    "AU24": (("mouthPress", 1.1), ("mouthRollUpper", 0.3), ("mouthRollLower", 0.38), ("mouthShrugLower", 0.12)),
    "AU25": (("mouthLowerDown", 0.95), ("mouthUpperUp", 0.28), ("jawOpen", 0.05)),
    "AU26": (("jawOpen", 0.48),),
    "AU27": (("jawOpen", 0.95),),
    "AU28": (("mouthRollUpper", 0.8), ("mouthRollLower", 0.8)),
    "AU33": (("cheekPuff", 0.9),),
    "AU43": (("eyeBlink", 1.0),),
    "AU45": (("eyeBlink", 1.0),),
}  # fmt: skip
_CURVE = 1.15  # FACS levels are not equally wide: C and D span more than A and B

# Our own shapes, on the subject's left: bumps of (centre on the neutral head, radius, displacement), all in cm.
_BUMPS: dict[str, tuple[tuple[tuple[float, float, float], float, tuple[float, float, float]], ...]] = {
    "browInnerPeak": (((1.3, 6.0, 10.7), 1.0, (-0.05, 0.35, 0.05)),),
    "browOuterArch": (((5.0, 6.2, 9.0), 1.2, (0.0, 0.35, 0.05)),),
    "browKnit": (
        ((1.5, 5.8, 10.6), 1.1, (-0.38, -0.18, 0.16)),
        ((3.3, 6.1, 10.0), 1.2, (-0.25, -0.12, 0.0)),
    ),
    "noseWing": (
        ((1.6, -0.7, 10.7), 0.8, (0.08, 0.32, -0.05)),
        ((0.9, 2.6, 10.9), 0.8, (0.0, 0.12, 0.14)),
    ),
    "nasolabialBulge": (((3.0, -1.1, 10.2), 0.9, (0.1, 0.15, 0.25)),),
    "cheekBunch": (((4.2, 0.9, 9.4), 1.35, (0.12, 0.3, 0.45)),),
    "dimplePit": (
        ((3.0, -3.4, 9.9), 0.45, (0.3, 0.05, -0.5)),
        ((3.7, -3.3, 9.5), 0.6, (0.05, 0.0, 0.12)),
    ),
    "cornerDown": (((2.55, -3.6, 10.2), 0.75, (0.08, -0.5, -0.05)),),
    "cornerPouch": (
        ((3.1, -4.8, 9.7), 0.75, (0.15, -0.15, 0.28)),
        ((1.6, -5.2, 10.6), 0.7, (0.0, 0.05, 0.15)),
    ),
    "chinBoss": (
        ((0.7, -6.2, 10.8), 1.0, (0.0, 0.22, 0.22)),
        ((0.5, -5.2, 11.0), 0.6, (0.0, 0.05, -0.1)),
    ),
    "cornerIn": (((2.5, -3.5, 10.2), 0.9, (-0.45, 0.0, 0.18)),),
}


def extra_shapes(neutral: np.ndarray) -> dict[str, np.ndarray]:
    """Our own shapes, float32 [V, 3] each, named with ``_L`` and ``_R`` like the kit's."""
    shapes = {}
    for name, bumps in _BUMPS.items():
        for side, sign in (("_L", 1.0), ("_R", -1.0)):
            mirror = np.array([sign, 1.0, 1.0], np.float32)
            total = np.zeros_like(neutral, np.float32)
            for centre, radius, vector in bumps:
                distance = np.linalg.norm(neutral - np.array(centre, np.float32) * mirror, axis=1)
                total += np.exp(-((distance / radius) ** 2))[:, None] * (np.array(vector, np.float32) * mirror)
            shapes[name + side] = total.astype(np.float32)
    return shapes


def shape_weights(
    au: Mapping[str, tuple[float, float]], blink: float, gaze_deg: tuple[float, float]
) -> dict[str, float]:
    """Return shape weights by name.

    Args:
        au: FACS intensity 0..5 as (subject's right, left) by AU name; names without shapes are ignored.
        blink: extra closure of both eyes, 0..1.
        gaze_deg: (to the subject's right, up); eyelids follow.
    """
    weights: dict[str, float] = {}
    for name, (right, left) in au.items():
        for shape, gain in AU_SHAPES.get(name, ()):
            for side, intensity in (("_R", right), ("_L", left)):
                grade = (min(max(float(intensity), 0.0), 5.0) / 5.0) ** _CURVE
                weights[shape + side] = weights.get(shape + side, 0.0) + gain * grade
    for side, index in (("_R", 0), ("_L", 1)):
        smile, parted = (min(au.get(name, (0.0, 0.0))[index], 5.0) / 5 for name in ("AU12", "AU25"))
        together = smile * parted  # an open smile bares the upper teeth: the upper lip rises, the lower stays
        weights["mouthUpperUp" + side] = weights.get("mouthUpperUp" + side, 0.0) + 0.35 * together
        weights["mouthLowerDown" + side] = weights.get("mouthLowerDown" + side, 0.0) - 0.35 * together
        weights["jawOpen" + side] = weights.get("jawOpen" + side, 0.0) + 0.09 * together
        raised, drawn = (min(au.get(name, (0.0, 0.0))[index], 5.0) / 5 for name in ("AU01", "AU04"))
        oblique = (raised * drawn) ** 0.5  # together they slant the brow: the inner end rises, the rest is lowered
        weights["browInnerPeak" + side] = weights.get("browInnerPeak" + side, 0.0) + 0.6 * oblique
        weights["browKnit" + side] = weights.get("browKnit" + side, 0.0) + 0.3 * oblique
    jaw = _mean(weights, "jawOpen")
    opened = max(au.get("AU25", (0.0, 0.0))) + max(au.get("AU22", (0.0, 0.0))) + max(au.get("AU27", (0.0, 0.0)))
    weights["mouthClose_R"] = weights["mouthClose_L"] = jaw * (1 - min(opened / 2.0, 1.0))
    right, up = gaze_deg
    for side, inward in (("_R", -right), ("_L", right)):
        weights["eyeLookUp" + side] = max(up, 0.0) / 25
        weights["eyeLookDown" + side] = max(-up, 0.0) / 30
        weights["eyeLookIn" + side] = max(inward, 0.0) / 30
        weights["eyeLookOut" + side] = max(-inward, 0.0) / 30
        closed = weights.get("eyeBlink" + side, 0.0) + blink
        weights["eyeBlink" + side] = min(closed, 1.0 - 0.6 * min(weights["eyeLookDown" + side], 1.0))
    return weights


def _mean(weights: Mapping[str, float], shape: str) -> float:
    return 0.5 * (weights.get(shape + "_R", 0.0) + weights.get(shape + "_L", 0.0))


def dense_weights(weights: Mapping[str, float], columns: Mapping[str, int]) -> np.ndarray:
    """float32 [K]: the weight of each of the mesh's shapes; those without a side get the mean of both sides.

    Args:
        weights: by names with ``_L`` or ``_R``; names that the mesh does not have are ignored.
        columns: index of each of the mesh's shapes by name.
    """
    dense = np.zeros(len(columns), np.float32)
    for name, weight in weights.items():
        if name in columns:
            dense[columns[name]] += weight
        elif name[:-2] in columns:
            dense[columns[name[:-2]]] += 0.5 * weight
    return dense
