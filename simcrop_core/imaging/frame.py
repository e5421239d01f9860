"""From a volume to the model's frame: one box of voxels around the lungs, or several that cover them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcrop_core.imaging.affine import Affine, apply, scaled, translated
from simcrop_core.imaging.chest_checks import no_lungs
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.lattice import Lattice, Triple, index_in, lattice_of
from simcrop_core.imaging.lungs import LungEstimate, estimate_lungs
from simcrop_core.imaging.resample import resample_box
from simcrop_core.imaging.volume import Volume

# Lung kept clear of the frame's edge, so that the chest wall beside it is seen too.
LUNG_MARGIN_MM = 12.0
# A patch with less scan than this share of its edge has nothing to say.
_LEAST_SCAN_SHARE = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class FrameVolume:
    """What the model sees of one scan.

    Attributes:
        images_THWD: float32 (tiles, frame shape), HU window mapped to −1…1.
        offsets: lattice index of each tile's first point; they differ by whole patches.
        lattice: the grid they are cut from.
        config: the frame they follow.
        lungs: the estimate they were placed by; None where no lungs were looked for or found.
    """

    images_THWD: NDArray[np.float32]
    offsets: tuple[Triple, ...]
    lattice: Lattice
    config: FrameConfig
    lungs: LungEstimate | None

    @property
    def origin(self) -> Triple:
        """Lattice index of the first point that any tile covers."""
        x, y, z = (int(v) for v in np.min(self.offsets, axis=0))
        return x, y, z

    @property
    def patch_grid(self) -> Triple:
        """Patches along each axis of the whole covered box."""
        extent = np.max(self.offsets, axis=0) - self.origin + self.config.shape
        x, y, z = (int(v) for v in extent // np.asarray(self.config.patch))
        return x, y, z

    @property
    def affine(self) -> Affine:
        """(4, 4) voxel of the covered box → patient RAS, mm."""
        return translated(self.lattice.affine, self.origin)

    @property
    def patch_affine(self) -> Affine:
        """(4, 4) patch index → the patch's centre in patient RAS, mm."""
        centre = (np.asarray(self.config.patch) - 1) / 2
        return scaled(translated(self.affine, centre), self.config.patch)

    @property
    def box_ras_mm(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Low and high RAS corners, mm, of the smallest upright box that holds everything covered."""
        last = np.asarray(self.patch_grid) * self.config.patch - 0.5
        corners = apply(self.affine, list(itertools.product(*((-0.5, float(end)) for end in last))))
        low, high = (corners.min(axis=0).round(2).tolist(), corners.max(axis=0).round(2).tolist())
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def patches_within_scan(self) -> NDArray[np.bool_]:
        """(patch grid) bool: patches that hold a quarter or more of scan along each axis; the others are padding.

        Of a scan thinner than that, the patches that hold half of it.
        """
        x, y, z = (self._overlaps_scan(axis) for axis in range(3))
        return x[:, None, None] & y[None, :, None] & z[None, None, :]

    def _overlaps_scan(self, axis: int) -> NDArray[np.bool_]:
        patch = self.config.patch[axis]
        first = self.origin[axis] - 0.5 + np.arange(self.patch_grid[axis]) * patch
        end = self.lattice.shape[axis] - 0.5
        overlap = np.minimum(first + patch, end) - np.maximum(first, -0.5)
        least = min(_LEAST_SCAN_SHARE * patch, overlap.max() / 2)
        kept: NDArray[np.bool_] = (overlap >= least) & (overlap > 0)
        return kept


def frame_volume(volume: Volume, config: FrameConfig, *, force: bool = False) -> FrameVolume:
    """Cut the model's frame, or the tiles that cover the lungs, out of a volume.

    Args:
        volume: the CT, HU.
        config: the frame of the weights in use.
        force: where no lungs are found, centre the frame on the volume instead of refusing.

    Raises:
        NotAChest: placement is on the lungs, none were found, and `force` is not set.
    """
    lattice, offsets, lungs = place_frames(volume, config, force=force)
    return FrameVolume(cut_tiles(volume, lattice, offsets, config), offsets, lattice, config, lungs)


def cut_tiles(volume: Volume, lattice: Lattice, offsets: Sequence[Triple], config: FrameConfig) -> NDArray[np.float32]:
    """(tiles, frame shape) of a volume: a tile for each lattice index of a first point, HU window mapped to −1…1."""
    tiles = [
        resample_box(volume, lattice, offset, config.shape, hu_window=config.hu_window, padding=config.padding)
        for offset in offsets
    ]
    return np.stack(tiles)


def place_frames(
    volume: Volume, config: FrameConfig, *, force: bool = False
) -> tuple[Lattice, tuple[Triple, ...], LungEstimate | None]:
    """Where the frames of a volume lie, before anything is resampled.

    Args:
        volume: the CT, HU.
        config: the frame of the weights in use.
        force: where no lungs are found, centre the frame on the volume instead of refusing.

    Returns:
        The grid they are cut from, the index of each frame's first point on it, and the lungs they were placed by.

    Raises:
        NotAChest: placement is on the lungs, none were found, and `force` is not set.
    """
    lattice = lattice_of(volume, config.spacing_mm, config.axes)
    lungs = estimate_lungs(volume) if config.placement == "lungs" else None
    if config.placement == "lungs" and lungs is None and not force:
        raise no_lungs(volume)
    offsets = _offsets_on_lungs(lattice, config, lungs) if lungs else (_offset_on_volume(lattice, config),)
    return lattice, offsets, lungs


def _offset_on_volume(lattice: Lattice, config: FrameConfig) -> Triple:
    """Centre crop and symmetric padding, with the released code's rounding (MONAI's)."""
    x, y, z = (
        n // 2 - size // 2 if n >= size else -((size - n) // 2)
        for n, size in zip(lattice.shape, config.shape, strict=True)
    )
    return x, y, z


def _offsets_on_lungs(lattice: Lattice, config: FrameConfig, lungs: LungEstimate) -> tuple[Triple, ...]:
    """One frame centred on the lungs, or overlapping tiles along the axes where the lungs are larger than a frame."""
    corners = index_in(lattice.affine, lungs.chest_ras_points())
    x, y, z = (
        _starts(
            float(corners[:, axis].min()) - LUNG_MARGIN_MM / config.spacing_mm[axis],
            float(corners[:, axis].max()) + LUNG_MARGIN_MM / config.spacing_mm[axis],
            size=config.shape[axis],
            patch=config.patch[axis],
            overlap=config.tile_overlap,
        )
        for axis in range(3)
    )
    return tuple(itertools.product(x, y, z))


def _starts(low: float, high: float, *, size: int, patch: int, overlap: int) -> list[int]:
    """First points of the frames that cover low…high along one axis: evenly spaced by whole patches, centred."""
    frames = 1 if high - low <= size else 1 + math.ceil((high - low - size) / (size - overlap * patch))
    stride = patch * math.ceil((high - low - size) / (frames - 1) / patch) if frames > 1 else 0
    first = round((low + high) / 2 - ((frames - 1) * stride + size) / 2)
    return [first + i * stride for i in range(frames)]
