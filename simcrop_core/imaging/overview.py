"""A scan in the contract's words: which volume it is, and what can be said of it at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simcrop_core.errors import BrokenGeometry, Cancelled, CannotWrite, InternalFault, OutOfMemory, SimCroPError
from simcrop_core.imaging.geometry_checks import require_affine
from simcrop_core.imaging.header import Header
from simcrop_core.imaging.inspection import inspect_scan
from simcrop_core.imaging.isolated import read_isolated
from simcrop_core.imaging.passport import refused
from simcrop_core.imaging.volume import Volume
from simcrop_core.progress import Job
from simcrop_core.results import CheckResult, InfoResult, Outcome, PassportFinding, VolumeInfo

_FROM_BEST: tuple[Outcome, ...] = ("pass", "repaired", "warned", "refused")
_PERCENTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)
# Enough voxels for a percentile to within a few HU.
_SAMPLED = 2_000_000


def volume_info(volume: Volume) -> VolumeInfo:
    """Which volume a result is about, without anything that names a patient."""
    return VolumeInfo(
        volume.name,
        volume.shape,
        volume.spacing_mm,
        volume.orientation,
        volume.affine.round(6).tolist(),
        volume.frame,
    )


def overview(path: Path, *, series: str | None = None, frame: int | None = None, job: Job | None = None) -> InfoResult:
    """Header, HU, field of view, lungs and passport of a scan.

    A scan that the passport refuses is still described: the refusal is one of its findings.

    Raises:
        SimCroPError: the file cannot be read at all, or says nothing of where its voxels are.
    """
    read = read_isolated(path, series=series, frame=frame, job=job)
    header = read.header
    require_affine(header.affine)
    found = inspect_scan(read.volume)
    volume, lungs = found.volume, found.lungs
    box = (
        None if lungs is None else np.round(np.stack([f(lungs.box_ras_points(), axis=0) for f in (np.min, np.max)]), 1)
    )
    return InfoResult(
        volume=volume_info(volume),
        header=_header_words(header),
        field_of_view_mm=header.extent_mm,
        hu_percentiles=_hu_percentiles(volume),
        lungs_box_ras_mm=None if box is None else (tuple(box[0].tolist()), tuple(box[1].tolist())),
        passport=found.passport,
    )


def check_scan(
    path: Path, *, series: str | None = None, frame: int | None = None, job: Job | None = None
) -> CheckResult:
    """The passport of whatever is at a path: what no reader takes is a finding, too.

    Raises:
        CannotWrite: the folder of temporary files has no room.
        OutOfMemory: it does not fit this machine.
        InternalFault: no process can be started to read it.
        Cancelled: `job` was asked to stop.
    """
    try:
        volume = read_isolated(path, series=series, frame=frame, job=job).volume
    except (Cancelled, CannotWrite, InternalFault, OutOfMemory):
        raise
    except SimCroPError as refusal:
        return CheckResult(path.name, None, "refused", [refused(refusal)])
    found = inspect_scan(volume)
    return CheckResult(volume.name, _info_of(found.volume), _worst(found.passport), found.passport)


def _info_of(volume: Volume) -> VolumeInfo | None:
    """None where the affine is too broken to say anything of the grid."""
    try:
        require_affine(volume.affine)
    except BrokenGeometry:
        return None
    return volume_info(volume)


def _worst(passport: list[PassportFinding]) -> Outcome:
    return max((finding.outcome for finding in passport), key=_FROM_BEST.index)


def _hu_percentiles(volume: Volume) -> dict[str, float]:
    voxels = volume.voxels.ravel(order="K")
    sampled = voxels[:: max(1, voxels.size // _SAMPLED)]
    finite = sampled[np.isfinite(sampled)]
    if finite.size == 0:
        return {}
    values = np.percentile(finite, _PERCENTILES)
    return {str(p): round(float(v), 1) for p, v in zip(_PERCENTILES, values, strict=True)}


def _header_words(header: Header) -> dict[str, str]:
    return {
        "format": header.file_format,
        "stored as": header.stored_type,
        "HU": f"stored × {header.slope:g} + {header.intercept:g}",
        "file size": f"{header.file_bytes / 1e6:.1f} MB",
    }
