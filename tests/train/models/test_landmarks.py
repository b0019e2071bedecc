"""Converting landmarks to heatmaps and back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeau.train.models.fan import Fan, FanConfig
from edgeau.train.models.landmarks import heatmap_loss, heatmap_targets, points_of

inside = st.floats(12, 100)


@settings(max_examples=50)
@given(st.lists(st.tuples(inside, inside), min_size=1, max_size=5))
def test_points_survive_a_round_trip_through_heatmaps(points):
    given_xy = torch.tensor([points])
    recovered = points_of(heatmap_targets(given_xy, 112, 28), 112)
    torch.testing.assert_close(recovered, given_xy, atol=0.3, rtol=0)


def test_a_gaussian_peaks_at_its_point():
    # Crop pixel 37.5 is the border between pixels 37 and 38, which is the centre of heatmap pixel 9 of 4 x 4 pixels.
    target = heatmap_targets(torch.tensor([[[37.5, 5.5]]]), 112, 28)
    assert target.shape == (1, 1, 28, 28)
    assert target[0, 0, 1, 9].item() == pytest.approx(1)
    assert target[0, 0, 1, 10].item() == pytest.approx(0.60653, abs=1e-5)  # exp(-1/2), one sigma away


def test_the_loss_is_one_for_empty_maps_and_zero_for_correct_ones():
    points = torch.tensor([[[40.0, 60.0], [80.0, 30.0]]])
    right = heatmap_targets(points, 112, 28)
    assert heatmap_loss([torch.zeros_like(right)], points, 112).item() == pytest.approx(1, abs=0.01)
    assert heatmap_loss([right, right], points, 112).item() == pytest.approx(0, abs=1e-9)


def test_unknown_points_are_ignored():
    points = torch.tensor([[[40.0, 60.0], [float("nan"), float("nan")]]])
    maps = heatmap_targets(points, 112, 28)
    maps[0, 1] = 5.0
    maps.requires_grad_(True)
    loss = heatmap_loss([maps], points, 112)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-9)
    assert not maps.grad[0, 1].any()


def test_a_small_fan_learns_to_locate_a_bright_square():
    torch.manual_seed(0)
    fan = Fan(FanConfig(stacks=1, width=16, depth=1, landmarks=1)).train()
    centres = torch.randint(8, 24, (16, 2))
    images = torch.zeros(16, 3, 32, 32)
    for image, (x, y) in zip(images, centres, strict=True):
        image[:, y - 3 : y + 4, x - 3 : x + 4] = 1
    points = centres[:, None].float()
    optimizer = torch.optim.Adam(fan.parameters(), lr=1e-2)
    for _ in range(60):
        loss = heatmap_loss(fan(images).heatmaps, points, 32)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error_px = (points_of(fan(images).heatmaps[-1].detach(), 32) - points).norm(dim=-1)
    assert error_px.mean() < 2
