"""Outlined findings to the targets that the objective `grounding` learns from."""

from __future__ import annotations

import zlib

import nibabel
import numpy as np
from numpy.typing import NDArray

from simcrop_core.errors import BrokenGeometry, UnreadableFile
from simcrop_core.imaging.affine import Affine
from simcrop_core.imaging.lattice import Lattice, Triple
from simcrop_core.imaging.volume import Volume as Scan
from simcrop_core.phantom.truth import Statement
from simcrop_core.text.location import lobe_of, side_of
from simcrop_training.data.sample import SHAPE, Truth, truth_of
from simcrop_training.datasets.study import FindingMasks

# What nibabel says of a file that is no NIfTI, or cut off.
NIFTI_FAULTS: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    EOFError,
    zlib.error,
    nibabel.filebasedimages.ImageFileError,
    nibabel.spatialimages.HeaderDataError,
    nibabel.wrapstruct.WrapStructError,
)
# Masks are on the scan's own voxels: what is further off is another grid.
_OFF_VOXELS = 0.1


def truths_of_masks(masks: FindingMasks, scan: Scan, lattice: Lattice, offset: Triple) -> tuple[Truth, ...]:
    """Each finding and the cells of the frame that its mask covers; nearest voxels, as the paper resamples masks.

    A finding that lies outside the frame is left out.

    Args:
        masks: of the scan, (finding, x, y, z); the header's affine holds for the last three axes.
        scan: the CT they are of.
        lattice: of the scan, at the frame's spacing.
        offset: lattice index of the frame's first point.

    Raises:
        UnreadableFile: the file is damaged, or has another number of findings.
        BrokenGeometry: it is not on the scan's voxels.
    """
    stored, affine = _read(masks)
    index = nearest_voxels(scan, lattice, offset, SHAPE)
    axes, reverse = scan_axes(stored.shape[1:], affine, scan, masks.path.name)
    truths = []
    for number, (text, topic) in enumerate(zip(masks.texts, masks.topics, strict=True)):
        on_scan = stored[number].transpose(axes)[reverse]
        inside = on_scan[np.ix_(*(voxels for voxels, _ in index))].transpose(lattice.axes) > 0
        points = np.ix_(*(index[axis][1] for axis in lattice.axes))
        frame = np.zeros(SHAPE, dtype=bool)
        frame[points] = inside
        voxels = np.flatnonzero(frame).astype(np.int32)
        if voxels.size:
            side, lobe = side_of(text), lobe_of(text)
            where = side if side in ("left", "right") else ""
            truths.append(truth_of(Statement(text, "positive", topic, where, lobe or "", voxels)))
    return tuple(truths)


def _read(masks: FindingMasks) -> tuple[NDArray[np.generic], Affine]:
    try:
        image = nibabel.nifti1.Nifti1Image.from_filename(masks.path)
        stored = np.asanyarray(image.dataobj)
    except NIFTI_FAULTS as fault:
        raise UnreadableFile(f"The masks {masks.path.name} cannot be read: {fault}.", hint="Copy it again.") from fault
    if stored.ndim != 4 or len(stored) != len(masks.texts):
        raise UnreadableFile(
            f"The masks {masks.path.name} are {stored.shape}, for {len(masks.texts)} findings.",
            hint="Take masks and dataset.json from the same version of the data set.",
        )
    return stored, np.asarray(image.affine, dtype=np.float64)


def nearest_voxels(
    scan: Scan, lattice: Lattice, offset: Triple, shape: Triple
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """By axis of the scan: the voxel nearest to each point of a box, and the number of that point in the box.

    Args:
        scan: whose voxels they are.
        lattice: of the scan.
        offset: lattice index of the box's first point.
        shape: points of the box.
    """
    index: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = [(np.empty(0, np.intp), np.empty(0, np.intp))] * 3
    for axis in range(3):
        points = np.arange(shape[axis])
        voxels = np.rint(lattice.voxel_coordinates(axis, points + offset[axis])).astype(np.intp)
        kept = (voxels >= 0) & (voxels < scan.shape[lattice.axes[axis]])
        index[lattice.axes[axis]] = voxels[kept], points[kept]
    return index


def scan_axes(
    shape: tuple[int, ...], affine: Affine, scan: Scan, name: str
) -> tuple[tuple[int, int, int], tuple[slice, slice, slice]]:
    """How to turn a mask's axes into the scan's: their order, then the steps along them.

    Raises:
        BrokenGeometry: the voxels of the two are not the same.
    """
    to_mask = np.linalg.inv(affine) @ scan.affine
    x, y, z = (int(axis) for axis in np.abs(to_mask[:3, :3]).argmax(axis=0))
    signs = [float(np.sign(to_mask[row, column])) for column, row in enumerate((x, y, z))]
    backwards, forwards = slice(None, None, -1), slice(None)
    steps = [backwards if sign < 0 else forwards for sign in signs]
    if sorted((x, y, z)) == [0, 1, 2] and tuple(shape[axis] for axis in (x, y, z)) == scan.shape:
        expected = np.zeros((3, 4))
        for column, (row, sign) in enumerate(zip((x, y, z), signs, strict=True)):
            expected[row, column] = sign
            expected[row, 3] = shape[row] - 1 if sign < 0 else 0
        corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * (*scan.shape, 1)
        if np.abs((to_mask[:3] - expected) @ corners.T).max() < _OFF_VOXELS:
            return (x, y, z), (steps[0], steps[1], steps[2])
    raise BrokenGeometry(
        f"The masks {name} are not on the voxels of their scan.",
        hint="Take masks and scan from the same release of the data set.",
    )
