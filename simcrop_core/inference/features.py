"""One scan as patch features: the part that is computed once and asked many times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from simcrop_core.imaging.affine import Affine
from simcrop_core.imaging.frame import FrameVolume
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.progress import Job


class PatchEncoder(Protocol):
    """What turns frames into patch features: a grounding model, or an image encoder alone."""

    @property
    def vision(self) -> VisionTransformer:
        """The network; its weights say where and in which number format to compute."""

    @property
    def width(self) -> int:
        """Of what `encode` gives."""

    def encode(self, images_B1HWD: Tensor, /) -> Tensor:
        """(B, N, C) features of frames, z fastest."""


@dataclass(frozen=True, slots=True, eq=False)
class PatchFeatures:
    """Features of every patch of the covered box.

    Attributes:
        features_NC: float32, patches of `grid` with z fastest, not normalised.
        grid: patches along x, y, z.
        affine: (4, 4) patch index → patch centre in patient RAS, mm.
        within_scan_N: patches that hold scan rather than padding only.
        patch_mm: edge lengths of a patch.
    """

    features_NC: Tensor
    grid: tuple[int, int, int]
    affine: Affine
    within_scan_N: Tensor
    patch_mm: tuple[float, float, float]


@torch.inference_mode()
def encode_frame(model: PatchEncoder, frame: FrameVolume, job: Job) -> PatchFeatures:
    """Encode every tile and blend the tiles where they overlap.

    A patch's weight falls linearly towards the edge of its tile, so features pass smoothly from one tile to the next.

    Args:
        model: in the number format and on the device to compute with.
        frame: the tiles of one scan.
        job: told after every tile.
    """
    weight = next(model.vision.parameters())
    grid, tile_grid = frame.patch_grid, model.vision.config.grid
    share_XYZ1 = _tile_weights(tile_grid).unsqueeze(-1)
    blended = torch.zeros(*grid, model.width)
    total = torch.zeros(*grid, 1)
    tiles = len(frame.offsets)
    for done, (image, offset) in enumerate(zip(frame.images_THWD, frame.offsets, strict=True)):
        job.step("Encoding the scan", done, tiles)
        image_B1HWD = torch.from_numpy(image)[None, None].to(weight.device, weight.dtype)
        tokens = model.encode(image_B1HWD)[0].float().cpu()
        first = [(o - f) // p for o, f, p in zip(offset, frame.origin, frame.config.patch, strict=True)]
        where = tuple(slice(f, f + n) for f, n in zip(first, tile_grid, strict=True))
        blended[where] += share_XYZ1 * tokens.reshape(*tile_grid, -1)
        total[where] += share_XYZ1
    job.step("Encoding the scan", tiles, tiles)
    return PatchFeatures(
        features_NC=(blended / total).flatten(0, 2),
        grid=grid,
        affine=frame.patch_affine,
        within_scan_N=torch.from_numpy(frame.patches_within_scan()).flatten(),
        patch_mm=_patch_mm(frame),
    )


def _tile_weights(grid: tuple[int, int, int]) -> Tensor:
    """1 at a tile's edge, growing by 1 a patch towards its middle, multiplied over the axes."""
    x, y, z = (torch.minimum(torch.arange(1.0, n + 1), torch.arange(n, 0.0, -1)) for n in grid)
    return x[:, None, None] * y[None, :, None] * z[None, None, :]


def _patch_mm(frame: FrameVolume) -> tuple[float, float, float]:
    x, y, z = (float(s * p) for s, p in zip(frame.config.spacing_mm, frame.config.patch, strict=True))
    return x, y, z


def patch_index(flat: int, grid: tuple[int, int, int]) -> tuple[int, int, int]:
    """The patch-grid index of a flat patch number (z fastest)."""
    x, y, z = (int(i) for i in np.unravel_index(flat, grid))
    return x, y, z
