"""A scan in the contract's words: which volume it is, and what can be said of it at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simcrop_core.errors import SimCroPError
from simcrop_core.imaging.header import Header
from simcrop_core.imaging.lungs import estimate_lungs
from simcrop_core.imaging.passport import check
from simcrop_core.imaging.read import read_header, read_volume
from simcrop_core.imaging.volume import Volume
from simcrop_core.progress import Job
from simcrop_core.results import InfoResult, PassportFinding, VolumeInfo

_PERCENTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)
# Enough voxels for a percentile to within a few HU.
_SAMPLED = 2_000_000


def volume_info(volume: Volume) -> VolumeInfo:
    """Which volume a result is about, without anything that names a patient."""
    return VolumeInfo(volume.name, volume.shape, volume.spacing_mm, volume.orientation, volume.affine.round(6).tolist())


def overview(path: Path, *, series: str | None = None, job: Job | None = None) -> InfoResult:
    """Header, HU, field of view, lungs and passport of a scan.

    A scan that the passport refuses is still described: the refusal is one of its findings.

    Raises:
        SimCroPError: the file cannot be read at all.
    """
    header = read_header(path, series=series, job=job)
    volume, passport = _checked(read_volume(path, series=series, job=job))
    refused = any(finding.outcome == "refused" for finding in passport)
    lungs = None if refused else estimate_lungs(volume)
    box = (
        None if lungs is None else np.round(np.stack([f(lungs.box_ras_points(), axis=0) for f in (np.min, np.max)]), 1)
    )
    return InfoResult(
        volume=volume_info(volume),
        header=_header_words(header),
        field_of_view_mm=header.extent_mm,
        hu_percentiles=_hu_percentiles(volume),
        lungs_box_ras_mm=None if box is None else (tuple(box[0].tolist()), tuple(box[1].tolist())),
        passport=passport,
        warnings=[] if lungs is not None or refused else ["No lungs were found in this scan."],
    )


def _checked(volume: Volume) -> tuple[Volume, list[PassportFinding]]:
    """The volume as the passport leaves it, or as it was read where the passport refuses it."""
    try:
        return check(volume)
    except SimCroPError as refusal:
        refused = PassportFinding(refusal.code, "refused", refusal.message, refusal.hint)
        return volume, [*volume.findings, refused]


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
