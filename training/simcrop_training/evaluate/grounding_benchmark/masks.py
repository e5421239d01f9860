"""The masks of a scan's sentences, read and laid over the scan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from simcrop_core.errors import BrokenGeometry, UnreadableFile
from simcrop_core.imaging.affine import Affine, translated
from simcrop_core.imaging.heatmap import grid_bounds_ras_mm
from simcrop_core.imaging.volume import Volume
from simcrop_training.evaluate.grounding_benchmark.cases import MaskedScan, MaskedSentence
from simcrop_training.prepare.masks import NIFTI_FAULTS, scan_axes


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """Where a finding is.

    Attributes:
        voxels: (x, y, z) bool, on its own grid.
        affine: (4, 4) voxel → patient RAS, mm; axes in any direction, right- or left-handed.
    """

    voxels: NDArray[np.bool_]
    affine: Affine

    @property
    def ml(self) -> float:
        """Volume."""
        return float(self.voxels.sum()) * abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000

    @property
    def cropped(self) -> Region:
        """The same without the empty planes around it; itself where it is empty."""
        box = box_of(self.voxels)
        return Region(self.voxels[box], translated(self.affine, [along.start for along in box])) if box else self

    def mirrored(self, scan: Volume) -> Region:
        """Where it is in the scan that `mirrored` gives: the same voxels at other places."""
        axis = left_right_axis(scan.affine)
        flip = np.eye(4)
        flip[axis, axis], flip[axis, 3] = -1.0, scan.shape[axis] - 1
        return Region(self.voxels, scan.affine @ flip @ np.linalg.inv(scan.affine) @ self.affine)


def box_of(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice] | None:
    """The smallest box of voxels around a mask; None where it is empty."""
    plane, line = np.any(mask, axis=2), np.any(mask, axis=(0, 1))
    if not line.any():
        return None
    ends = [np.flatnonzero(held)[[0, -1]] for held in (np.any(plane, axis=1), np.any(plane, axis=0), line)]
    x, y, z = (slice(int(first), int(last) + 1) for first, last in ends)
    return x, y, z


def mirrored(scan: Volume) -> Volume:
    """The scan of a patient whose left is right: voxels in reverse along the axis nearest to left-right."""
    return replace(scan, voxels=np.flip(scan.voxels, left_right_axis(scan.affine)))


def left_right_axis(affine: Affine) -> int:
    """The array axis that runs nearest to the patient's left-right."""
    orientation = nibabel.orientations.io_orientation(affine)
    return int(np.flatnonzero(orientation[:, 0] == 0)[0])


def read_regions(case: MaskedScan, scan: Volume) -> list[Region]:
    """The mask of every sentence, in order; what is not above 0 (NaN too) is outside.

    Args:
        case: the sentences.
        scan: they are about.

    Raises:
        UnreadableFile: a file is damaged, or holds another number of findings or axes.
        BrokenGeometry: a mask does not overlap the scan, or one of ReXGroundingCT is not on its voxels.
    """
    files = dict.fromkeys(sentence.mask for sentence in case.sentences)
    found: dict[int, Region] = {}
    for path in files:
        asked = [(place, sentence) for place, sentence in enumerate(case.sentences) if sentence.mask == path]
        for (place, _), region in zip(asked, _of_file(path, [s for _, s in asked], case, scan), strict=True):
            found[place] = region
    return [found[place] for place in range(len(case.sentences))]


def _of_file(path: Path, sentences: list[MaskedSentence], case: MaskedScan, scan: Volume) -> Iterator[Region]:
    try:
        image = nibabel.nifti1.Nifti1Image.from_filename(path)
        stored = np.asanyarray(image.dataobj)
    except NIFTI_FAULTS as fault:
        raise UnreadableFile(f"The mask {path.name} cannot be read: {fault}.", hint="Copy it again.") from fault
    affine = np.asarray(image.affine, dtype=np.float64)
    if stored.ndim == 4:
        stored = _findings_first(stored, affine, case, scan, path.name)
    elif stored.ndim != 3:
        raise UnreadableFile(f"The mask {path.name} has {stored.ndim} axes.", hint="Save it with three, or four.")
    elif not _overlap(stored.shape, affine, scan):
        raise BrokenGeometry(f"The mask {path.name} does not overlap its scan.", hint="Look at both in a viewer.")
    for sentence in sentences:
        # In one order of memory with the maps that it is compared with.
        yield Region(np.asfortranarray(_chosen(stored, sentence, path.name)), affine)


def _chosen(stored: NDArray[Any], sentence: MaskedSentence, name: str) -> NDArray[np.bool_]:
    number = sentence.number
    if stored.ndim == 3:
        chosen: NDArray[np.bool_] = np.asarray(stored > 0 if number is None else stored == number)
        return chosen
    if number is None or number >= len(stored):
        raise UnreadableFile(
            f"The mask {name} holds {len(stored)} findings, and a sentence asks for number {number}.",
            hint="Give the number of the finding, from 0, in the column index.",
        )
    inside: NDArray[np.bool_] = np.asarray(stored[number] > 0)
    return inside


def _findings_first(stored: NDArray[Any], affine: Affine, case: MaskedScan, scan: Volume, name: str) -> NDArray[Any]:
    """Findings along the first axis, as in ReXGroundingCT, or along the last, as NIfTI has further axes."""
    if case.findings is not None:
        if len(stored) != case.findings:
            raise UnreadableFile(
                f"The masks {name} are {stored.shape}, for {case.findings} findings.",
                hint="Take masks and dataset.json from the same version of the data set.",
            )
        scan_axes(stored.shape[1:], affine, scan, name)
        return stored
    try:
        scan_axes(stored.shape[1:], affine, scan, name)
    except BrokenGeometry:
        scan_axes(stored.shape[:3], affine, scan, name)
        return np.moveaxis(stored, 3, 0)
    return stored


def _overlap(shape: tuple[int, ...], affine: Affine, scan: Volume) -> bool:
    mask, of_scan = grid_bounds_ras_mm(shape, affine), grid_bounds_ras_mm(scan.shape, scan.affine)
    return bool((np.maximum(mask[0], of_scan[0]) < np.minimum(mask[1], of_scan[1])).all())
