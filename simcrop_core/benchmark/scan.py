"""The scan that is measured on: a synthetic chest at the size and spacing of a diagnostic CT."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import torch
import torch.nn.functional as F

from simcrop_core.phantom.draw import draw_phantom

SHAPE = (512, 512, 300)
SPACING_MM = (0.65, 0.65, 1.1)
PADDING_HU = -1024


def write_scan(path: Path) -> None:
    """Write a 512 × 512 × 300 int16 phantom, stored LPS, as .nii.gz.

    With noise as of a scanner inside the circle that scanners reconstruct, and its constant padding outside.
    """
    phantom = torch.from_numpy(draw_phantom(seed=0).image.astype(np.float32))
    voxels = F.interpolate(phantom[None, None], size=SHAPE, mode="trilinear", align_corners=False)[0, 0].numpy()
    voxels += np.random.default_rng(0).normal(0, 25, SHAPE).astype(np.float32)
    x, y = np.ogrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    voxels[np.hypot(x, y) > 1] = PADDING_HU
    affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])
    stored = np.clip(voxels[::-1, ::-1], -1024, 3071).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(stored, affine), path)
