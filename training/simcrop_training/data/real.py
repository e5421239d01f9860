"""Training samples out of real scans: moved and scaled into the frame at random, findings drawn into their lungs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.findings import IN_LUNG, draw_findings
from simcrop_core.phantom.style_a.say import describe
from simcrop_core.phantom.style_a.space import FRAME, SHAPE, SPACING_MM, Mask, Space
from simcrop_core.phantom.truth import LOBES, ORGANS, with_the_rest
from simcrop_training.data.real_scans import RealScan
from simcrop_training.data.sample import Sample, known_labels, sample_labels, save_sample, truth_of

# Where the lungs lie in the standard body (mm): real lungs are brought there so that findings know where to go.
_LUNG_LOW, _LUNG_HIGH = np.array([-128.0, -84.0, -150.0]), np.array([128.0, 78.0, 118.0])
_KINDS = (
    *IN_LUNG,
    *IN_LUNG,
    "mass",
    "mass",
    "nodule",
    "nodule",
    "pleural effusion",
    "pleural effusion",
    "pneumothorax",
)
# Lung this near (mm) to an estimated fissure belongs to no lobe for sure.
_DOUBT_MM = 9.0


def write_real_samples(folder: Path, scans: Sequence[RealScan], count: int) -> None:
    """Draw `count` samples of each scan that are not there yet, one .npz each."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        for scan in scans:
            path = folder / f"real-{scan.name.replace(' ', '-').lower()}-{index:04d}.npz"
            if not path.exists():
                save_sample(path, real_sample(scan, index))


def real_sample(scan: RealScan, seed: int) -> Sample:
    """One scan, placed and scaled at random, with findings drawn in; the same seed gives the same sample."""
    rng = np.random.default_rng([seed, 2, len(scan.name)])
    a, body = _placed(scan, rng)
    whole = min(int((a.labels == i).sum()) for i in (1, 2)) > 60_000
    found = draw_findings(a, rng, int(rng.integers(0, 6)) if whole else 0, _KINDS)
    said = [
        s
        for s in describe(a, found, rng)
        if s.polarity in ("positive", "anatomy")
        or (whole and s.topic in (*IN_LUNG, "pleural effusion", "pneumothorax") and s.side not in scan.says_nothing_of)
    ]
    # A sentence about a whole side would have to cover the scan's own finding too.
    said = [s for s in said if s.polarity != "positive" or s.side not in scan.says_nothing_of]
    image = np.clip(np.rint(a.image), -1024, 3071).astype(np.int16)
    parts = {name: mask for name, mask in a.regions.items() if name in scan.known}
    lobes = a.lobes if LOBES[1] in scan.known else np.zeros_like(a.lobes)
    labels = sample_labels(with_the_rest(a.labels, body, parts), lobes)
    return Sample(image, labels, known_labels(*scan.known), tuple(truth_of(s) for s in said))


