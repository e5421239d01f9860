"""The three real scans that starter weights may see, with what their own labels say of the organs."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

from simcrop_core.models.structures import CHEST_LABELS, OTHER_TISSUE
from simcrop_core.phantom.truth import LOBES
from simcrop_training.data.outline import body_of
from simcrop_training.data.sample import SAMPLE_LABELS

# TotalSegmentator's numbers ("total", version 2) and the regions that sentences name.
_TOTALSEGMENTATOR = {
    "spleen": (1,), "right kidney": (2,), "left kidney": (3,), "liver": (5,), "stomach": (6,), "oesophagus": (15,),
    "aorta": (52,), "descending aorta": (52,), "spine": tuple(range(25, 51)), "ribs": tuple(range(92, 116)),
    "left upper lobe": (10,), "left lower lobe": (11,), "right upper lobe": (12,), "right middle lobe": (13,),
    "right lower lobe": (14,), "left lung": (10, 11), "right lung": (12, 13, 14),
}  # fmt: skip

_SIDES = ("left lung", "right lung")


@dataclass(frozen=True, slots=True, eq=False)
class RealScan:
    """A scan on its own grid, axes RAS.

    Attributes:
        name: for the log.
        image: float32 HU.
        spacing_mm: along x, y, z.
        regions: named masks on the same grid; always "left lung" and "right lung".
        known: labels of `SAMPLE_LABELS` that were looked for in the whole scan.
        says_nothing_of: sides ("left", "right", "") about which no absence may be claimed: an own finding is there.
        body: everything within the skin, by threshold, and all that is labelled.
    """

    name: str
    image: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    regions: dict[str, NDArray[np.bool_]]
    known: tuple[str, ...]
    says_nothing_of: tuple[str, ...] = field(default=())
    body: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        assert set(self.known) <= set(SAMPLE_LABELS), "labels go by their names"
        body = np.logical_or.reduce([body_of(self.image, self.spacing_mm), *self.regions.values()])
        object.__setattr__(self, "body", body)


def cip(folder: Path) -> RealScan:
    """Chest Imaging Platform's ct-64: whole chest, labels of lung thirds, airways and vessels."""
    image, spacing = _ras(SimpleITK.ReadImage(str(folder / "ct-64.nrrd")))
    labels, _ = _ras(SimpleITK.ReadImage(str(folder / "lm-64.nrrd")))
    region, kind = labels.astype(np.int32) % 256, labels.astype(np.int32) // 256
    lung = (region >= 9) & (region <= 14)
    regions = {"left lung": lung & (region <= 11), "right lung": lung & (region >= 12), "trachea": kind == 2}
    return RealScan("CIP ct-64", image, spacing, regions, (*_SIDES, "trachea", OTHER_TISSUE))


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
    return RealScan("Lung-PET-CT-Dx A0002", image, spacing, regions, (*_SIDES, OTHER_TISSUE), ("right", ""))


def abdomen(folder: Path) -> RealScan:
    """TotalSegmentator's test case: abdomen and pelvis with the lungs' bases, all organs labelled."""
    stored = nib.as_closest_canonical(nib.load(folder / "example_ct.nii.gz"))
    image = np.asanyarray(stored.dataobj).astype(np.float32)
    labels = np.asanyarray(nib.as_closest_canonical(nib.load(folder / "example_seg_fast_force_split.nii.gz")).dataobj)
    regions = {name: np.isin(labels, ids) for name, ids in _TOTALSEGMENTATOR.items()}
    x, y, z = (float(s) for s in stored.header.get_zooms()[:3])
    return RealScan("TotalSegmentator abdomen", image, (x, y, z), regions, CHEST_LABELS[1:], ("",))


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


RealName = Literal["CIP_ct-64", "Lung_Dx-A0002", "TotalSegmentator_abdomen"]
# Each by the name of its folder.
REAL_SCANS: dict[RealName, Callable[[Path], RealScan]] = {
    "CIP_ct-64": cip,
    "Lung_Dx-A0002": lung_dx,
    "TotalSegmentator_abdomen": abdomen,
}
assert set(LOBES[1:]) <= set(_TOTALSEGMENTATOR)
