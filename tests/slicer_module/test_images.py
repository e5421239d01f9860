"""The image that a sentence names, in real DICOM series and in volumes that only look like one."""

from __future__ import annotations

import io
import types
import zipfile

import numpy as np
import pydicom
import pytest
import slicer
import vtk
from chests import affine_of as chest_affine

pytest.importorskip("PySide6", reason="needs PySide6: pip install -r requirements-slicer.lock")
import slicer_widgets  # noqa: F401  (Slicer's i18n)
from SimCroPSlicerLib import images
from SimCroPSlicerLib.geometry import affine_of, matrix_of

from simcrop_core.imaging.affine import apply


def done(work):
    """The result of work that asks no engine."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value


@pytest.fixture(scope="session")
def series(real_ct, tmp_path_factory):
    """Thirty slices of 8 mm whose instance numbers run from the head down."""
    folder = tmp_path_factory.mktemp("series")
    with zipfile.ZipFile(real_ct("Lung_Dx-A0002") / "dicom.zip") as archive:
        names = [name for name in archive.namelist() if archive.read(name)[128:132] == b"DICM"]
        archive.extractall(folder, names)
    return sorted(folder / name for name in names)


@pytest.fixture(scope="session")
def headers(series):
    return [pydicom.dcmread(file, stop_before_pixels=True) for file in series]


def loaded(bare, files):
    """As Slicer's DICOM plugin loads it."""
    names = vtk.vtkStringArray()
    for file in files:
        names.InsertNextValue(str(file))
    return bare.logics["Volumes"].AddArchetypeVolume(str(files[0]), "ct", 0, names)


def height_of(volume, index):
    return float((affine_of(volume) @ [0, 0, index, 1])[2])


@pytest.mark.parametrize("order", [1, -1])
def test_an_image_is_found_by_its_header_whatever_the_order_of_the_files(bare, series, headers, order):
    volume = loaded(bare, series[::order])
    found = done(images.images_of(volume))
    assert len(found) == 30
    for header in headers[::7]:
        place = images.place_of({"series": 3, "image": int(header.InstanceNumber)}, found, volume)
        assert place.slice is not None
        assert height_of(volume, place.slice) == pytest.approx(float(header.ImagePositionPatient[2]))
    assert images.place_of({"series": 3, "image": 1}, found, volume).slice == 29, "the number is not the index"


def test_slicers_dicom_database_is_asked_where_it_knows_the_images(bare, headers, monkeypatch):
    """A stand-in with the two calls of ctkDICOMDatabase that are used; values are text, as there."""
    by_uid = {str(h.SOPInstanceUID): h for h in headers}
    tags = {"0020,0011": "SeriesNumber", "0020,0013": "InstanceNumber", "0020,0032": "ImagePositionPatient"}

    def value(uid, tag):
        held = by_uid[uid].get(tags[tag]) if uid in by_uid else ""
        return "\\".join(map(str, held)) if tag == "0020,0032" and held else str(held)

    monkeypatch.setattr(slicer, "dicomDatabase", types.SimpleNamespace(isOpen=True, instanceValue=value), raising=False)
    positions = np.array([h.ImagePositionPatient for h in headers], float) * (-1, -1, 1)
    affine = np.diag([-0.646484375, -0.646484375, 8.0, 1.0])
    affine[:3, 3] = positions[positions[:, 2].argmin()]
    volume = bare.add_volume(np.zeros((512, 512, 30), np.int8), affine)
    volume.SetAttribute(images.UIDS, " ".join([*by_uid, "1.2.unknown"]))
    found = done(images.images_of(volume))
    assert len(found) == 30
    place = images.place_of({"series": None, "image": 4}, found, volume)
    assert height_of(volume, place.slice) == float(headers[3].ImagePositionPatient[2])
    assert "names no series" in place.words


