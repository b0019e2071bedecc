"""A plain residual trunk for the models whose papers' backbones are not known. All sizes are our choice."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a skip (He et al., CVPR 2016): [N, in, h, w] to [N, out, h / stride, w / stride]."""

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or inside != outside:
            self.skip = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + self.skip(x))


class Trunk(nn.Sequential):
    """Image [N, 3, H, W] as Pixels gives it to [N, widths[-1], H / 2^s, W / 2^s] with s = number of stages + 1.

    Args:
        widths, depths: channels and residual blocks of each stage. The first convolution halves the image and so does
            every stage.
    """

    def __init__(self, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        ]  # fmt: skip
        inside = widths[0]
        for width, depth in zip(widths, depths, strict=True):
            for index in range(depth):
                layers.append(ResidualBlock(inside, width, 2 if index == 0 else 1))
                inside = width
        super().__init__(*layers)


def average(features: Tensor) -> Tensor:
    """Average over the map, [N, C, h, h] to [N, C]: a pooling, which every operator set writes in the same way."""
    return functional.avg_pool2d(features, features.shape[-1]).flatten(1)
