"""SMA-Net: several attention maps per region, kept diverse by a loss and refined by one another."""

import pytest
import torch

from edgeau.runtime.errors import InputError
from edgeau.train.models import build_model
from edgeau.train.models.sma_net import InterAttention, MultiChannelAttention, diversity_loss, pick

AUS = ("AU01", "AU04", "AU12")
SMALL = {"aus": AUS, "size_px": 32, "widths": (16, 32), "depths": (1, 1), "relation_width": 8}
FACE = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def spots(*places):
    """Maps of one region that attend to one place each."""
    maps = torch.zeros(1, 1, len(places), 16)
    for channel, place in enumerate(places):
        maps[0, 0, channel, place] = 1
    return maps


def test_diversity_loss_is_lower_for_diverse_maps():
    assert diversity_loss(spots(3, 3, 3)).item() == pytest.approx(1)
    assert diversity_loss(spots(3, 3, 5)).item() == pytest.approx(1 / 3)
    assert diversity_loss(spots(3, 4, 5)).item() == pytest.approx(0)


def test_diversity_loss_compares_maps_of_the_same_region_only():
    maps = torch.cat([spots(1, 2), spots(1, 2)], dim=1)  # two regions that look at the same places
    assert diversity_loss(maps).item() == pytest.approx(0)


def test_minimising_the_diversity_loss_moves_maps_apart():
    torch.manual_seed(0)
    attention = MultiChannelAttention(width=8, regions=2, channels=2)
    features = torch.randn(2, 8, 4, 4)
    optimizer = torch.optim.Adam(attention.parameters(), lr=0.1)
    before = diversity_loss(attention(features)).item()
    for _ in range(30):
        loss = diversity_loss(attention(features))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert diversity_loss(attention(features)).item() < 0.3 * before


def test_each_attention_channel_is_a_distribution_from_its_own_features():
    attention = MultiChannelAttention(width=8, regions=3, channels=2)
    features = torch.randn(1, 8, 4, 4)
    maps = attention(features)
    assert maps.shape == (1, 3, 2, 16)
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(1, 3, 2))
    features[:, 4:] += torch.randn(1, 4, 4, 4)  # the part that the second channel reads
    again = attention(features)
    assert torch.equal(maps[:, :, 0], again[:, :, 0])
    assert not torch.allclose(maps[:, :, 1], again[:, :, 1])


def test_refined_maps_are_distributions_and_mix_within_a_region():
    torch.manual_seed(0)
    refine = InterAttention(width=4, relation_width=4)
    maps = torch.cat([spots(1, 2), spots(8, 9)], dim=1)
    refined = refine(maps, torch.randn(1, 2, 2, 4))
    torch.testing.assert_close(refined.sum(dim=-1), torch.ones(1, 2, 2))
    assert refined[0, 0, 0, 2] > 0  # now also looks where its sister looks
    assert refined[0, 0, 0, 8] == 0  # not where the other region looks


def test_pick_averages_features_under_maps():
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert pick(features, spots(3, 7)).flatten().tolist() == [3, 7]


def test_the_diversity_loss_applies_in_training_only():
    model = build_model("sma-net", {**SMALL, "diversity_weight": 0.5})
    assert 0 < model.train()(FACE).losses["diversity"].item() <= 0.5
    assert model.eval()(FACE).losses == {}


def test_a_single_map_per_region_has_no_diversity_loss():
    assert build_model("sma-net", {**SMALL, "attention_channels": 1}).train()(FACE).losses == {}


def test_attention_channels_must_divide_the_width():
    with pytest.raises(InputError, match="attention_channels: got 5, expected a divisor of the last width, 32"):
        build_model("sma-net", {**SMALL, "attention_channels": 5})
