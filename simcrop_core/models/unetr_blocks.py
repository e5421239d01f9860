"""The convolution blocks of the UNETR decoder, with the key names of the released weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOPE = 0.01
_EPS = 1e-5

Triple = tuple[int, int, int]


class Convolution(nn.Module):
    """One convolution behind the name `conv`; stride 1, sides kept."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, bias: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W, D) → (B, outputs, H, W, D)."""
        out: Tensor = self.conv(maps)
        return out


class Doubling(nn.Module):
    """A transposed convolution that doubles all three sides, behind the name `conv`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose3d(inputs, outputs, 2, stride=2, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W, D) → (B, outputs, 2H, 2W, 2D)."""
        out: Tensor = self.conv(maps)
        return out


class ResidualBlock(nn.Module):
    """Two 3×3×3 convolutions with instance normalisation and leaky ReLU, and a way around them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = Convolution(inputs, outputs, 3)
        self.conv2 = Convolution(outputs, outputs, 3)
        self.conv3 = Convolution(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W, D) → (B, outputs, H, W, D)."""
        around = maps if self.conv3 is None else _normalised(self.conv3(maps))
        maps = F.leaky_relu_(_normalised(self.conv1(maps)), _SLOPE)
        return F.leaky_relu_(_normalised(self.conv2(maps)).add_(around), _SLOPE)


class ImageBlock(nn.Module):
    """The residual block on the image itself, behind the name `layer`."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layer = ResidualBlock(1, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, H, W, D) → (B, outputs, H, W, D)."""
        out: Tensor = self.layer(images)
        return out


class SkipPath(nn.Module):
    """From a token grid to a map of 2 ** (1 + `more`) times its sides."""

    def __init__(self, inputs: int, outputs: int, more: int) -> None:
        super().__init__()
        self.transp_conv_init = Doubling(inputs, outputs)
        self.blocks = nn.ModuleList(
            nn.Sequential(Doubling(outputs, outputs), ResidualBlock(outputs, outputs)) for _ in range(more)
        )

    def forward(self, grid_BCHWD: Tensor) -> Tensor:
        """(B, inputs, h, w, d) → (B, outputs, sh, sw, sd), s = 2 ** (1 + `more`)."""
        maps: Tensor = self.transp_conv_init(grid_BCHWD)
        for block in self.blocks:
            maps = block(maps)
        return maps


class UpBlock(nn.Module):
    """Double the sides, join the skip, one residual block."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.transp_conv = Doubling(inputs, outputs)
        self.conv_block = ResidualBlock(2 * outputs, outputs)

    def forward(self, maps: Tensor, skip: Tensor) -> Tensor:
        """(B, inputs, H, W, D) with a (B, outputs, 2H, 2W, 2D) skip → (B, outputs, 2H, 2W, 2D)."""
        out: Tensor = self.conv_block(torch.cat([self.transp_conv(maps), skip], dim=1))
        return out


class ToImageSize(nn.Module):
    """Trilinear interpolation to the skip's sides, a convolution, join the skip, one residual block."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.conv_block = ResidualBlock(2 * outputs, outputs)

    def forward(self, maps: Tensor, skip: Tensor) -> Tensor:
        """(B, inputs, any sides) with a (B, outputs, H, W, D) skip → (B, outputs, H, W, D)."""
        size = skip.shape[2:]
        grown = F.interpolate(maps, size=size, mode="trilinear", align_corners=False)
        out: Tensor = self.conv_block(torch.cat([self.conv3d(grown), skip], dim=1))
        return out


def _normalised(maps: Tensor) -> Tensor:
    """Instance normalisation without affine.

    The stock operator turns maps that are channels-last in memory around and back, which costs more than the
    convolutions. One window's batch statistics are its instance statistics, and that operator keeps the layout; in
    float32 it sums less exactly than group normalisation with one group a channel, which is as quick there.
    """
    if maps.dtype == torch.bfloat16 and len(maps) == 1:
        return F.batch_norm(maps, None, None, training=True, eps=_EPS)
    return F.group_norm(maps, maps.shape[1], eps=_EPS)