def _placed(scan: RealScan, rng: np.random.Generator) -> tuple[Anatomy, Mask]:
    """Resample a scan into the frame with a random size, turn and shift, and name its parts; and the body's outline."""
    zoom = rng.uniform(0.86, 1.12) * rng.uniform(0.95, 1.05, 3)
    lungs = scan.regions["left lung"] | scan.regions["right lung"]
    corners = [np.flatnonzero(lungs.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in range(3)]
    low, high = (np.array([c[i] for c in corners]) * scan.spacing_mm for i in (0, 1))
    if high[2] - low[2] < 150:  # only the bases: where the rest would be
        high[2] = low[2] + 250
    shift = rng.normal(0, [7, 7, 12])
    if "liver" in scan.regions:  # an abdomen: anything between its upper end and the pelvis, as a long scan is cut
        shift[2] = rng.uniform(-330, -70)
    turn = _turn(rng.normal(0, np.deg2rad([2.5, 2.5, 4.0])))
    to_scan = turn * (1 / zoom)  # frame mm → scan mm about the lungs' centre
    centre = (low + high) / 2 + shift
    matrix = to_scan * np.array(SPACING_MM)[None, :] / np.array(scan.spacing_mm)[:, None]
    offset = centre / scan.spacing_mm - matrix @ ((np.array(SHAPE) - 1) / 2)
    image = ndimage.affine_transform(scan.image, matrix, offset, SHAPE, order=1, cval=-1000.0)

    def moved(mask: Mask) -> Mask:
        there: Mask = ndimage.affine_transform(mask.view(np.uint8), matrix, offset, SHAPE, order=0).view(np.bool_)
        return there

    regions = {name: moved(mask) for name, mask in scan.regions.items()}
    scale = (_LUNG_HIGH - _LUNG_LOW) / (high - low)
    body = scale[:, None] * to_scan
    origin = scale * (centre - (low + high) / 2) + (_LUNG_HIGH + _LUNG_LOW) / 2
    fx, fy, fz = FRAME.axes()
    x, y, z = ((m[0] * fx + m[1] * fy + m[2] * fz + o).astype(np.float32) for m, o in zip(body, origin, strict=True))
    space = Space(FRAME, x, y, z, body, origin, np.zeros((3, 4, 4, 4)))
    return _named(space, image, regions), moved(scan.body)


def _named(space: Space, image: NDArray[np.float32], regions: dict[str, Mask]) -> Anatomy:
    labels, lobes = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    for index, name in enumerate(ORGANS):
        if name in regions:
            labels[regions[name]] = index
    lung = (labels == 1) | (labels == 2)
    if LOBES[1] in regions:
        for index, name in enumerate(LOBES[1:], start=1):
            lobes[regions[name]] = index
    else:
        lobes = _likely_lobes(space, labels)
    depth = _depth(lung)
    above = space.z - _floor(space.z, lung)
    rest = {k: v for k, v in regions.items() if k not in ORGANS and k not in LOBES}
    if "liver" not in regions:
        rest |= _likely_organs(space, image, lung, above)
    return Anatomy(space, image, labels, lobes, depth, above, rest)


def _likely_lobes(space: Space, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lobes by a typical course of the fissures; 0 near it."""
    oblique = space.z + 1.1 * (space.y + 12)
    horizontal = space.z - 3
    lobes = np.zeros(SHAPE, np.uint8)
    lobes[(labels == 1) & (oblique > _DOUBT_MM)] = 1
    lobes[(labels == 1) & (oblique < -_DOUBT_MM)] = 2
    lobes[(labels == 2) & (oblique > _DOUBT_MM) & (horizontal > _DOUBT_MM)] = 3
    lobes[(labels == 2) & (oblique > _DOUBT_MM) & (horizontal < -_DOUBT_MM)] = 4
    lobes[(labels == 2) & (oblique < -_DOUBT_MM)] = 5
    return lobes


def _likely_organs(space: Space, image: NDArray[np.float32], lung: Mask, above: NDArray[np.float32]) -> dict[str, Mask]:
    """Heart, liver and spine of a scan without their labels: soft tissue and bone where they must be."""
    soft = (image > -20) & (image < 350) & ~lung
    heart = soft & (np.abs(space.x + 18) < 56) & (np.abs(space.y - 25) < 40) & (np.abs(space.z + 45) < 40)
    inside = (np.abs(space.x) < 118) & (np.abs(space.y) < 82)
    liver = soft & inside & (space.x > 25) & (above < -6) & (above > -70) & (space.y > -55)
    spine = soft & (np.abs(space.x) < 24) & (space.y < -42) & (space.y > -105) & (image > 80)
    return {"heart": heart, "liver": liver, "spine": spine}


def _depth(lung: Mask) -> NDArray[np.float32]:
    """Mm below the lungs' surface, at half resolution."""
    coarse = ndimage.distance_transform_edt(lung[::2, ::2], sampling=(3.0, 3.0, 3.0)).astype(np.float32)
    depth: NDArray[np.float32] = coarse.repeat(2, 0).repeat(2, 1)
    return depth


def _floor(z: NDArray[np.float32], lung: Mask) -> NDArray[np.float32]:
    """(224, 224, 1) body z of the lowest lung of each column, the overall lowest third where there is none."""
    column = np.where(lung, z, np.float32(1e3)).min(axis=2, keepdims=True)
    have = column < 1e3
    column[~have] = np.quantile(column[have], 0.5) if have.any() else -120
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(column, (4, 4, 0))
    return smooth


def _turn(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = angles
    turn: NDArray[np.float64] = np.array([[1, -z, y], [z, 1, -x], [-y, x, 1]])
    return turn
