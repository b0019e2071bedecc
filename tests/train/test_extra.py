"""Faces without AU labels: reading, joining with labelled ones, and learning from teachers and expressions."""

import json

import cv2
import numpy as np
import pytest
import torch

from edgeau.runtime.action_units import EXPRESSIONS
from edgeau.runtime.cli import main
from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec
from edgeau.train.assist import Assisted, AssistOptions
from edgeau.train.batches import Batch
from edgeau.train.checkpoint import load_checkpoint
from edgeau.train.data import open_data
from edgeau.train.distill import AnswerLoss, mixed
from edgeau.train.extra import MOST_FACES, faces_without_labels, joined, open_photos, open_unlabelled, unlabelled
from edgeau.train.losses import AuLoss, LossOptions
from edgeau.train.models import build_model

AUS = ("AU01", "AU12", "AU25")


def brightness(faces):
    return np.asarray(faces, np.float64).mean(axis=(1, 2, 3)) / 255


@pytest.fixture
def video(tmp_path, photo_bgr):
    """Five seconds of one woman at 8 frames per second, in increasing light."""
    file = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 8, (512, 512))
    for number in range(40):
        writer.write(cv2.convertScaleAbs(photo_bgr, alpha=0.6 + number / 100))
    writer.release()
    return file


def test_a_video_gives_four_faces_per_second_and_a_neutral_of_the_calmest_nine(video):
    data, rows = open_unlabelled([str(video)], CropSpec(48), AUS, brightness)
    assert len(rows) == 20
    assert np.isnan(data.intensity).all()
    assert data.intensity.shape[1] == 3
    neutral = data.pixels(data.neutral[rows[-1]])
    assert {int(n) for n in data.neutral[rows]} == {20}
    # Activity is brightness here, so the darkest frames are the calmest; the median of nine is about the fifth.
    assert np.abs(neutral.astype(int) - data.pixels(4).astype(int)).mean() < 3
    assert neutral.mean() < data.pixels(19).mean() - 10


def test_a_folder_can_contain_videos_and_pictures(tmp_path, video, photo_bgr):
    cv2.imwrite(str(tmp_path / "still.png"), photo_bgr)
    data, rows = open_unlabelled([str(tmp_path)], CropSpec(48), AUS, brightness)
    assert len(rows) == 21
    assert sorted(int(n) for n in data.neutral[rows])[0] == -1  # a picture has no neutral


def test_labels_of_an_unlabelled_crop_set_are_ignored(crop_set):
    data, rows = open_unlabelled([str(crop_set)], CropSpec(32), AUS, brightness)
    assert 0 < len(rows) <= MOST_FACES
    assert np.isnan(data.intensity).all()


def test_a_source_without_a_face_is_refused(tmp_path):
    (tmp_path / "blank").mkdir()
    cv2.imwrite(str(tmp_path / "blank" / "grey.png"), np.full((200, 200, 3), 127, np.uint8))
    with pytest.raises(InputError, match=r"no crops in it|no face"):
        open_unlabelled([str(tmp_path / "blank")], CropSpec(48), AUS, brightness)


