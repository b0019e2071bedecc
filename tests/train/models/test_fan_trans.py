"""FAN-Trans: a frozen FAN, learnable attention drop, and a classifier that uses all features for each AU."""

import pytest
import torch

from edgeau.runtime.errors import InputError
from edgeau.train.models import build_model
from edgeau.train.models.fan import Fan, FanConfig
from edgeau.train.models.fan_trans import AttentionDrop

AUS = ("AU01", "AU04", "AU12")
SMALL = {"aus": AUS, "size_px": 32, "fan_width": 16, "fan_depth": 2, "width": 16, "heads": 2, "addon_blocks": 1}
FACE = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_frozen_fan_is_unchanged_by_training():
    model = build_model("fan-trans", SMALL).train()
    before = {name: value.clone() for name, value in model.fan.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(FACE).au_logits.sum().backward()
    optimizer.step()
    assert all(torch.equal(before[name], value) for name, value in model.fan.state_dict().items())
    assert not model.fan.training
    assert model.addon.training


def test_an_unfrozen_fan_learns():
    model = build_model("fan-trans", {**SMALL, "freeze_fan": False}).train()
    model(FACE).au_logits.sin().sum().backward()
    assert model.fan.conv1.weight.grad.abs().any()
    assert model.fan.training


def test_load_fan_uses_the_weights_of_a_trained_fan():
    model = build_model("fan-trans", {**SMALL, "pixels": "scaled"}).eval()
    fan = Fan(FanConfig(width=16, depth=2)).eval()
    before = model(FACE).au_logits
    model.load_fan(fan)
    assert torch.equal(model.landmark_maps(FACE).heatmaps[-1], fan(FACE.permute(0, 3, 1, 2) / 255).heatmaps[-1])
    assert not torch.allclose(model(FACE).au_logits, before)


@pytest.mark.parametrize("other", [FanConfig(width=32, depth=2), FanConfig(width=16, depth=2, pooling="avg")])
def test_a_fan_of_other_sizes_or_pooling_is_refused(other):
    with pytest.raises(InputError, match="FAN weights"):
        build_model("fan-trans", SMALL).load_fan(Fan(other))


def test_attention_drop_is_random_in_training_and_deterministic_in_evaluation():
    drop = AttentionDrop(aus=3, heads=2, drop=0.3, temperature=0.5)
    scores = torch.zeros(1, 2, 3, 3)
    assert not torch.equal(drop.train()(scores), drop(scores))
    assert torch.equal(drop.eval()(scores), drop(scores))


def test_attention_drop_keeps_an_aus_own_attention_and_lowers_the_others():
    drop = AttentionDrop(aus=3, heads=1, drop=0.3, temperature=0.5).eval()
    kept = drop(torch.zeros(1, 1, 3, 3)).exp()[0, 0]
    assert kept.diagonal().tolist() == [1, 1, 1]
    assert kept[0, 1].item() == pytest.approx(0.7)
    attention = drop(torch.zeros(1, 1, 3, 3)).softmax(dim=-1)[0, 0]
    assert attention[0].tolist() == pytest.approx([1 / 2.4, 0.7 / 2.4, 0.7 / 2.4])


def test_attention_drop_drops_at_its_rate():
    torch.manual_seed(0)
    drop = AttentionDrop(aus=2, heads=1, drop=0.3, temperature=0.5).train()
    kept = drop(torch.zeros(4000, 1, 2, 2)).exp()[:, 0, 0, 1]
    # The relaxed mask is above one half exactly as often as the Bernoulli mask is 1; 3 standard deviations are 0.022.
    assert (kept > 0.5).float().mean().item() == pytest.approx(0.7, abs=0.022)


def test_drop_rates_are_learnt():
    drop = AttentionDrop(aus=3, heads=1, drop=0.3, temperature=0.5).train()
    drop(torch.randn(8, 1, 3, 3)).softmax(dim=-1)[..., 0].sum().backward()
    off_diagonal = ~torch.eye(3, dtype=torch.bool)
    assert (drop.keep_logit.grad[0][off_diagonal] != 0).all()


def test_each_au_is_predicted_from_all_aus_features():
    model = build_model("fan-trans", SMALL).eval()
    weight = model.classifier.weight.detach().unflatten(1, (len(AUS), -1))
    assert weight.shape == (3, 3, 16)
    assert (weight.abs().sum(dim=-1) > 0).all()


def test_sizes_that_the_fan_cannot_halve_are_refused():
    with pytest.raises(InputError, match="multiple of 64"):
        build_model("fan-trans", {"aus": AUS, "size_px": 112})


def test_with_difference_the_neutral_matters_and_defaults_to_the_face():
    torch.manual_seed(0)
    model = build_model("fan-trans", {**SMALL, "difference": True}).eval()
    assert model.takes_neutral
    alone = model(FACE).au_logits
    assert torch.allclose(model(FACE, FACE).au_logits, alone, atol=1e-6)
    assert not torch.allclose(model(FACE, FACE.flip(0)).au_logits, alone, atol=1e-4)


def test_without_difference_the_neutral_is_ignored():
    model = build_model("fan-trans", SMALL).eval()
    assert not model.takes_neutral
    assert torch.equal(model(FACE, FACE.flip(0)).au_logits, model(FACE).au_logits)
