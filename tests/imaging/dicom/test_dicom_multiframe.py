"""Multi-frame CT objects, as many scanners now send a whole series."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_files import Series, save
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage

from simcrop_core.errors import NotHounsfield
from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.read import read_volume


def _sequence(**values):
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return [item]


def enhanced(series, order, slopes=None):
    """One object with the series' slices as frames, in the given order."""
    ds = series.dataset(0, SOPClassUID=EnhancedCTImageStorage, ImagePositionPatient=None, ImageOrientationPatient=None)
    ds.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    del ds.PixelSpacing, ds.RescaleSlope, ds.RescaleIntercept
    ds.NumberOfFrames = len(order)
    shared, frames = Dataset(), []
    shared.PlaneOrientationSequence = _sequence(ImageOrientationPatient=list(series.orientation))
    shared.PixelMeasuresSequence = _sequence(PixelSpacing=list(series.pixel_mm), SliceThickness=series.step_mm)
    for index, k in enumerate(order):
        frame = Dataset()
        frame.PlanePositionSequence = _sequence(ImagePositionPatient=list(series.position(k)))
        slope = series.slope if slopes is None else slopes[index]
        frame.PixelValueTransformationSequence = _sequence(
            RescaleSlope=slope, RescaleIntercept=series.intercept, RescaleType="HU"
        )
        frames.append(frame)
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = frames
    ds.PixelData = b"".join(series.stored(k).tobytes() for k in order)
    return ds


@pytest.mark.parametrize("order", [range(12), range(11, -1, -1), [3, 0, 1, 2, 11, 10, 4, 5, 6, 9, 8, 7]])
def test_frames_are_ordered_by_position(tmp_path, order):
    series = Series()
    path = save(enhanced(series, list(order)), tmp_path / "enhanced.dcm")
    volume = read_volume(path)
    for k in range(series.slices):
        np.testing.assert_array_equal(volume.voxels[..., k], series.stored(k).T.astype(int) - 1024)
    np.testing.assert_allclose(apply(volume.affine, [0, 0, 11]) * [-1, -1, 1], series.position(11), atol=1e-6)
    assert volume.dicom.instance_numbers == tuple(list(order).index(k) + 1 for k in range(12))


def test_frames_with_rescales_of_their_own_are_refused(tmp_path):
    path = save(enhanced(Series(), list(range(12)), slopes=[1.0] * 11 + [2.0]), tmp_path / "enhanced.dcm")
    with pytest.raises(NotHounsfield, match="different rescales"):
        read_volume(path)