def photo_folder(folder, photo_bgr, layout):
    names = ("happiness", "neutral")
    for name in names:
        (folder / name).mkdir(parents=True)
        cv2.imwrite(str(folder / name / "one.jpg"), photo_bgr)
    if layout == "csv":
        lines = ["file,expression", *(f"{name}/one.jpg,{name}" for name in names)]
        (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("layout", ["csv", "folders"])
def test_photos_get_their_expressions_from_a_table_or_folder_names(tmp_path, photo_bgr, layout):
    data, rows = open_photos(photo_folder(tmp_path / "photos", photo_bgr, layout), CropSpec(48), AUS)
    assert [EXPRESSIONS[int(data.expression[row])] for row in rows] == ["happiness", "neutral"]
    assert unlabelled(Batch(torch.zeros(2), None, torch.from_numpy(data.intensity), torch.zeros(2))).all()


def test_an_unknown_expression_is_named(tmp_path, photo_bgr):
    folder = photo_folder(tmp_path / "photos", photo_bgr, "folders")
    (folder / "neutral").rename(folder / "boredom")
    with pytest.raises(InputError, match=r"boredom.*neutral, happiness"):
        open_photos(folder, CropSpec(48), AUS)


def batch_of(count, value, labelled):
    faces = torch.full((count, 8, 8, 3), value, dtype=torch.uint8)
    intensity = torch.zeros(count, 3) if labelled else torch.full((count, 3), float("nan"))
    return Batch(faces, faces.clone(), intensity, torch.full((count,), -1))


def test_batches_are_joined_in_order():
    whole = joined(batch_of(2, 10, True), batch_of(3, 20, False))
    assert whole.face[:, 0, 0, 0].tolist() == [10, 10, 20, 20, 20]
    assert unlabelled(whole).tolist() == [False, False, True, True, True]


def test_undecided_answers_have_no_weight_and_rare_aus_count_more():
    loss = AnswerLoss(np.array([0.5, 0.05]))
    student = torch.zeros(2, 2, requires_grad=True)
    teacher = torch.tensor([[0.0, 8.0], [8.0, 8.0]])
    loss(student, teacher, torch.tensor([True, True])).backward()
    assert student.grad[0, 0] == 0
    assert abs(student.grad[1, 1]) > 2 * abs(student.grad[1, 0])
    assert loss(student, teacher, torch.tensor([False, False])) == 0


def test_mixup_blends_faces_and_labels_alike():
    torch.manual_seed(0)
    batch = batch_of(6, 0, True)
    batch.face[3:], batch.intensity[3:] = 200, 5.0
    first, second, share = mixed(batch, 0.8)
    expected = share * first.intensity[:, 0] + (1 - share) * second.intensity[:, 0]
    assert first.face[:, 0, 0, 0].float() / 200 * 5 == pytest.approx(expected, abs=0.02)
    assert 0 < share < 1


@pytest.mark.parametrize("reads", ["aus", "features"])
def test_only_expressions_of_photos_without_au_labels_are_learnt(tiny_config, reads):
    values = dict(pair.split("=") for pair in tiny_config if pair.startswith("size_px"))
    config = {"aus": AUS, "size_px": int(values["size_px"]), "widths": (16, 16), "depths": (1, 1), "stem_width": 16,
              "block_maps": ((0,),)}  # fmt: skip
    model = build_model("cednn", config)
    objective = Assisted({"m": model}, AuLoss(np.full(3, 0.5), LossOptions()), AssistOptions(1.0, reads))
    faces = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    intensity = torch.full((4, 3), float("nan"))
    intensity[:2] = 1.0
    before = objective(Batch(faces, faces, intensity, torch.tensor([1, 2, 3, 4])))
    after = objective(Batch(faces, faces, intensity, torch.tensor([5, 6, 3, 4])))
    assert before["m/assist"] > 0
    assert before["m/assist"].item() == pytest.approx(after["m/assist"].item(), rel=0.5)
    model.zero_grad()
    before["m/assist"].backward()
    assert model.stem[0].weight.grad.abs().max() > 0


@pytest.mark.parametrize("reads", ["aus", "features"])
def test_assist_heads_are_fitted_before_training_and_weight_rare_expressions(reads):
    torch.manual_seed(0)
    config = {"aus": AUS, "size_px": 32, "widths": (16, 16), "depths": (1, 1), "stem_width": 16, "block_maps": ()}
    objective = Assisted(
        {"m": build_model("cednn", config)}, AuLoss(np.full(3, 0.5), LossOptions()), AssistOptions(1.0, reads)
    )
    # Bright photos of one expression, and a few dark ones of another.
    common, rare = EXPRESSIONS.index("neutral"), EXPRESSIONS.index("sadness")
    faces = np.random.default_rng(0).integers(0, 60, (20, 32, 32, 3)).astype(np.uint8)
    faces[:16, :16] += 150
    data, rows = faces_without_labels(faces, AUS, CropSpec(32), (), expressions=[common] * 16 + [rare] * 4)
    objective.fit_heads(data, rows)
    weights = objective.class_weights
    assert weights[rare] == pytest.approx(2 * weights[common])  # a quarter as many
    assert (16 * weights[common] + 4 * weights[rare]) / 20 == pytest.approx(1)
    assert objective.members["m"].training
    objective.eval()
    batch = Batch(
        torch.from_numpy(faces),
        torch.from_numpy(faces),
        torch.full((20, 3), float("nan")),
        torch.tensor([common] * 16 + [rare] * 4),
    )
    assert objective(batch)["m/assist"] < 0.35 * np.log(len(EXPRESSIONS))


def test_a_model_with_an_expression_head_uses_its_own():
    config = {"aus": AUS, "size_px": 32, "widths": (8, 8), "depths": (1, 1), "branch_width": 8, "gate_width": 8}
    model = build_model("eau", config).eval()
    objective = Assisted({"m": model}, AuLoss(np.full(3, 0.5), LossOptions()), AssistOptions())
    assert len(objective.heads) == 0
    faces = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    intensity = torch.tensor([[1.0] * 3, [float("nan")] * 3])
    losses = [objective(Batch(faces, None, intensity, torch.tensor([-1, word]))) for word in (0, 3)]
    assert "m/assist" not in losses[0]
    assert losses[0]["m/expression"] != losses[1]["m/expression"]
    # The photo's expression reaches the AU branch through the gates.
    losses[0]["m/expression"].backward()
    assert model.exchanges[0].au_block.conv1.weight.grad.abs().max() > 0


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, crop_set, tiny_config):
    out = tmp_path_factory.mktemp("taught") / "run"
    assert main(["train", *words(crop_set, out, tiny_config, "--model", "cednn", "--steps", "100")]) == 0
    return out / "best.pt"


