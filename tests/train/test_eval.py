"""`edgeau eval` on checkpoints and packages."""

import json

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from fakes.data_sets import write_disfa
from onnx import TensorProto, helper, numpy_helper

from edgeau.runtime.action_units import DISFA
from edgeau.runtime.cli import main
from edgeau.runtime.files import sha256_file
from edgeau.runtime.manifest import InputSpec, Manifest, Variant
from edgeau.runtime.package import Package

AUS = ("AU01", "AU12", "AU25")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, crop_set, tiny_config):
    out = tmp_path_factory.mktemp("run") / "run"
    pairs = [word for value in tiny_config for word in ("--config", value)]
    plain = ["train", "--model", "cednn", "--data", str(crop_set), "--out", str(out), "--device", "cpu"]
    assert main([*plain, "--steps", "40", "--eval-every", "20", "--batch", "16", "--lr", "0.01", *pairs]) == 0
    return out / "best.pt"


def evaluated(capsys, *words):
    assert main(["eval", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_checkpoint_is_evaluated_on_its_held_out_subjects(checkpoint, crop_set, capsys):
    result = evaluated(capsys, checkpoint, "--data", crop_set)
    reported = json.loads((checkpoint.parent / "metrics.json").read_text())["members"]["cednn"]["test"]
    assert result["subject_count"] == 1
    assert result["mean_f1"] == pytest.approx(reported["mean_f1"])
    assert result["per_au"].keys() == set(AUS)
    everyone = evaluated(capsys, checkpoint, "--data", crop_set, "--subjects", "all")
    assert everyone["subject_count"] == 8
    assert everyone["samples"] == 8 * 12


def test_subjects_and_limit_select_samples(checkpoint, crop_set, capsys):
    result = evaluated(capsys, checkpoint, "--data", crop_set, "--subjects", "p1@0,p3@0", "--limit", "10")
    assert (result["subject_count"], result["samples"]) == (2, 10)


def test_the_table_has_a_row_per_au_and_the_mean(checkpoint, crop_set, capsys):
    assert main(["eval", str(checkpoint), "--data", str(crop_set)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:6]] == ["AU", *AUS, "mean"]


def test_data_with_only_training_subjects_is_refused(checkpoint, crop_set, tmp_path, capsys):
    from edgeau.train.checkpoint import load_checkpoint

    parts = load_checkpoint(checkpoint).provenance["subjects"]
    only = tmp_path / "seen"
    (only / "shards").mkdir(parents=True)
    index = json.loads((crop_set / "index.json").read_text())
    index["shards"] = [entry for entry in index["shards"] if f"{entry['subject']}@0" in parts["train"]]
    (only / "index.json").write_text(json.dumps(index))
    for entry in index["shards"]:
        for suffix in ("npy", "npz"):
            name = f"shards/{entry['name']}.{suffix}"
            (only / name).write_bytes((crop_set / name).read_bytes())
    assert main(["eval", str(checkpoint), "--data", str(only)]) == 2
    assert "--subjects all" in capsys.readouterr().err


@pytest.fixture
def brightness_package(tmp_path):
    """A package whose AU01 is the face's mean, AU12 the neutral's and AU25 the mean of both, all divided by 255."""

    def mean(name):
        return [
            helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", [f"{name}_f"], [f"{name}_m"], axes=[1, 2], keepdims=0),
            helper.make_node("ReduceMean", [f"{name}_m"], [f"{name}_s"], axes=[1], keepdims=1),
        ]

    tail = [
        helper.make_node("Add", ["face_s", "neutral_s"], ["both"]),
        helper.make_node("Div", ["both", "two"], ["half"]),
        helper.make_node("Concat", ["face_s", "neutral_s", "half"], ["all"], axis=1),
        helper.make_node("Div", ["all", "full"], ["au"]),
    ]
    numbers = [helper.make_tensor(n, TensorProto.FLOAT, [1], [v]) for n, v in (("two", 2.0), ("full", 255.0))]
    inputs = [helper.make_tensor_value_info(n, TensorProto.UINT8, ["N", 32, 32, 3]) for n in ("face", "neutral")]
    output = helper.make_tensor_value_info("au", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph([*mean("face"), *mean("neutral"), *tail], "g", inputs, [output], numbers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    manifest = Manifest(
        "bright", "imported", AUS, (0.5, 0.6, 0.7), (InputSpec("face", 32, 32), InputSpec("neutral", 32, 32))
    )

    return save_package(tmp_path / "bright.edgeau", manifest, model)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_package_is_evaluated_through_its_backend(brightness_package, crop_set, capsys, backend):
    result = evaluated(capsys, brightness_package, "--data", crop_set, "--backend", backend)
    pixels = [np.load(file) for file in sorted((crop_set / "shards").glob("*.npy"))]
    labels = [np.load(file)["au"] for file in sorted((crop_set / "shards").glob("*.npz"))]
    guess = np.concatenate([p.mean(axis=(1, 2, 3)) / 255 for p in pixels]) >= 0.5
    truth = np.concatenate(labels)[:, 0] >= 2
    one = result["per_au"]["AU01"]
    assert (one["labelled"], one["positives"]) == (96, truth.sum())
    assert one["accuracy"] == pytest.approx((guess == truth).mean(), abs=0.02)
    neutral_guess = np.concatenate([np.full(len(p), p[0].mean() / 255) for p in pixels]) >= 0.5
    truth = np.concatenate(labels)[:, 1] >= 2
    assert result["per_au"]["AU12"]["accuracy"] == pytest.approx((neutral_guess == truth).mean(), abs=0.02)
    assert result["backend"] == backend


def test_own_thresholds_uses_the_packages_thresholds(brightness_package, crop_set, capsys):
    plain = evaluated(capsys, brightness_package, "--data", crop_set)
    own = evaluated(capsys, brightness_package, "--data", crop_set, "--own-thresholds")
    assert own["per_au"]["AU01"] == plain["per_au"]["AU01"]
    assert own["per_au"]["AU25"]["recall"] < plain["per_au"]["AU25"]["recall"]


def bar_package(folder):
    """A package for DISFA's AUs whose probabilities follow the bars of `write_disfa`, well for all but two of them."""
    rng = np.random.default_rng(0)
    kernel = np.full((4, 3, 4, 112), 1 / (3 * 4 * 112 * 255), np.float32) * rng.uniform(0.5, 1.5, (4, 1, 1, 1))
    weight, bias = np.zeros((4 * 28, len(DISFA)), np.float32), np.full(len(DISFA), -22.0, np.float32)
    for column, au in enumerate(DISFA):
        weight[int(au[2:]) % 28 :: 28, column] = 40 / kernel.sum(axis=(1, 2, 3)) / 4 / 255
    bias[:2] = 9, -60  # always and never
    arrays = {"kernel": kernel.astype(np.float32), "weight": weight, "bias": bias, "flat": np.array([0, 112])}
    nodes = [
        helper.make_node("Cast", ["face"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["rows"], kernel_shape=[4, 112], strides=[4, 112]),
        helper.make_node("Relu", ["rows"], ["positive"]),
        helper.make_node("Reshape", ["positive", "flat"], ["table"]),
        helper.make_node("Gemm", ["table", "weight", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["au"]),
    ]
    graph = helper.make_graph(
        nodes, "bars", [helper.make_tensor_value_info("face", TensorProto.UINT8, ["N", 112, 112, 3])],
        [helper.make_tensor_value_info("au", TensorProto.FLOAT, ["N", len(DISFA)])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    manifest = Manifest("bars", "imported", DISFA, (0.5,) * len(DISFA), (InputSpec("face", 112, 112),))
    return save_package(folder / "bars.edgeau", manifest, model)


def save_package(path, manifest, model):
    """A package with one FP32 variant."""

    def files(folder):
        file = folder / "fp32.onnx"
        onnx.save(model, str(file))
        runs_on = ("onnxruntime", "openvino")
        return manifest.with_variant(
            Variant("fp32", file.name, sha256_file(file), file.stat().st_size, "fp32", runs_on)
        )

    return Package.create(path, manifest, files).path


def test_fp32_and_int8_packages_are_evaluated_on_the_original_files_of_a_data_set(tmp_path, capsys):
    """A copy of DISFA with synthetic faces. The expected F1 is computed with ONNX Runtime and scikit-learn only."""
    reference = pytest.importorskip("sklearn.metrics")
    root, package = write_disfa(tmp_path / "DISFA"), bar_package(tmp_path)
    words = ["quantize", str(package), "--calib", f"disfa:{root}", "--targets", "onnxruntime", "--samples", "16"]
    assert main(words) == 0
    capsys.readouterr()
    faces, levels = pictures_of_disfa(root, ("SN003", "SN004"))
    for variant in ("fp32", "int8-ort"):
        words = ["--data", f"disfa:{root}", "--variant", variant, "--backend", "onnxruntime"]
        measured = evaluated(capsys, package, *words, "--subjects", "SN003,SN004")
        assert (measured["subject_count"], measured["samples"], measured["variant"]) == (2, len(faces), variant)
        session = onnxruntime.InferenceSession(str(package / f"{variant}.onnx"))
        (probability,) = session.run(["au"], {"face": faces})
        by_hand = [
            reference.f1_score(levels[au] >= 2, probability[:, column] >= 0.5, zero_division=0)
            for column, au in enumerate(DISFA)
        ]
        assert [measured["per_au"][au]["f1"] for au in DISFA] == pytest.approx(by_hand)
        assert measured["mean_f1"] == pytest.approx(np.mean(by_hand))
        assert by_hand[:2] == [pytest.approx(2 * 2 / (2 + 12)), 0]  # AU01 is in two of twelve pictures
        assert by_hand[2:] == pytest.approx([1] * 6, abs=0.2)


def pictures_of_disfa(root, subjects):
    """Pictures uint8 [N, 112, 112, 3], RGB, and intensities by AU, float [N], read by hand."""
    faces, levels = [], {au: [] for au in DISFA}
    for subject in subjects:
        files = sorted((root / "Images" / subject).glob("*.png"), key=lambda file: int(file.stem))
        faces += [cv2.imread(str(file))[:, :, ::-1] for file in files]
        for au in DISFA:
            table = np.loadtxt(root / "ActionUnit_Labels" / subject / f"{subject}_au{int(au[2:])}.txt", delimiter=",")
            levels[au] += table[:, 1].tolist()
    return np.stack(faces), {au: np.array(values) for au, values in levels.items()}


def test_flip_averaging_averages_the_logits_of_both_images():
    """As the published evaluation of AU-Net does."""
    import torch

    from edgeau.train.batches import Batch
    from edgeau.train.evaluate import Predictor, flip_averaged

    def left_half(batch):
        return {
            "au": batch.face[:, :, :2].numpy().mean(axis=(1, 2, 3))[:, None] / 255,
            "intensity": batch.neutral[:, :, :2].numpy().mean(axis=(1, 2, 3))[:, None] / 51,
        }

    face = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    face[:, :, :2], face[:, :, 2:] = 51, 230
    batch = Batch(face, face, torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64))
    outputs = flip_averaged(Predictor(left_half, ("AU01",), 4, True)).outputs(batch)
    left, right = 51 / 255, 230 / 255
    logit = (np.log(left / (1 - left)) + np.log(right / (1 - right))) / 2
    assert outputs["au"][0, 0] == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-5)
    assert outputs["intensity"][0, 0] == pytest.approx((1 + 230 / 51) / 2, rel=1e-5)


def test_flip_averaging_is_off_by_default_and_reported_when_on(checkpoint, crop_set, capsys):
    assert evaluated(capsys, checkpoint, "--data", crop_set)["flip_averaged"] is False
    assert evaluated(capsys, checkpoint, "--data", crop_set, "--flip")["flip_averaged"] is True
    assert main(["eval", str(checkpoint), "--data", str(crop_set), "--flip"]) == 0
    assert "averaged over each face and its mirror image" in capsys.readouterr().out


def test_a_file_that_is_not_a_model_is_a_one_line_error(crop_set, tmp_path, capsys):
    (tmp_path / "broken.pt").write_bytes(b"no checkpoint")
    for model in (tmp_path / "none.pt", tmp_path / "broken.pt", tmp_path):
        assert main(["eval", str(model), "--data", str(crop_set)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