def test_no_jump_where_it_could_be_wrong(bare, series):
    """Another series, a number that is not there or there twice, a volume that was resampled or is not DICOM."""
    volume = loaded(bare, series)
    found = done(images.images_of(volume))
    assert "this CT is series 3" in images.place_of({"series": 4, "image": 12}, found, volume).words
    assert images.place_of({"series": 4, "image": 12}, found, volume).slice is None
    assert images.place_of({"series": 3, "image": 31}, found, volume).slice is None
    assert "several" in images.place_of({"series": 3, "image": 3}, [*found, found[2]], volume).words
    plain = bare.add_volume(np.zeros((5, 5, 30), np.int16), affine_of(volume))
    assert done(images.images_of(plain)) == []
    assert "no DICOM numbers" in images.place_of({"series": None, "image": 3}, [], plain).words
    cropped = bare.add_volume(np.zeros((512, 512, 10), np.int8), affine_of(volume))
    assert images.place_of({"series": 3, "image": 1}, found, cropped).slice is None
    finer = affine_of(volume) @ np.diag([1, 1, 2.5 / 8, 1])
    resampled = bare.add_volume(np.zeros((512, 512, 94), np.int8), finer)
    assert images.place_of({"series": 3, "image": 28}, found, resampled).slice is None


def test_a_straightened_tilted_scan_is_found_through_its_transform(bare):
    """Slicer straightens a tilted stack: the node's own grid is upright, and a transform shears it back."""
    affine = np.diag([-1.0, -1.0, 5.0, 1.0])
    affine[:3, 3] = (50, 60, -100)
    volume = bare.add_volume(np.zeros((100, 120, 40), np.int8), affine)
    shear = np.eye(4)
    shear[1, 2], shear[1, 3] = 0.4, 40.0
    tilt = bare.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "tilt")
    tilt.SetMatrixTransformToParent(matrix_of(shear))
    volume.SetAndObserveTransformNodeID(tilt.GetID())
    corners = apply(shear @ affine, [(0, 0, k) for k in range(40)])
    found = [images.Image(2, 40 - k, tuple(corner)) for k, corner in enumerate(corners)]
    place = images.place_of({"series": 2, "image": 11}, found, volume)
    assert place.slice == 29
    point = images.point_in(volume, place.slice, tuple(apply(affine, (30, 40, 3))))
    assert np.allclose(point, apply(shear @ affine, (30, 40, 29)))


@pytest.mark.parametrize("sign", [1, -1])
def test_counted_slices_begin_where_the_user_says(bare, sign):
    volume = bare.add_volume(
        np.zeros((9, 9, 30), np.int8), chest_affine(shape=(9, 9, 30), spacing=(2.0, 2.0, 5.0), signs=(-1, -1, sign))
    )
    heights = [height_of(volume, k) for k in range(30)]
    top = images.place_of({"series": None, "image": 1}, [], volume, images.FROM_HEAD)
    assert height_of(volume, top.slice) == max(heights)
    second = images.place_of({"series": 9, "image": 2}, [], volume, images.FROM_FEET)
    assert height_of(volume, second.slice) == sorted(heights)[1]
    assert images.place_of({"series": None, "image": 31}, [], volume, images.FROM_FEET).slice is None


def test_sagittal_stacks_are_not_counted_from_the_head(bare):
    affine = np.array([[0, 0, 5.0, 0], [2.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 1]])
    volume = bare.add_volume(np.zeros((9, 9, 30), np.int8), affine)
    assert images.place_of({"series": None, "image": 3}, [], volume, images.FROM_HEAD).slice is None


def test_headers_that_lack_what_is_needed_are_left_out(bare, tmp_path):
    header = pydicom.Dataset()
    header.SOPClassUID, header.InstanceNumber = "1.2.840.10008.5.1.4.1.1.2", "7"
    packed = io.BytesIO()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    pydicom.dcmwrite(packed, header, enforce_file_format=False, implicit_vr=False, little_endian=True)
    file = tmp_path / "odd.dcm"
    file.write_bytes(packed.getvalue())
    volume = bare.add_volume(np.zeros((3, 3, 3), np.int8), np.eye(4))
    volume.AddDefaultStorageNode()
    volume.GetStorageNode().SetFileName(str(file))
    assert done(images.images_of(volume)) == []
