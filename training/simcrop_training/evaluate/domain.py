"""A domain probe: how well patches of real lungs are told from drawn ones, and by what.

A linear classifier is trained on all real scans but one and half of the phantoms, and asked about that one and the
other half. 0.5 would mean that drawing and scan cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from simcrop_core.imaging.chest_checks import no_lungs
from simcrop_core.imaging.passport import check
from simcrop_core.imaging.read import read_volume
from simcrop_core.imaging.resample import resample_box
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.baselines import threshold_lungs
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.session import Session
from simcrop_core.models.patches import patch_vectors
from simcrop_core.phantom.draw import draw_phantom
from simcrop_core.phantom.truth import Style

WHOLE_CHESTS = {
    "LIDC-IDRI-0001": "ct.nii.gz",
    "COVID-CT-MD_P002": "ct_2mm.nii.gz",
    "COVID-CT-MD_normal001": "ct_2mm.nii.gz",
}
# What of a patch's voxels a probe may look at.
STATISTICS = ("mean", "spread", "darkest twentieth", "brightest twentieth", "change from voxel to voxel", "vessels")
_LUNG_SHARE = 0.8
_VESSEL_HU = -500.0


@dataclass(frozen=True, slots=True, eq=False)
class LungPatches:
    """The patches of a scan that are lung.

    Attributes:
        features_NC: of the network.
        statistics_NS: `STATISTICS` of their voxels, HU.
    """

    features_NC: NDArray[np.float32]
    statistics_NS: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Told:
    """How well real patches are told from those of one style.

    Attributes:
        scan: the real scan that the probe did not learn from; "all", the mean.
        style: of the phantoms.
        by: what the probe sees: "network", "all statistics", or one of `STATISTICS`.
        auroc: of telling them apart; 0.5 is chance.
        real: median of that statistic in the real patches; NaN where it is no one number.
        drawn: likewise of the phantoms.
    """

    scan: str
    style: str
    by: str
    auroc: float
    real: float
    drawn: float


def probe(engine: Engine, scans: Path, seeds: Sequence[int]) -> list[Told]:
    """The real chests that trained nothing against phantoms of both styles.

    Args:
        engine: whose image encoder is probed.
        scans: the folder that holds `WHOLE_CHESTS`.
        seeds: of the phantoms.

    Raises:
        SimCroPError: a scan is missing, cannot be read or shows no lungs.
    """
    real = {name: lung_patches(read_volume(scans / name / file), engine) for name, file in WHOLE_CHESTS.items()}
    styles: tuple[Style, ...] = ("a", "b")
    drawn = {
        style: [
            lung_patches(Volume(phantom.image, phantom.affine, f"phantom {phantom.seed}"), engine)
            for phantom in (draw_phantom(seed, style=style) for seed in seeds)
        ]
        for style in styles
    }
    return told_apart(real, drawn)


@torch.inference_mode()
def lung_patches(volume: Volume, engine: Engine) -> LungPatches:
    """The patches of a scan's (first) frame that are lung by four fifths, lungs by threshold.

    Raises:
        NotAChest: no lungs are found.
    """
    checked, passport = check(volume)
    frame = Session(checked, passport, engine).frame
    lungs = threshold_lungs(checked)
    if lungs is None:
        raise no_lungs(checked)
    weight = next(engine.grounding_model.parameters())
    tile = torch.from_numpy(frame.images_THWD[0])[None, None].to(weight.device, weight.dtype)
    mask = Volume((lungs.voxels > 0).astype(np.float32), checked.affine, "lungs")
    inside = resample_box(
        mask, frame.lattice, frame.offsets[0], frame.config.shape,
        hu_window=(-1.0, 1.0), padding=frame.config.padding,
    )  # fmt: skip
    kept = _by_patch(inside, frame.config.patch).mean(1) >= _LUNG_SHARE
    low, high = frame.config.hu_window
    hu = frame.images_THWD[0] * (high - low) / 2 + (low + high) / 2
    features_NC = engine.grounding_model.encode(tile)[0].float().cpu().numpy()
    return LungPatches(features_NC[kept], _statistics(hu, frame.config.patch)[kept])


def told_apart(
    real: Mapping[str, LungPatches], drawn: Mapping[Style, Sequence[LungPatches]], *, seed: int = 0
) -> list[Told]:
    """A row for each style, scan and thing that a probe may look at, then their means.

    Args:
        real: by scan; two or more.
        drawn: phantoms by style; two or more of each.
        seed: of which phantoms are learned from.
    """
    rows = []
    for style, phantoms in drawn.items():
        order = np.random.default_rng(seed).permutation(len(phantoms))
        learned, asked = ([phantoms[i] for i in order[part::2]] for part in (0, 1))
        for by in ("network", "all statistics", *STATISTICS):
            per_scan = []
            for left_out in real:
                others = [patches for scan, patches in real.items() if scan != left_out]
                per_scan.append(_told(left_out, style, by, others, learned, real[left_out], asked))
            mean = float(np.mean([row.auroc for row in per_scan]))
            medians = [float(np.mean([getattr(row, name) for row in per_scan])) for name in ("real", "drawn")]
            rows += [*per_scan, Told("all", style, by, round(mean, 3), *(round(m, 1) for m in medians))]
    return rows


def _told(
    scan: str,
    style: str,
    by: str,
    others: Sequence[LungPatches],
    learned: Sequence[LungPatches],
    left_out: LungPatches,
    asked: Sequence[LungPatches],
) -> Told:
    train = [np.concatenate([_seen(patches, by) for patches in group]) for group in (others, learned)]
    test = [_seen(left_out, by), np.concatenate([_seen(patches, by) for patches in asked])]
    probe: Pipeline = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    probe.fit(np.concatenate(train), _which(train))
    auroc = float(roc_auc_score(_which(test), probe.decision_function(np.concatenate(test))))
    one = by in STATISTICS
    real, drawn = (round(float(np.median(group)), 1) if one else float("nan") for group in test)
    return Told(scan, style, by, round(auroc, 3), real, drawn)


def _seen(patches: LungPatches, by: str) -> NDArray[np.float32]:
    if by == "network":
        return patches.features_NC
    if by == "all statistics":
        return patches.statistics_NS
    return patches.statistics_NS[:, [STATISTICS.index(by)]]


def _which(groups: Sequence[NDArray[np.float32]]) -> NDArray[np.int64]:
    """1 for patches of real scans, the first group."""
    return np.repeat([1, 0], [len(group) for group in groups])


def _statistics(hu: NDArray[np.float32], patch: tuple[int, int, int]) -> NDArray[np.float32]:
    """(N, `STATISTICS`) of every patch of a frame."""
    change = np.abs(np.diff(hu, axis=0, prepend=hu[:1])) + np.abs(np.diff(hu, axis=1, prepend=hu[:, :1]))
    vessels = 100 * (ndimage.gaussian_filter(hu, 0.5) > _VESSEL_HU)
    voxels_NV, change_NV, vessels_NV = (_by_patch(v.astype(np.float32), patch) for v in (hu, change / 2, vessels))
    dark, bright = np.quantile(voxels_NV, (0.05, 0.95), axis=1)
    columns = (voxels_NV.mean(1), voxels_NV.std(1), dark, bright, change_NV.mean(1), vessels_NV.mean(1))
    return np.stack(columns, axis=1).astype(np.float32)


def _by_patch(volume: NDArray[np.float32], patch: tuple[int, int, int]) -> NDArray[np.float32]:
    """(N, voxels) of every patch, in the network's order."""
    voxels: NDArray[np.float32] = patch_vectors(torch.from_numpy(volume)[None, None], patch)[0].numpy()
    return voxels
