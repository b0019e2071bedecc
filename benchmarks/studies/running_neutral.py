"""How much a neutral that is found while a video runs costs against the true one, on rendered videos.

python -m edgeau.benchmarks.studies.running_neutral [PACKAGE] [--face builtin] [--subjects 40] [--json]

Each subject's video is one session that training never saw: neutral moments, and expressions from onset to offset, in
random order, so that a video may well begin with an expression. Every policy sees the same frames, each frame once and
in order, and is given the neutral it has by then. F1 is the mean over AUs, of all frames of all subjects, at the
package's thresholds; the interval is of the difference to the true neutral, from subjects drawn with replacement.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from edgeau.runtime import Analyzer, load
from edgeau.runtime.action_units import UNION
from edgeau.runtime.crop_set import presence_of
from edgeau.runtime.errors import EdgeauError
from edgeau.runtime.evaluate import au_metrics
from edgeau.runtime.manifest import NeutralSpec
from edgeau.runtime.neutral import NeutralReference
from edgeau.runtime.terminal import emit_json, note, say
from edgeau.train.faces.plan.sequences import Sample, plan_subject
from edgeau.train.faces.renderers import make_renderer

FRAMES = 50  # the longest video of a single session
PARTS = ("true", "running", "first", "none")
_DRAWS = 200


@dataclass(frozen=True)
class Video:
    """One subject's frames.

    Attributes:
        faces: uint8 [T, S, S, 3], RGB.
        neutral: uint8 [S, S, 3], another image of the subject at rest in the same session.
        intensity: float32 [T, A], of the package's AUs.
    """

    faces: np.ndarray
    neutral: np.ndarray
    intensity: np.ndarray


@dataclass(frozen=True)
class NeutralScore:
    """One policy.

    Attributes:
        f1: mean over AUs, of all frames.
        f1_ready: the same of the frames in which the running neutral was known.
        difference, low, high: of ``f1`` to the true neutral's, with a 95% interval.
    """

    policy: str
    f1: float
    f1_ready: float
    difference: float
    low: float
    high: float


def order_of(samples: Sequence[Sample], rng: np.random.Generator) -> list[int]:
    """Frames in a video's order: sequences stay whole, and what comes when is drawn at random."""
    parts: dict[int, list[int]] = {}
    for index, sample in enumerate(samples):
        parts.setdefault(sample.sequence, []).append(index)
    keys = rng.permutation(sorted(parts))
    return [index for key in keys for index in parts[int(key)]]


def draw_video(analyzer: Analyzer, face: str, subject: int, seed: int) -> Video:
    """Render one subject's session; its first neutral image is kept apart as the true neutral."""
    samples = plan_subject(seed, subject, FRAMES, domain="heldout")
    renderer = make_renderer(face)
    drawn = [renderer.render(sample.spec, analyzer.manifest.crop).face for sample in samples]
    apart = next(index for index, sample in enumerate(samples) if sample.is_neutral)
    order = [i for i in order_of(samples, np.random.default_rng((seed, subject))) if i != apart]
    columns = [UNION.index(au) for au in analyzer.manifest.aus]
    labels = np.stack([samples[i].au[columns] for i in order])
    return Video(np.stack([drawn[i] for i in order]), drawn[apart], labels)


def follow(analyzer: Analyzer, video: Video, policy: str) -> tuple[np.ndarray, np.ndarray]:
    """Presence, float32 [T, A], and whether a neutral was known, bool [T]."""
    if policy == "true":
        neutrals = np.repeat(video.neutral[None], len(video.faces), axis=0)
        return analyzer.analyse_crops(video.faces, neutrals)["au"], np.ones(len(video.faces), bool)
    reference = NeutralReference(NeutralSpec(policy, analyzer.manifest.neutral.frames))
    alone = analyzer.analyse_crops(video.faces)["au"]
    rows, ready = [], []
    for face, probe in zip(video.faces, alone, strict=True):
        neutral = reference.image
        ready.append(neutral is not None)
        rows.append(probe if neutral is None else analyzer.analyse_crops(face[None], neutral[None])["au"][0])
        if reference.wants_probe:
            reference.add(face, float(probe.mean()))
        else:
            reference.skip()
    return np.stack(rows), np.array(ready)


def compare(analyzer: Analyzer, videos: Sequence[Video], seed: int = 0) -> list[NeutralScore]:
    """Every policy on the same videos."""
    results = {policy: [follow(analyzer, video, policy) for video in videos] for policy in PARTS}
    labels = [presence_of(video.intensity) for video in videos]
    ready = [ready for _, ready in results["running"]]
    rng = np.random.default_rng(seed)
    draws = [rng.integers(0, len(videos), len(videos)).tolist() for _ in range(_DRAWS)]

    def f1(policy: str, which: Sequence[int], only: Sequence[np.ndarray] | None = None) -> float:
        pick = [only[i] if only is not None else slice(None) for i in which]
        presence = np.concatenate([results[policy][i][0][keep] for i, keep in zip(which, pick, strict=True)])
        truth = np.concatenate([labels[i][keep] for i, keep in zip(which, pick, strict=True)])
        manifest = analyzer.manifest
        return float(au_metrics(presence, truth, manifest.aus, manifest.thresholds).mean_f1 or 0.0)

    everyone = range(len(videos))
    true_draws = np.array([f1("true", draw) for draw in draws])
    outcomes = []
    for policy in PARTS:
        gaps = np.array([f1(policy, draw) for draw in draws]) - true_draws
        low, high = np.percentile(gaps, [2.5, 97.5])
        whole = f1(policy, everyone)
        gap = whole - f1("true", everyone)
        outcomes.append(NeutralScore(policy, whole, f1(policy, everyone, ready), gap, float(low), float(high)))
    return outcomes


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", nargs="?")
    parser.add_argument("--face", default="builtin", help="builtin, ict, or the path of an ICT-FaceKit model")
    parser.add_argument("--subjects", type=int, default=40)
    parser.add_argument("--seed", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    try:
        with load(args.package, threads=1) as analyzer:
            videos = [draw_video(analyzer, args.face, subject, args.seed) for subject in range(args.subjects)]
            outcomes = compare(analyzer, videos)
    except EdgeauError as error:
        note(f"edgeau: {error}")
        return 2
    if args.json:
        about = {"face": args.face, "subjects": args.subjects, "seed": args.seed, "frames": FRAMES - 1}
        emit_json({**about, "outcomes": [asdict(outcome) for outcome in outcomes]})
    else:
        say(f"{'neutral':8} {'F1':>6} {'known':>6} {'to true':>8}   95%")
        for o in outcomes:
            say(f"{o.policy:8} {o.f1:6.3f} {o.f1_ready:6.3f} {o.difference:+8.3f}   {o.low:+.3f} to {o.high:+.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
