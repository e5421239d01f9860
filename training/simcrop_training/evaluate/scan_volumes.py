"""Any labelled set's scan as a checked volume, as the model's frame, and its label map on the same voxels."""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcrop_core.errors import UnreadableFile
from simcrop_core.imaging.affine import Affine, orientation
from simcrop_core.imaging.frame import FrameVolume, frame_volume
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.passport import check
from simcrop_core.imaging.read import read_volume
from simcrop_core.imaging.single_volume import single_volume
from simcrop_core.imaging.volume import Volume
from simcrop_core.imaging.voxel_values import to_hounsfield
from simcrop_training.datasets.labelled import LabelledScan
from simcrop_training.prepare.hounsfield import apply_rescale, require_single_rescale
from simcrop_training.prepare.masks import scan_axes
from simcrop_training.prepare.volume import checked_scan

RAD_CHESTCT_MM = 0.8
# What the released down-stream code takes its files for, whatever their headers say.
PREPROCESSED_MM = (1.5, 1.5, 3.0)
_ARRAY = "ct.npy"
_ARRAY_FAULTS = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def volume_of(scan: LabelledScan) -> Volume:
    """The scan in Hounsfield units, checked as for every other command.

    Its axes are the file's own, except where these are no picture's: a bare array of RAD-ChestCT becomes LPS, and
    slices that come first go last, as in the released down-stream code.

    Raises:
        SimCroPError: it cannot be read, or the passport refuses it.
    """
    if scan.form == "source":
        assert scan.source is not None, "it says how the file is read"
        return checked_scan(scan.source)[0]
    volume = _read(scan)
    if scan.source is not None and scan.source.rescale is not None:
        volume, _ = apply_rescale(volume, scan.source.rescale)
    volume, _ = check(volume)
    require_single_rescale(volume)
    return volume


def frame_of(scan: LabelledScan, config: FrameConfig) -> FrameVolume:
    """What a model with this frame sees of the scan.

    Raises:
        SimCroPError: it cannot be read, the passport refuses it, or no lungs are in it where the frame needs them.
    """
    return frame_volume(volume_of(scan), config)


def mask_of(scan: LabelledScan, volume: Volume) -> NDArray[np.uint8]:
    """The scan's label map, numbered as the set's labels, on the voxels of its volume.

    Where the set says which of the map's numbers are labels, all others become 0.

    Args:
        scan: with a mask.
        volume: of the scan, from `volume_of`.

    Raises:
        UnreadableFile: the map cannot be read, or holds numbers that no label has.
        BrokenGeometry: it is not on the scan's voxels.
    """
    assert scan.mask is not None, "the set labels voxels"
    stored = read_volume(scan.mask)
    axes, steps = scan_axes(stored.shape, stored.affine, volume, scan.mask.name)
    values = stored.voxels.transpose(axes)[steps]
    if not scan.mask_values:
        labels = values.astype(np.uint8)
        if not np.array_equal(labels, values):
            raise UnreadableFile(f"{scan.mask.name} is no map of up to 255 labels.", hint="Save it as uint8.")
        return labels
    numbered = np.zeros(values.shape, np.uint8)
    for label, value in enumerate(scan.mask_values):
        numbered[values == value] = label
    return numbered


def _read(scan: LabelledScan) -> Volume:
    if scan.form == "rad-chestct":
        return read_rad_chestct_array(scan.path)
    volume = read_volume(scan.path)
    if scan.form == "slices-first":
        return _slices_last(volume)
    if scan.form == "preprocessed" and _bare(volume.affine):
        return dataclasses.replace(volume, affine=_lps(PREPROCESSED_MM, volume.shape))
    return volume


def read_rad_chestct_array(path: Path) -> Volume:
    """A scan of RAD-ChestCT as a volume along LPS axes; nothing is copied.

    The array `ct` of the .npz is (slice, row, column) at 0.8 mm: slices from the head down, rows to the back, columns
    to the patient's left. Where the patient was in the scanner is not kept: the middle of the scan is the origin.

    Raises:
        UnreadableFile: missing, damaged, or it holds no such array of numbers.
        NotASingleVolume: the array has not three axes, or too few slices.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_ARRAY) as file:
            shape = _shape_of(file)
            x, y, z = single_volume(shape[::-1], name=path.name)
        with np.load(path, allow_pickle=False) as archive:
            stored = np.ascontiguousarray(archive["ct"])
    except _ARRAY_FAULTS as fault:
        raise UnreadableFile(f"{path.name} holds no array `ct`: {fault}.", hint="Fetch the file again.") from fault
    if stored.dtype.kind not in "iuf":
        raise UnreadableFile(f"{path.name} stores {stored.dtype.name}; a CT does not.", hint="Fetch the file again.")
    upright = to_hounsfield(stored.reshape(-1), name=path.name).reshape(z, y, x).transpose(2, 1, 0)[:, :, ::-1]
    edges = (RAD_CHESTCT_MM, RAD_CHESTCT_MM, RAD_CHESTCT_MM)
    return Volume(upright, _lps(edges, (x, y, z)), path.name)


def _shape_of(file: Any) -> tuple[int, ...]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape: tuple[int, ...] = read(file)[0]
    return shape


def _slices_last(volume: Volume) -> Volume:
    """Rows, columns, slices of a picture stack stored slices first: axes S, P, L where its header says nothing."""
    affine = volume.affine
    if _bare(affine):
        x, y, z = PREPROCESSED_MM
        affine = np.diag([-x, -y, z, 1.0])[:, [2, 1, 0, 3]]
        affine = _centred(affine, volume.shape)
    elif orientation(affine)[0] not in "SI":
        return volume
    order = (1, 2, 0)
    return dataclasses.replace(volume, voxels=volume.voxels.transpose(order), affine=affine[:, [*order, 3]])


def _bare(affine: Affine) -> bool:
    """Whether a header states nothing: voxels of 1 mm along the axes, the first of them at the origin."""
    return bool(np.array_equal(np.abs(affine), np.eye(4)))


def _lps(spacing_mm: tuple[float, float, float], shape: tuple[int, int, int]) -> Affine:
    x, y, z = spacing_mm
    return _centred(np.diag([-x, -y, z, 1.0]), shape)


def _centred(affine: Affine, shape: tuple[int, int, int]) -> Affine:
    """The same directions, with the middle of the volume at the origin."""
    moved = affine.copy()
    moved[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return moved
