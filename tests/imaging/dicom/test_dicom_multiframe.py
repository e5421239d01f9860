"""Multi-frame CT objects, as many scanners now send a whole series."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_files import Series, enhanced, save

from simcrop_core.errors import NotHounsfield
from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.read import read_volume


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