def words(crop_set, out, config, *more):
    pairs = [word for value in config for word in ("--config", value)]
    plain = ["--data", str(crop_set), "--out", str(out), "--device", "cpu", "--batch", "16", "--lr", "0.02"]
    return [*plain, "--eval-every", "50", "--augment", "none", *pairs, *more]


@pytest.mark.slow
def test_a_student_adapts_to_unlabelled_faces(teacher, crop_set, make_crop_set, tmp_path, tiny_config):
    # Another camera: the same cartoons inverted, which the student trained on the original ones can't read.
    away = make_crop_set("away", seed=3, prefix="q")
    for file in (away / "shards").glob("*.npy"):
        np.save(file, 255 - np.load(file))
    own = tmp_path / "teacher"
    both = ["--data", str(away), "--model", "cednn", "--steps", "200"]
    assert main(["train", *words(crop_set, own, tiny_config, *both)]) == 0
    more = ["--teacher", str(own / "best.pt"), "--init", str(teacher), "--steps", "120"]
    command = ["distill", *words(crop_set, tmp_path / "adapted", tiny_config, *more), "--unlabelled", str(away)]
    assert main([*command, "--feature-weight", "0", "--mixup", "0.2"]) == 0
    provenance = load_checkpoint(tmp_path / "adapted" / "best.pt").provenance
    assert provenance["distillation"]["mixup"] == 0.2
    assert provenance["unlabelled"] == [str(away)]
    before, after = (f1_on(away, path) for path in (teacher, tmp_path / "adapted" / "best.pt"))
    assert after > before + 0.1


def f1_on(folder, checkpoint):
    from edgeau.train.checkpoint import model_from_checkpoint
    from edgeau.train.evaluate import mean_f1

    data = open_data([str(folder)])
    model = model_from_checkpoint(load_checkpoint(checkpoint))
    return mean_f1(model, data, data.rows_of(data.subjects), torch.device("cpu"))


@pytest.mark.slow
def test_photos_assist_from_the_command_line_and_a_run_resumes(crop_set, tmp_path, tiny_config, photo_bgr, capsys):
    photos = photo_folder(tmp_path / "photos", photo_bgr, "folders")
    run = tmp_path / "run"
    more = ["--model", "cednn", "--steps", "4", "--assist", str(photos), "--assist-batch", "2"]
    assert main(["train", *words(crop_set, run, tiny_config, *more)]) == 0
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert any("cednn/assist" in line for line in lines)
    provenance = load_checkpoint(run / "best.pt").provenance
    assert provenance["assist"]["weight"] == 0.3
    assert main(["train", "--resume", str(run)]) == 0
    assert main(["train", *words(crop_set, tmp_path / "x", tiny_config, *more[:-3], str(crop_set))]) == 2
    assert "labels.csv" in capsys.readouterr().err
