"""The three real scans that starter weights may see, with what their own labels say of the organs."""

from __future__ import annotations

import io
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

from simcrop_core.phantom.truth import LABELS, LOBES

# TotalSegmentator's numbers ("total", version 2) and the regions that sentences name.
_TOTALSEGMENTATOR = {
    "spleen": (1,), "right kidney": (2,), "left kidney": (3,), "liver": (5,), "stomach": (6,), "oesophagus": (15,),
    "aorta": (52,), "descending aorta": (52,), "spine": tuple(range(25, 51)), "ribs": tuple(range(92, 116)),
    "left upper lobe": (10,), "left lower lobe": (11,), "right upper lobe": (12,), "right middle lobe": (13,),
    "right lower lobe": (14,), "left lung": (10, 11), "right lung": (12, 13, 14),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class RealScan:
    """A scan on its own grid, axes RAS.

    Attributes:
        name: for the log.
        image: float32 HU.
        spacing_mm: along x, y, z.
        regions: named masks on the same grid; always "left lung" and "right lung".
        known: labels of `LABELS` that were looked for in the whole scan.
        says_nothing_of: sides ("left", "right", "") about which no absence may be claimed: an own finding is there.
    """

    name: str
    image: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    regions: dict[str, NDArray[np.bool_]]
    known: tuple[int, ...]
    says_nothing_of: tuple[str, ...] = field(default=())


def cip(folder: Path) -> RealScan:
    """Chest Imaging Platform's ct-64: whole chest, labels of lung thirds, airways and vessels."""
    image, spacing = _ras(SimpleITK.ReadImage(str(folder / "ct-64.nrrd")))
    labels, _ = _ras(SimpleITK.ReadImage(str(folder / "lm-64.nrrd")))
    region, kind = labels.astype(np.int32) % 256, labels.astype(np.int32) // 256
    lung = (region >= 9) & (region <= 14)
    regions = {"left lung": lung & (region <= 11), "right lung": lung & (region >= 12), "trachea": kind == 2}
    return RealScan("CIP ct-64", image, spacing, regions, (1, 2, 3))


def lung_dx(folder: Path) -> RealScan:
    """Lung-PET-CT-Dx A0002: 30 slices of 8 mm; lungs by threshold. It has a mass of its own in the right lung."""
    with tempfile.TemporaryDirectory() as place:
        with zipfile.ZipFile(io.BytesIO((folder / "dicom.zip").read_bytes())) as archive:
            archive.extractall(place)
        slices = next(p.parent for p in sorted(Path(place).rglob("*.dcm")))
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(slices)))
        image, spacing = _ras(reader.Execute())
    left, right = lungs_by_threshold(image)
    regions = {"left lung": left, "right lung": right}
    return RealScan("Lung-PET-CT-Dx A0002", image, spacing, regions, (1, 2), ("right", ""))


def abdomen(folder: Path) -> RealScan:
    """TotalSegmentator's test case: abdomen and pelvis with the lungs' bases, all organs labelled."""
    stored = nib.as_closest_canonical(nib.load(folder / "example_ct.nii.gz"))
    image = np.asanyarray(stored.dataobj).astype(np.float32)
    labels = np.asanyarray(nib.as_closest_canonical(nib.load(folder / "example_seg_fast_force_split.nii.gz")).dataobj)
    regions = {name: np.isin(labels, ids) for name, ids in _TOTALSEGMENTATOR.items()}
    x, y, z = (float(s) for s in stored.header.get_zooms()[:3])
    return RealScan("TotalSegmentator abdomen", image, (x, y, z), regions, tuple(range(1, len(LABELS))), ("",))


def lungs_by_threshold(image: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Left and right lung of a chest whose lungs do not touch: air not connected to the outside, by size and side."""
    air = ndimage.binary_opening(image < -500, iterations=2)
    parts, count = ndimage.label(air)
    edges = np.concatenate([parts[0].ravel(), parts[-1].ravel(), parts[:, 0].ravel(), parts[:, -1].ravel()])
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[np.unique(edges)] = 0
    masks = []
    middle = image.shape[0] / 2
    for part in np.argsort(sizes)[::-1][:2]:
        mask = ndimage.binary_closing(ndimage.binary_dilation(parts == part, iterations=2), iterations=4)
        masks.append((float(np.argwhere(mask)[:, 0].mean()), mask))
    if len(masks) < 2 or (not masks[0][0] < middle < masks[1][0] and not masks[1][0] < middle < masks[0][0]):
        raise ValueError("The lungs are not two separate regions of air.")
    masks.sort(key=lambda m: m[0])
    return masks[0][1], masks[1][1]


def _ras(image: SimpleITK.Image) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """Voxels (x, y, z) with axes RAS, and their spacing."""
    turned = SimpleITK.DICOMOrient(image, "LPS")
    voxels = SimpleITK.GetArrayFromImage(turned).transpose(2, 1, 0)[::-1, ::-1]
    x, y, z = turned.GetSpacing()
    return np.ascontiguousarray(voxels).astype(np.float32), (x, y, z)


assert set(LOBES[1:]) <= set(_TOTALSEGMENTATOR)
