import numpy as np
import pytest

from edgeau.runtime.action_units import EXPRESSIONS, UNION
from edgeau.train.faces.plan.prototypes import AUS, PROTOTYPES, RATES
from edgeau.train.faces.plan.sampling import draw_apex, label_of, limit
from edgeau.train.faces.plan.sequences import plan_subject

RATE_MARGIN = 0.06  # in probability, over 40 subjects with 100 frames each
BP4D_SMILE_MARGIN = 0.10  # AU10 and AU12 are frequent in BP4D, but emotions that exclude a smile make them rarer here


def planned(labels, subjects=40, frames=100, seed=1):
    return [sample for k in range(subjects) for sample in plan_subject(seed, k, frames, labels)]


@pytest.fixture(scope="module")
def mix():
    return planned("mix")


def present(samples):
    return np.stack([sample.au for sample in samples]) >= 2


@pytest.mark.parametrize("labels", sorted(RATES))
def test_base_rates_are_close_to_their_targets(labels):
    rates = present(planned(labels)).mean(axis=0)
    for au, rate in zip(UNION, rates, strict=True):
        margin = BP4D_SMILE_MARGIN if au in ("AU10", "AU12") and labels in ("bp4d", "union") else RATE_MARGIN
        assert rate == pytest.approx(RATES[labels][au], abs=margin), au


def test_aus_co_occur_as_on_real_faces(mix):
    shown = present(mix)
    rate = shown.mean(axis=0)
    lift = (shown.T.astype(float) @ shown / len(shown)) / np.outer(rate, rate)

    def of(a, b):
        return lift[UNION.index(f"AU{a:02d}"), UNION.index(f"AU{b:02d}")]

    for a, b in ((1, 2), (6, 12), (6, 7), (10, 12), (15, 17), (1, 15), (4, 15), (17, 24), (23, 24), (25, 26), (1, 26)):
        assert of(a, b) > 1.3, (a, b)
    for a, b in ((12, 15), (24, 25), (24, 26), (17, 26)):
        assert of(a, b) < 0.6, (a, b)


def test_labels_are_consistent_intensities_within_their_limits(mix):
    levels = np.stack([sample.au for sample in mix])
    assert levels.min() >= 0
    assert levels.max() <= 5
    assert ((levels > 0.2) & (levels < 2)).mean() / (levels > 0.2).mean() > 0.1  # weak ones are there too
    opened, dropped = levels[:, UNION.index("AU25")], levels[:, UNION.index("AU26")]
    assert (opened[dropped > 0.5] > 0).all()
    pressed = levels[:, UNION.index("AU24")]
    assert not ((pressed >= 2) & (opened >= 2)).any()


def test_every_expression_and_every_prototype_occurs(mix):
    assert {sample.expression for sample in mix} == set(range(-1, len(EXPRESSIONS)))
    rng = np.random.default_rng(0)
    names = {draw_apex(rng, "mix").name for _ in range(3000)}
    assert names == {kind.name for kind in PROTOTYPES}


def test_confusable_faces_usually_lack_the_au_they_resemble():
    rng = np.random.default_rng(1)
    faces = [draw_apex(rng, "mix") for _ in range(6000)]

    def without(name, au):
        levels = [max(face.au.get(au, (0, 0))) for face in faces if face.name == name]
        return np.mean(np.array(levels) < 1)

    assert without("lip stretch", "AU12") > 0.5
    assert without("broad smile", "AU09") > 0.7
    assert without("closed-lip crying", "AU12") > 0.8


def test_antagonistic_aus_are_not_both_strong():
    rng = np.random.default_rng(0)
    together = [limit({"AU12": 3.0, "AU15": 4.0}, rng) for _ in range(200)]
    assert np.mean([face["AU12"] < 1 for face in together]) > 0.7
    assert limit({"AU24": 4.0, "AU25": 5.0, "AU26": 3.0}, rng).get("AU24", 0) == 0
    assert limit({"AU26": 4.0}, rng)["AU25"] >= 2


def test_the_label_is_the_stronger_side():
    label = label_of({"AU12": (1.0, 3.5), "AU14": (2.0, 0.0)})
    assert label[UNION.index("AU12")] == 3.5
    assert label[UNION.index("AU14")] == 2.0
    assert label.sum() == 5.5


def test_every_picture_has_another_neutral_image_of_its_session():
    for subject in range(20):
        plan = plan_subject(3, subject, 40)
        assert sum(sample.is_neutral for sample in plan) >= 2
        for row, sample in enumerate(plan):
            neutral = plan[sample.neutral]
            assert neutral.is_neutral
            assert sample.neutral != row
            assert neutral.spec.scene_seed == sample.spec.scene_seed
            assert neutral.au.max() == 0
    assert len({sample.neutral for sample in plan}) > 1


def test_the_resting_face_is_in_the_neutral_image_but_not_in_the_labels():
    plans = [plan_subject(4, subject, 12) for subject in range(30)]
    resting = [plan[0].spec.au for plan in plans]
    assert sum(bool(au) for au in resting) > 20
    for plan in plans:
        neutral = plan[0].spec.au
        for sample in plan:
            for au, sides in neutral.items():
                assert sample.spec.au[au][0] >= min(sides[0], 5.0) - 1e-6
            shown = label_of(sample.spec.au)
            assert (shown >= sample.au - 1e-6).all()


def test_a_sequence_rises_from_neutral_to_its_apex_and_falls_back():
    plan = [sample for k in range(30) for sample in plan_subject(5, k, 60)]
    runs, run = [], []
    for sample in plan:
        if run and sample.frame != run[-1].frame + 1:
            runs.append(run)
            run = []
        run.append(sample)
    long = [run for run in runs if len(run) >= 8 and max(s.au.max() for s in run) > 2]
    assert len(long) > 10
    for run in long:
        total = np.array([sample.au.sum() for sample in run])
        apex = int(total.argmax())
        assert total[0] < 0.15 * total[apex]
        assert total[-1] < 0.35 * total[apex]
        assert (np.diff(total[: apex + 1]) > -1e-3).all()
        assert len({sample.sequence for sample in run}) == 1


def test_a_plan_depends_only_on_seed_and_subject():
    one, again, other = plan_subject(1, 2, 20), plan_subject(1, 2, 20), plan_subject(1, 3, 20)
    assert [s.spec.frame_seed for s in one] == [s.spec.frame_seed for s in again]
    assert [s.spec.frame_seed for s in one] != [s.spec.frame_seed for s in other]
    assert set(one[-1].spec.au) <= set(AUS)
