"""What the audit changes, and what it asks again (docs/benchmarks/grounding.md)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.frame import FrameVolume
from simcrop_core.imaging.sampling import sample
from simcrop_core.inference.session import Session
from simcrop_training.evaluate.grounding_benchmark.masks import mirrored as mirrored_scan

Change = Literal[
    "unchanged", "swapped scan", "mirrored scan", "mirrored scan and sentence", "other side named", "negated",
    "top-K occluded", "others occluded",
]  # fmt: skip
CHANGES: tuple[Change, ...] = (
    "unchanged", "swapped scan", "mirrored scan", "mirrored scan and sentence", "other side named", "negated",
    "top-K occluded", "others occluded",
)  # fmt: skip
# Half the voxels of a lung are emptier.
_LUNG_QUANTILE = 0.5
_AIR_HU = -1000.0


def again(session: Session) -> Session:
    """The same scan, to be encoded anew."""
    return Session(session.volume, session.passport, session.engine)


def mirrored(session: Session) -> Session:
    """The scan of a patient whose left is right."""
    return Session(mirrored_scan(session.volume), session.passport, session.engine)


def occluded(session: Session, patches: NDArray[np.intp]) -> Session:
    """The same scan with some patches of the frame replaced by plain lung.

    They are set to the median HU of the scan's lungs, to air where no lungs were found: what a lung looks like where
    nothing is to be seen.

    Args:
        session: of the scan.
        patches: their flat numbers.
    """
    changed = again(session)
    frame = session.frame
    low, high = frame.config.hu_window
    fill = float(np.clip((lung_hu(session) - (low + high) / 2) / ((high - low) / 2), -1, 1))
    changed.frame = replace(frame, images_THWD=_filled(frame, patches, fill))
    return changed


def _filled(frame: FrameVolume, patches: NDArray[np.intp], fill: float) -> NDArray[np.float32]:
    """The tiles with those patches filled, in every tile that holds them."""
    images, size = frame.images_THWD.copy(), np.asarray(frame.config.patch)
    starts = np.asarray(frame.origin) + np.stack(np.unravel_index(patches, frame.patch_grid), axis=-1) * size
    for image, offset in zip(images, frame.offsets, strict=True):
        for start in starts - np.asarray(offset):
            if (start >= 0).all() and (start < frame.config.shape).all():
                image[tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))] = fill
    return images


def lung_hu(session: Session) -> float:
    """Median of the scan's lungs."""
    lungs = session.frame.lungs
    if lungs is None:
        return _AIR_HU
    points = apply(lungs.affine, np.argwhere(lungs.mask))
    return float(
        np.quantile(sample(session.volume.voxels, session.volume.affine, points, outside=_AIR_HU), _LUNG_QUANTILE)
    )


def other_patches(top: NDArray[np.intp], pool_N: NDArray[np.bool_], seed: str) -> NDArray[np.intp]:
    """As many patches of a pool that are not the top ones, drawn by a seed of its own; all there are, if fewer."""
    rest = np.setdiff1d(np.flatnonzero(pool_N), top)
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))
    return np.sort(rng.permutation(rest)[: len(top)])
