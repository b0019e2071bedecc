"""EAU: two tasks that exchange features through gates, and a smooth class-weighted loss."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgeau.train.models import build_model
from edgeau.train.models.eau import AttentionGate, smooth_class_weighted_loss, smooth_class_weights

SMALL = {"aus": ("AU01", "AU12"), "size_px": 32, "widths": (16, 32), "depths": (1, 1), "branch_width": 16}
FACE = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("loss_of", "reached"), [("au_logits", "expression_block"), ("expression_logits", "au_block")])
def test_each_tasks_loss_reaches_the_other_tasks_branch(loss_of, reached):
    model = build_model("eau", {**SMALL, "exchanges": 1}).train()
    getattr(model(FACE), loss_of).sin().sum().backward()
    block = getattr(model.exchanges[0], reached)
    assert block.conv1.weight.grad.abs().any()


def test_a_closed_gate_adds_nothing_and_an_open_one_everything():
    gate = AttentionGate(width=4, inner=2).eval()
    own, other = torch.randn(2, 1, 4, 3, 3)
    torch.nn.init.zeros_(gate.gate.weight)
    torch.nn.init.constant_(gate.gate.bias, -50)
    torch.testing.assert_close(gate(own, other), own)
    torch.nn.init.constant_(gate.gate.bias, 50)
    torch.testing.assert_close(gate(own, other), own + gate.taken(other))


def test_class_weights_are_equal_at_smoothness_1_and_balanced_at_0():
    frequency = torch.tensor([0.1, 0.5])
    assert [w.tolist() for w in smooth_class_weights(frequency, 1.0)] == [[1, 1], [1, 1]]
    present, absent = smooth_class_weights(frequency, 0.0)
    torch.testing.assert_close(frequency * present, (1 - frequency) * absent)


@given(st.floats(0.001, 0.999), st.floats(0, 1))
def test_the_expected_weight_is_one_and_the_rare_class_weighs_more(frequency, smoothness):
    rate = torch.tensor([frequency], dtype=torch.float64)
    present, absent = smooth_class_weights(rate, smoothness)
    assert (rate * present + (1 - rate) * absent).item() == pytest.approx(1)
    if frequency < 0.49 and smoothness < 0.99:
        assert present > absent


def test_the_loss_is_cross_entropy_at_smoothness_1():
    logits, target = torch.randn(5, 2), torch.randint(0, 2, (5, 2)).float()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
    torch.testing.assert_close(smooth_class_weighted_loss(logits, target, torch.tensor([0.2, 0.3]), 1.0), expected)


def test_unlabelled_entries_are_ignored():
    logits = torch.tensor([[0.3, 2.0]], requires_grad=True)
    target = torch.tensor([[1.0, float("nan")]])
    loss = smooth_class_weighted_loss(logits, target, torch.tensor([0.2, 0.3]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad[0, 1] == 0
