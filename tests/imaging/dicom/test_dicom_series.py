"""Series with the faults that real archives have, written by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pydicom
import pytest
from dicom_files import PATIENT, Series, save
from pydicom.uid import SecondaryCaptureImageStorage

from simcrop_core.errors import (
    BrokenGeometry,
    Cancelled,
    NotACT,
    NotASingleVolume,
    NotHounsfield,
    SeriesChoiceNeeded,
    UnreadableFile,
)
from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.geometry_checks import check_orthogonality
from simcrop_core.imaging.read import read_header, read_volume
from simcrop_core.progress import Job


def expected_hu(series):
    """(columns, rows, slices), by formula."""
    return np.stack([series.stored(k).T * series.slope + series.intercept for k in range(series.slices)], axis=2)


def test_slices_are_ordered_by_position_whatever_files_and_instances_are_called(tmp_path):
    series = Series()
    volume = read_volume(series.write(tmp_path))
    np.testing.assert_array_equal(volume.voxels, expected_hu(series))
    assert volume.voxels.dtype == np.int16
    assert volume.dicom.instance_numbers == tuple(range(12, 0, -1))


@pytest.mark.parametrize(
    "orientation",
    [(1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, -1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1), (0.8, 0.6, 0, -0.6, 0.8, 0)],
    ids=["supine", "prone", "sagittal", "coronal", "oblique"],
)
def test_first_pixels_are_at_the_positions_in_the_headers(tmp_path, orientation):
    series = Series(orientation=orientation)
    volume = read_volume(series.write(tmp_path))
    for k in range(series.slices):
        first_pixel = apply(volume.affine, [0, 0, k]) * [-1, -1, 1]
        np.testing.assert_allclose(first_pixel, series.position(k), atol=1e-6)
    column_step = (apply(volume.affine, [1, 0, 0]) - apply(volume.affine, [0, 0, 0])) * [-1, -1, 1]
    np.testing.assert_allclose(column_step, np.array(orientation[:3]) * 14.0, atol=1e-6)


@pytest.mark.parametrize(("slope", "intercept", "dtype"), [(2.0, -2000.0, np.int16), (0.5, -1000.25, np.float32)])
def test_the_rescale_of_the_headers_is_applied(tmp_path, slope, intercept, dtype):
    series = Series(slope=slope, intercept=intercept)
    volume = read_volume(series.write(tmp_path))
    assert volume.voxels.dtype == dtype
    np.testing.assert_allclose(volume.voxels, expected_hu(series), atol=1e-3)


def test_each_slice_has_its_own_rescale(tmp_path):
    series = Series()
    series.write(tmp_path)
    for k, slope in ((0, 1.0), (3, 0.5), (8, 3.0)):
        save(series.dataset(k, RescaleSlope=slope), tmp_path / f"IM{np.random.default_rng(0).permutation(12)[k]:04d}")
    volume = read_volume(tmp_path)
    for k, slope in ((0, 1.0), (3, 0.5), (7, 1.0), (8, 3.0)):
        np.testing.assert_allclose(volume.voxels[..., k], series.stored(k).T * slope - 1024)


def test_a_rescale_that_the_decoder_did_not_apply_is_refused(tmp_path, monkeypatch):
    from simcrop_core.imaging.dicom import pixels

    honest = pixels._read_frames
    monkeypatch.setattr(pixels, "_read_frames", lambda path: honest(path) + 1024)
    with pytest.raises(NotHounsfield, match="do not follow the rescale"):
        read_volume(Series().write(tmp_path))


def test_a_header_without_photometric_interpretation_is_still_read(tmp_path):
    series = Series()
    for k in range(series.slices):
        save(series.dataset(k, PhotometricInterpretation=None), tmp_path / f"{k}")
    np.testing.assert_array_equal(read_volume(tmp_path).voxels, expected_hu(series))


def test_missing_slices_are_named(tmp_path):
    with pytest.raises(BrokenGeometry, match=r"3 slices .* missing: 1 between image 10 and image 8, 2 between"):
        read_volume(Series().write(tmp_path, leave_out=(3, 6, 7)))


def test_uneven_slices_are_refused_with_their_distances(tmp_path):
    series = Series()
    series.write(tmp_path, leave_out=(5,))
    save(series.dataset(5, ImagePositionPatient=[-120.0, -110.0, -277.0]), tmp_path / "moved")
    with pytest.raises(BrokenGeometry, match=r"3\.00 to 7\.00 mm apart"):
        read_volume(tmp_path)


def test_positions_rounded_to_a_tenth_are_even(tmp_path):
    series = Series(step_mm=1.25)
    for k in range(series.slices):
        x, y, z = series.position(k)
        save(series.dataset(k, ImagePositionPatient=[x, y, round(z, 1)]), tmp_path / f"{k}")
    assert read_volume(tmp_path).spacing_mm[2] == pytest.approx(1.25, abs=0.01)


def test_slices_out_of_line_are_refused(tmp_path):
    series = Series()
    series.write(tmp_path, leave_out=(5,))
    save(series.dataset(5, ImagePositionPatient=[-117.0, -110.0, -275.0]), tmp_path / "moved")
    with pytest.raises(BrokenGeometry, match=r"not lie on one line: .* 3\.0 mm"):
        read_volume(tmp_path)


def test_a_tilted_gantry_gives_the_true_sheared_affine_and_the_passport_refuses_it(tmp_path):
    series = Series(slant_mm=1.0)
    volume = read_volume(series.write(tmp_path))
    np.testing.assert_allclose(apply(volume.affine, [0, 0, 11]) * [-1, -1, 1], series.position(11), atol=1e-6)
    with pytest.raises(BrokenGeometry, match=r"slant of 11\.3°: the gantry was tilted"):
        check_orthogonality(volume)


def test_copies_of_a_slice_count_once(tmp_path):
    series = Series()
    series.write(tmp_path)
    (tmp_path / "copy").write_bytes((tmp_path / "IM0003").read_bytes())
    volume = read_volume(tmp_path)
    assert volume.shape == (20, 16, 12)
    assert [(f.code, f.outcome) for f in volume.findings] == [("copies-left-out", "repaired")]
    assert "1 files left out" in volume.findings[0].message


def test_two_phases_in_one_series_are_no_single_volume(tmp_path):
    series = Series()
    series.write(tmp_path / "first")
    series.write(tmp_path / "second")
    with pytest.raises(NotASingleVolume, match="24 slices at 12 places"):
        read_volume(tmp_path)


def test_too_few_slices_are_no_volume(tmp_path):
    with pytest.raises(NotASingleVolume, match="20 × 16 × 3"):
        read_volume(Series(slices=3).write(tmp_path))


def test_what_is_no_ct_slice_is_left_aside(tmp_path):
    series = Series()
    series.write(tmp_path)
    save(Series(image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")).dataset(0), tmp_path / "scout")
    save(Series(modality="MR").dataset(0), tmp_path / "mr")
    save(Series(sop_class=SecondaryCaptureImageStorage).dataset(0), tmp_path / "capture")
    save(series.dataset(0, ImagePositionPatient=None, ImageOrientationPatient=None), tmp_path / "nowhere")
    (tmp_path / "readme.txt").write_text("hello")
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.voxels, expected_hu(series))
    assert [(f.code, f.message) for f in volume.findings] == [
        ("files-left-out", "Left out: 1 × slice without a position.")
    ]


def test_an_error_says_what_was_found_instead_of_slices(tmp_path):
    Series(modality="MR").write(tmp_path)
    with pytest.raises(NotACT, match="12 × MR object"):
        read_volume(tmp_path)


@pytest.mark.parametrize("word", ["MIP", "MINIP", "CT_SOM5 MIP"])
def test_projections_are_no_slices_of_the_scan(tmp_path, word):
    projections = Series(number=9, image_type=("DERIVED", "SECONDARY", "AXIAL", word)).write(tmp_path / "mip")
    with pytest.raises(NotACT, match=r"12 × projection \(MIP\)"):
        read_volume(projections)
    Series(number=2).write(tmp_path / "thin")
    assert read_volume(tmp_path).dicom.series_number == 2


@pytest.fixture
def two_series(tmp_path):
    thin, thick = Series(number=4), Series(number=7, description="LUNG 5.0", slices=11, intercept=-1000)
    thin.write(tmp_path / "a")
    thick.write(tmp_path / "b")
    return tmp_path, thin, thick


def test_of_two_series_none_is_taken_unasked(two_series):
    folder, *_ = two_series
    with pytest.raises(SeriesChoiceNeeded) as caught:
        read_volume(folder)
    assert "4: CHEST 1.25 (12 slices, axial)" in caught.value.message
    assert "7: LUNG 5.0 (11 slices, axial)" in caught.value.message


def test_a_series_is_chosen_by_number_uid_or_one_of_its_files(two_series):
    folder, _, thick = two_series
    expected = expected_hu(thick)
    np.testing.assert_array_equal(read_volume(folder, series="7").voxels, expected)
    np.testing.assert_array_equal(read_volume(folder, series=thick.uid).voxels, expected)
    np.testing.assert_array_equal(read_volume(folder / "b" / "IM0002").voxels, expected)
    assert read_header(folder, series="7").name == "series 7 (LUNG 5.0)"
    with pytest.raises(SeriesChoiceNeeded, match="no series 5"):
        read_volume(folder, series="5")


def test_the_only_axial_scan_is_taken_unasked(tmp_path):
    axial = Series(number=2)
    axial.write(tmp_path / "axial")
    Series(number=3, description="COR", orientation=(1, 0, 0, 0, 0, -1), slices=20).write(tmp_path / "coronal")
    Series(number=1, slices=5).write(tmp_path / "bolus tracking")
    assert read_volume(tmp_path).dicom.series_number == 2


def test_images_of_another_size_in_the_series_are_a_choice_of_their_own(tmp_path):
    series = Series()
    series.write(tmp_path / "a")
    other = dataclasses.replace(series, columns=18, slices=10)
    other.uid = series.uid
    other.write(tmp_path / "b")
    with pytest.raises(SeriesChoiceNeeded, match=r"4\.1: .*12 slices.*\n.*4\.2: .*10 slices"):
        read_volume(tmp_path)
    assert read_volume(tmp_path, series="4.2").shape == (18, 16, 10)


def test_nothing_in_a_volume_names_the_patient(tmp_path):
    volume = read_volume(Series(description="  CHEST   1.25 \n").write(tmp_path / PATIENT))
    assert volume.name == "series 4 (CHEST 1.25)"
    assert read_volume(Series(number=None, description="").write(tmp_path / "bare")).name == "series"


def test_a_file_pointed_at_must_be_a_slice(tmp_path):
    Series().write(tmp_path)
    scout = save(Series(image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")).dataset(0), tmp_path / "scout")
    with pytest.raises(NotACT, match=r"no CT slice \(localizer\)"):
        read_volume(scout)


@pytest.mark.parametrize("lost", [2, 300])
def test_a_slice_cut_off_in_its_pixels_is_named(tmp_path, lost):
    Series().write(tmp_path, names=lambda k: f"{k:02d}.dcm")
    cut = tmp_path / "07.dcm"
    cut.write_bytes(cut.read_bytes()[:-lost])
    with pytest.raises(UnreadableFile, match=r"07\.dcm"):
        read_volume(tmp_path)


@pytest.mark.parametrize("left", [430, 600])
def test_a_slice_cut_off_in_its_header_is_reported(tmp_path, left):
    Series().write(tmp_path, names=lambda k: f"{k:02d}.dcm")
    cut = tmp_path / "11.dcm"
    cut.write_bytes(cut.read_bytes()[:left])
    volume = read_volume(tmp_path)
    assert volume.shape[2] == 11
    assert [(f.outcome, f.message) for f in volume.findings] == [("warned", "Left out: 1 × damaged file.")]


def test_old_files_without_preamble_are_read(tmp_path):
    series = Series()
    for k in range(series.slices):
        pydicom.dcmwrite(tmp_path / f"{k}", series.dataset(k), enforce_file_format=False)
    assert (tmp_path / "0").read_bytes()[:2] == b"\x02\x00"
    np.testing.assert_array_equal(read_volume(tmp_path).voxels, expected_hu(series))


def test_reading_stops_when_asked(tmp_path):
    Series().write(tmp_path)
    job = Job(lambda progress: job.cancel() if progress.stage == "reading" else None)
    with pytest.raises(Cancelled):
        read_volume(tmp_path, job=job)
