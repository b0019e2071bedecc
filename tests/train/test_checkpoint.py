"""Checkpoints survive a round trip, or the error says in one line why not."""

import dataclasses

import pytest
import torch

from edgeau.runtime.errors import InputError
from edgeau.runtime.manifest import CropSpec, NeutralSpec
from edgeau.train.checkpoint import Checkpoint, load_checkpoint, model_from_checkpoint, save_checkpoint
from edgeau.train.models import build_model, resolve_model

AUS = ("AU01", "AU12")


@pytest.fixture(scope="module")
def checkpoint():
    torch.manual_seed(3)
    family, config = resolve_model("cednn-s", {"aus": AUS, "size_px": 64})
    model = build_model(family, config)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.zeros(2, 64, 64, 3, dtype=torch.uint8)).au_logits.sum().backward()
    optimizer.step()
    return Checkpoint(
        family=family,
        config=config,
        state_dict=model.state_dict(),
        crop=CropSpec(size_px=64),
        neutral=NeutralSpec("running", 5),
        thresholds=(0.5, 0.4),
        provenance={"data": "synthetic:subjects=8", "seed": 3, "f1": {"AU01": 0.5}},
        trainer={"optimizer": optimizer.state_dict(), "rng": torch.get_rng_state(), "step": 1},
    )


def test_a_checkpoint_survives_a_round_trip(checkpoint, tmp_path):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    again = load_checkpoint(tmp_path / "a.pt")
    for name in ("family", "config", "crop", "neutral", "thresholds", "provenance"):
        assert getattr(again, name) == getattr(checkpoint, name)
    assert all(torch.equal(again.state_dict[name], value) for name, value in checkpoint.state_dict.items())
    assert torch.equal(again.trainer["rng"], checkpoint.trainer["rng"])
    optimizer = torch.optim.AdamW(build_model(again.family, again.config).parameters())
    optimizer.load_state_dict(again.trainer["optimizer"])


def test_a_loaded_model_gives_the_same_outputs(checkpoint, tmp_path):
    model = build_model(checkpoint.family, checkpoint.config)
    model.load_state_dict(checkpoint.state_dict)
    face, neutral = torch.randint(0, 256, (2, 2, 64, 64, 3), dtype=torch.uint8)
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    again = model_from_checkpoint(load_checkpoint(tmp_path / "a.pt"))
    assert not again.training
    assert torch.equal(again(face, neutral).au_logits, model.eval()(face, neutral).au_logits)


def test_checkpoints_without_the_pixels_option_use_scaled_pixels(checkpoint, tmp_path):
    config = {name: value for name, value in checkpoint.config.items() if name != "pixels"}
    save_checkpoint(tmp_path / "a.pt", dataclasses.replace(checkpoint, config=config))
    assert model_from_checkpoint(load_checkpoint(tmp_path / "a.pt")).config.pixels == "scaled"
    save_checkpoint(tmp_path / "b.pt", checkpoint)
    assert load_checkpoint(tmp_path / "b.pt").config["pixels"] == "standardised"


def test_the_error_names_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.pt: got no such file"):
        load_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize("keep", [0, 10, 500, 0.5, 0.99])
def test_a_truncated_file_is_refused(checkpoint, tmp_path, keep):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    data = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "b.pt").write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises(InputError, match="truncated or foreign"):
        load_checkpoint(tmp_path / "b.pt")


@pytest.mark.parametrize(
    "content", [b"not a checkpoint", b"\x80\x04K\x01.", b"PK\x05\x06" + bytes(18), b"\x89PNG\r\n\x1a\n" * 50]
)
def test_a_foreign_file_is_refused(tmp_path, content):
    (tmp_path / "b.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.pt"):
        load_checkpoint(tmp_path / "b.pt")


def test_weights_of_another_program_are_refused(tmp_path):
    torch.save({"state_dict": {"conv.weight": torch.zeros(3)}}, tmp_path / "b.pt")
    with pytest.raises(InputError, match="another format"):
        load_checkpoint(tmp_path / "b.pt")


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Runs:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save({"format": "edgeau-checkpoint", "version": 1, "x": Runs()}, tmp_path / "b.pt")
    with pytest.raises(InputError, match="foreign"):
        load_checkpoint(tmp_path / "b.pt")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", torch.ones(3)),
        ("family", []),
        ("config", None),
        ("state_dict", []),
        ("state_dict", {"a": "text"}),
        ("crop", {"size_px": "x"}),
        ("crop", {"size_px": 64, "template": "x"}),
        ("neutral", {"policy": "none", "more": 1}),
        ("thresholds", True),
        ("thresholds", [float("nan"), 0.5]),
        ("provenance", torch.ones(3)),
        ("trainer", "x"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused(checkpoint, tmp_path, field, value):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    values = torch.load(tmp_path / "a.pt", weights_only=True)
    torch.save({**values, field: value}, tmp_path / "b.pt")
    with pytest.raises(InputError, match=r"b\.pt"):
        load_checkpoint(tmp_path / "b.pt")


def test_values_that_cannot_be_loaded_again_are_not_saved(checkpoint, tmp_path):
    with pytest.raises(TypeError, match="plain values"):
        save_checkpoint(tmp_path / "a.pt", dataclasses.replace(checkpoint, provenance={"path": tmp_path}))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_previous_checkpoint(checkpoint, tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    before = (tmp_path / "a.pt").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path / "a.pt", dataclasses.replace(checkpoint, thresholds=(0.1, 0.1)))
    monkeypatch.undo()
    assert (tmp_path / "a.pt").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_weights_that_do_not_match_the_configuration_are_refused(checkpoint):
    other = dataclasses.replace(checkpoint, config={**checkpoint.config, "stem_width": 32})
    with pytest.raises(InputError, match="weights of the cednn checkpoint"):
        model_from_checkpoint(other)
