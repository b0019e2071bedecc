"""Landmarks as heatmaps: a FAN's training target, and how points are read from heatmaps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_RADIUS = 0.1


def heatmap_targets(points_xy: Tensor, size_px: int, heatmap_px: int, sigma: float = 1.0) -> Tensor:
    """Gaussians of height 1 at the points.

    Args:
        points_xy: float [N, L, 2], crop pixels with pixel centres at whole numbers; NaN where a point is unknown.
        size_px, heatmap_px: sides of crop and heatmap.
        sigma: standard deviation in heatmap pixels.

    Returns:
        float [N, L, heatmap_px, heatmap_px]; zeros for unknown points.
    """
    places = (points_xy + 0.5) * (heatmap_px / size_px) - 0.5
    grid = torch.arange(heatmap_px, device=points_xy.device, dtype=points_xy.dtype)
    along_x = torch.exp(-((grid - places[..., 0:1]) ** 2) / (2 * sigma**2))
    along_y = torch.exp(-((grid - places[..., 1:2]) ** 2) / (2 * sigma**2))
    return (along_y[..., :, None] * along_x[..., None, :]).nan_to_num(0.0)


def heatmap_loss(heatmaps: Sequence[Tensor], points_xy: Tensor, size_px: int, sigma: float = 1.0) -> Tensor:
    """Mean squared error of every stack's heatmaps, summed over the stacks; unknown points don't count.

    Args:
        heatmaps: one [N, L, h, h] per stack.
        points_xy, size_px, sigma: as for ``heatmap_targets``.

    Returns:
        A scalar, per heatmap pixel and divided by the mean square of a lone Gaussian, so that 1 is what an empty
        heatmap gives, whatever the resolution.
    """
    side = heatmaps[0].shape[-1]
    target = heatmap_targets(points_xy, size_px, side, sigma)
    known = (~points_xy.isnan().any(dim=-1))[..., None, None].to(target.dtype)
    # Integral of a squared two-dimensional Gaussian of height 1.
    unit = torch.pi * sigma**2
    count = known.sum().clamp_min(1.0)
    return torch.stack([((maps - target) ** 2 * known).sum() / (count * unit) for maps in heatmaps]).sum()


def points_of(heatmaps: Tensor, size_px: int) -> Tensor:
    """Points from heatmaps [N, L, h, h]: the centroid of what lies near the peak, float [N, L, 2] in crop pixels.

    As ibug's face_alignment reads them: positive values within a tenth of the side from the largest.
    """
    side = heatmaps.shape[-1]
    peak = heatmaps.flatten(2).argmax(dim=-1, keepdim=True)
    grid = torch.arange(side, device=heatmaps.device)
    far_x = grid - (peak % side)
    far_y = grid - torch.div(peak, side, rounding_mode="floor")
    near = (far_y[..., :, None] ** 2 + far_x[..., None, :] ** 2) <= (_RADIUS * side) ** 2
    weight = heatmaps.clamp_min(0) * near
    total = weight.sum(dim=(2, 3)).clamp_min(torch.finfo(heatmaps.dtype).tiny)
    x = (weight.sum(dim=2) * grid).sum(dim=-1) / total
    y = (weight.sum(dim=3) * grid).sum(dim=-1) / total
    return (torch.stack([x, y], dim=-1) + 0.5) * (size_px / side) - 0.5
