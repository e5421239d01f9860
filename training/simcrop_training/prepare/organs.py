"""A scan's label map of organs onto the voxels that the store keeps of the scan."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from simcrop_core.errors import BrokenGeometry, UnreadableFile
from simcrop_core.imaging.affine import Affine
from simcrop_core.imaging.lattice import Lattice, Triple
from simcrop_core.imaging.volume import Volume as Scan
from simcrop_core.results import PassportFinding
from simcrop_training.data.anatomies import label_classes, total_segmentator_classes
from simcrop_training.datasets.study import SourceVolume
from simcrop_training.prepare.masks import NIFTI_FAULTS, nearest_voxels, scan_axes

# How TotalSegmentator, and how `simcrop`, writes names into a NIfTI's header.
_NAMES = (re.compile(r'<Label\b[^>]*\bKey="(\d+)"[^>]*>([^<]+)</Label>'), re.compile(r"^(\d+): (.+)$", re.MULTILINE))


def label_map(
    source: SourceVolume, scan: Scan, lattice: Lattice, low: Triple, shape: tuple[int, ...]
) -> tuple[NDArray[np.uint8] | None, tuple[PassportFinding, ...]]:
    """The labels nearest to each point of a box, and what is to be said of them.

    A label map that cannot be used does not rule out its scan: most methods need none.

    Args:
        source: of the scan.
        scan: the CT.
        lattice: of the scan.
        low: lattice index of the box's first point.
        shape: points of the box.

    Returns:
        Labels of `shape`, numbered as `label_classes`, and a warning; either may be missing.
    """
    if source.organs is None:
        return None, ()
    try:
        stored, affine, numbers = _read(source.organs)
        axes, reverse = scan_axes(stored.shape, affine, scan, source.organs.name)
    except (UnreadableFile, BrokenGeometry) as fault:
        return None, (PassportFinding("organs", "warned", f"Its label map is not used. {fault.message}", fault.hint),)
    x, y, z = shape
    index = nearest_voxels(scan, lattice, low, (x, y, z))
    on_scan = stored.transpose(axes)[reverse]
    inside = on_scan[np.ix_(*(voxels for voxels, _ in index))].transpose(lattice.axes)
    labels = np.zeros((x, y, z), np.uint8)
    labels[np.ix_(*(index[axis][1] for axis in lattice.axes))] = numbers[inside]
    return labels, ()


def _read(path: Path) -> tuple[NDArray[np.uint8], Affine, NDArray[np.uint8]]:
    """A label map as stored, its affine, and our number of each of its labels."""
    try:
        image = nibabel.nifti1.Nifti1Image.from_filename(path)
        values = np.asanyarray(image.dataobj)
        said = "\n".join(extension.content.decode("utf-8", "replace") for extension in image.header.extensions)
    except NIFTI_FAULTS as fault:
        raise UnreadableFile(f"{path.name} cannot be read: {fault}.", hint="Copy it again.") from fault
    if values.ndim != 3 or not values.size or values.min() < 0 or values.max() > np.iinfo(np.uint8).max:
        raise UnreadableFile(f"{path.name} is no map of up to 255 labels.", hint="Write it with TotalSegmentator --ml.")
    names = {int(number): name.strip("\0 ") for pattern in _NAMES for number, name in pattern.findall(said)}
    ours = {name: number for number, name in enumerate(label_classes())}
    numbers = np.zeros(256, np.uint8)
    # Without names the numbers are taken for those of TotalSegmentator v2.
    for number, name in (names or dict(enumerate(total_segmentator_classes()))).items():
        if 0 <= number < len(numbers):
            numbers[number] = ours.get(name, 0)
    return values.astype(np.uint8, copy=False), np.asarray(image.affine, dtype=np.float64), numbers
