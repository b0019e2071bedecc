"""The AU loss against its definition."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from edgeau.runtime.errors import InputError
from edgeau.train.losses import (
    AuLoss,
    LossOptions,
    expression_loss,
    frequencies,
    inverse_frequency_weights,
    masked_mean,
    presence_target,
)


def test_class_weights_reproduce_those_published_for_bp4d():
    """ME-GraphAU's weights for its first fold follow from the occurrence rates of BP4D's parts 1 and 2."""
    part1 = np.array([16.4, 16.1, 19.9, 41.6, 59.0, 57.6, 55.8, 40.0, 15.1, 31.8, 15.8, 14.0])
    part2 = np.array([20.4, 13.1, 19.7, 46.5, 55.1, 55.7, 52.2, 51.3, 20.0, 36.6, 17.3, 15.7])
    rates = (part1 * 50631 + part2 * 50182) / (50631 + 50182) / 100
    published = [1.343, 1.690, 1.248, 0.561, 0.433, 0.436, 0.457, 0.541, 1.408, 0.723, 1.493, 1.667]
    assert inverse_frequency_weights(rates) == pytest.approx(published, abs=0.006)
    assert inverse_frequency_weights(rates).mean() == pytest.approx(1)


def test_rare_and_missing_aus_have_finite_weights():
    intensity = np.array([[0, np.nan, 5], [0, np.nan, 5], [0, np.nan, 5]], np.float32)
    rate = frequencies(intensity, 2.0)
    assert ((rate > 0) & (rate < 1)).all()
    assert np.isfinite(inverse_frequency_weights(rate)).all()


def test_the_loss_is_weighted_binary_cross_entropy_over_labelled_entries():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 3, generator=generator)
    intensity = torch.randint(0, 6, (6, 3), generator=generator).float()
    intensity[0, 1] = intensity[3, 2] = torch.nan
    rate = np.array([0.1, 0.3, 0.5])
    loss = AuLoss(rate, LossOptions(pos_weight_power=0.5))(logits, intensity)
    known = ~intensity.isnan()
    each = functional.binary_cross_entropy_with_logits(
        logits,
        (intensity >= 2).float(),
        weight=torch.tensor(inverse_frequency_weights(rate), dtype=torch.float32),
        pos_weight=torch.tensor(((1 - rate) / rate) ** 0.5, dtype=torch.float32),
        reduction="none",
    )
    assert loss.item() == pytest.approx(each[known].mean().item(), rel=1e-5)


def test_unlabelled_entries_get_no_gradient():
    logits = torch.zeros(2, 2, requires_grad=True)
    AuLoss(np.array([0.5, 0.5]), LossOptions())(logits, torch.tensor([[5.0, torch.nan], [0.0, 1.0]])).backward()
    assert logits.grad[0, 1] == 0
    assert (logits.grad.flatten()[[0, 2, 3]] != 0).all()


def test_the_loss_without_labels_is_zero():
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = AuLoss(np.array([0.5, 0.5]), LossOptions())(logits, torch.full((2, 2), torch.nan))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_targets_are_hard_soft_or_smoothed():
    intensity = torch.tensor([0.0, 1.0, 1.75, 2.0, 2.5, 3.0, torch.nan])
    hard = presence_target(intensity, LossOptions())
    assert hard[:6].tolist() == [0, 0, 0, 1, 1, 1]
    assert hard[6].isnan()
    soft = presence_target(intensity, LossOptions(softness=1.0))
    assert soft[:6].tolist() == pytest.approx([0, 0, 0.375, 0.5, 0.75, 1])
    assert soft[6].isnan()
    smooth = presence_target(intensity, LossOptions(smoothing=0.1))
    assert smooth[:6].tolist() == pytest.approx([0.05, 0.05, 0.05, 0.95, 0.95, 0.95])


def test_smooth_class_weights_raise_rare_presence():
    rate = np.array([0.05, 0.5])
    options = LossOptions(class_weights="smooth", smoothness=0.5)
    loss = AuLoss(rate, options)
    assert loss.present[0] > 1 > loss.absent[0]
    assert loss.present[1] == pytest.approx(loss.absent[1])


def test_unknown_expressions_are_ignored():
    logits = torch.tensor([[2.0, 0.0], [0.0, 9.0]])
    known = expression_loss(logits, torch.tensor([0, -1]))
    assert known.item() == pytest.approx(functional.cross_entropy(logits[:1], torch.tensor([0])).item())
    assert expression_loss(logits, torch.tensor([-1, -1])).item() == 0


def test_masked_mean_ignores_masked_nan():
    assert masked_mean(torch.tensor([1.0, torch.nan]), torch.tensor([True, False])).item() == 1


def test_unknown_class_weights_are_an_error():
    with pytest.raises(InputError, match="frequency"):
        LossOptions(class_weights="balanced")
