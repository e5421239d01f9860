"""The scans that the page is tested on, and the same scans in other forms."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
from dicom_files import Series


@dataclass(frozen=True)
class Scan:
    """A CT as NIfTI, and the weights that look at it."""

    key: str
    file: Path
    weights: str

    @property
    def shape(self):
        return nibabel.load(self.file).shape

    @property
    def size(self):
        """As the page says it."""
        return " × ".join(map(str, self.shape)) + " voxels"

    def as_nrrd(self, file):
        sitk.WriteImage(sitk.ReadImage(str(self.file)), str(file), useCompression=True)
        return file

    def as_dicom_zip(self, folder):
        """One series, zipped."""
        series = _Scanned.of(sitk.DICOMOrient(sitk.ReadImage(str(self.file)), "LPS"))
        series.write(folder / "series")
        return Path(shutil.make_archive(str(folder / "series"), "zip", folder, "series"))


@dataclass
class _Scanned(Series):
    """A series with the voxels of an image."""

    hu: np.ndarray | None = None

    @classmethod
    def of(cls, image):
        x_mm, y_mm, z_mm = image.GetSpacing()
        columns, rows, slices = image.GetSize()
        directions = np.array(image.GetDirection()).reshape(3, 3)
        return cls(
            slices=slices,
            columns=columns,
            rows=rows,
            pixel_mm=(y_mm, x_mm),
            step_mm=z_mm,
            orientation=(*directions[:, 0], *directions[:, 1]),
            origin=image.GetOrigin(),
            hu=sitk.GetArrayFromImage(image),
        )

    def stored(self, k):
        return np.clip(self.hu[k] - self.intercept, 0, None).astype(np.uint16)
