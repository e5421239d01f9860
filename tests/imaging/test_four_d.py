"""4D files: a frame must be named, and it alone is read, where nibabel and SimpleITK say it is."""

from __future__ import annotations

import gzip
import json

import nibabel
import numpy as np
import pytest
import SimpleITK
from chests import affine_of, chest_hu, volume_of
from dicom_files import Series

from simcrop_core.cli.main import main
from simcrop_core.cli.options import results_folder
from simcrop_core.errors import BrokenGeometry, NoSuchFrame, NotASingleVolume, UnreadableFile
from simcrop_core.export.provenance import facts_of
from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.isolated import read_isolated
from simcrop_core.imaging.overview import check_scan, overview
from simcrop_core.imaging.read import read_header, read_volume
from simcrop_core.inference.session import Session
from simcrop_core.text.report import parse_sentence

SHAPE = (5, 6, 7)
FRAMES = 3
# (t, z, y, x), as SimpleITK and files have it.
STORED = np.random.default_rng(4).integers(-1000, 1000, (FRAMES, *SHAPE[::-1])).astype(np.int16)
AFFINE = np.array([[-0.8, 0.6, 0, 30], [0.6, 0.8, 0, -20], [0, 0, 1.5, 400], [0, 0, 0, 1]], float)
DIRECTION = (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, -1)


def nifti(path, **fields):
    image = nibabel.Nifti1Image(STORED.T, AFFINE)
    image.header.set_slope_inter(2, -24)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def itk(path, compressed):
    frames = [SimpleITK.GetImageFromArray(frame) for frame in STORED]
    for frame in frames:
        frame.SetDirection(DIRECTION)
        frame.SetSpacing((0.7, 0.8, 1.5))
        frame.SetOrigin((-30.5, 20, 400))
    SimpleITK.WriteImage(SimpleITK.JoinSeries(frames, 10, 250), str(path), compressed)
    return path


def sequence(path, kind="list", *, gzipped=False):
    """A sequence as Slicer writes it: the frames are the numbers of one voxel."""
    packed = np.ascontiguousarray(np.moveaxis(STORED, 0, -1)).tobytes()
    path.write_bytes(
        b"NRRD0004\ntype: short\ndimension: 4\nspace: left-posterior-superior\nsizes: 3 5 6 7\n"
        b"space directions: none (0.8,0.6,0) (-0.6,0.8,0) (0,0,1.5)\n"
        + f"kinds: {kind} domain domain domain\nencoding: {'gzip' if gzipped else 'raw'}\n".encode()
        + b"endian: little\nspace origin: (1,2,3)\n\n"
        + (gzip.compress(packed) if gzipped else packed)
    )
    return path


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
@pytest.mark.parametrize("frame", [1, 2, 3])
def test_a_frame_of_a_nifti_is_nibabel_s(tmp_path, name, frame):
    path = nifti(tmp_path / name)
    volume, image = read_volume(path, frame=frame), nibabel.load(path)
    np.testing.assert_array_equal(volume.voxels, image.get_fdata()[..., frame - 1])
    assert volume.voxels.dtype == np.int16
    assert volume.affine.tobytes() == image.affine.tobytes()
    assert volume.frame == (frame, FRAMES)


@pytest.mark.parametrize("name", ["ct.mha", "ct.mhd", "ct.nrrd", "ct.nhdr"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_frame_of_metaimage_and_nrrd_is_simpleitk_s(tmp_path, name, compressed):
    path = itk(tmp_path / name, compressed)
    whole = SimpleITK.ReadImage(str(path))
    for frame in (1, 3):
        image = whole[:, :, :, frame - 1]
        volume = read_volume(path, frame=frame)
        np.testing.assert_array_equal(volume.voxels, SimpleITK.GetArrayViewFromImage(image).T)
        for index in [(0, 0, 0), (4, 2, 6)]:
            expected = np.array(whole.TransformIndexToPhysicalPoint((*index, frame - 1))[:3]) * [-1, -1, 1]
            np.testing.assert_allclose(apply(volume.affine, index), expected, atol=1e-9)


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_frame_of_slicer_s_sequence_is_one_number_of_each_voxel(tmp_path, gzipped):
    path = sequence(tmp_path / "ct.seq.nrrd", gzipped=gzipped)
    volume = read_volume(path, frame=2)
    np.testing.assert_array_equal(volume.voxels, STORED[1].T)
    expected = np.diag([-1, -1, 1, 1]) @ [[0.8, -0.6, 0, 1], [0.6, 0.8, 0, 2], [0, 0, 1.5, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(volume.affine, expected, atol=1e-12)
    assert read_header(path, frame=2).stored_type == "int16"


MADE = {
    "nifti": lambda folder: nifti(folder / "ct.nii.gz"),
    "metaimage": lambda folder: itk(folder / "ct.mha", False),
    "nrrd": lambda folder: itk(folder / "ct.nrrd", True),
    "sequence": lambda folder: sequence(folder / "ct.seq.nrrd"),
}


@pytest.mark.parametrize("name", MADE)
def test_no_frame_or_a_wrong_one_is_refused_with_how_many_there_are(tmp_path, name):
    path = MADE[name](tmp_path)
    with pytest.raises(NotASingleVolume, match="holds 3 volumes") as unnamed:
        read_volume(path)
    assert unnamed.value.hint == "Name one of them: --frame 1 to --frame 3."
    for wrong in (0, 4, -1):
        with pytest.raises(NoSuchFrame, match=f"no frame {wrong}: it holds 3 volumes") as missing:
            read_volume(path, frame=wrong)
        assert "--frame 1 to --frame 3" in missing.value.hint


def test_the_only_volume_of_a_file_is_its_first_frame_and_no_other(tmp_path):
    path = tmp_path / "ct.nii"
    nibabel.save(nibabel.Nifti1Image(STORED[0].T, AFFINE), path)
    volume = read_volume(path, frame=1)
    assert (volume.frame, volume.findings) == (None, read_volume(path).findings)
    Series().write(tmp_path / "series")
    assert read_volume(tmp_path / "series", frame=1).frame is None
    for scan in (path, tmp_path / "series"):
        with pytest.raises(NoSuchFrame, match="holds one volume") as fault:
            read_volume(scan, frame=2)
        assert fault.value.hint == "Leave --frame out."


@pytest.mark.parametrize("frame", [None, 1])
def test_colours_and_vectors_are_no_frames(tmp_path, frame):
    vectors = nifti(tmp_path / "vectors.nii", intent_code=1007)
    five = tmp_path / "five.nii"
    nibabel.save(nibabel.Nifti1Image(np.zeros((*SHAPE, 1, 3), np.int16), AFFINE), five)
    colours = tmp_path / "colours.mha"
    SimpleITK.WriteImage(SimpleITK.Image([8, 8, 8], SimpleITK.sitkVectorUInt8, 3), str(colours))
    kinds = [sequence(tmp_path / f"{kind}.nrrd", kind) for kind in ("RGB-color", "vector", "3-color")]
    for path in (vectors, five, colours, *kinds):
        with pytest.raises((NotASingleVolume, NoSuchFrame)) as fault:
            read_volume(path, frame=frame)
        assert "--frame 1" not in fault.value.hint


def test_a_time_axis_that_leans_into_space_is_refused(tmp_path):
    image = SimpleITK.Image([8, 8, 8, 2], SimpleITK.sitkInt16)
    image.SetDirection([0.8, 0, 0, -0.6, 0, 1, 0, 0, 0, 0, 1, 0, 0.6, 0, 0, 0.8])
    SimpleITK.WriteImage(image, str(tmp_path / "ct.mha"))
    with pytest.raises(BrokenGeometry, match="axis of time"):
        read_volume(tmp_path / "ct.mha", frame=1)


def test_a_file_cut_off_in_its_frames_is_named(tmp_path):
    for name in ("ct.nii", "ct.nii.gz"):
        path = nifti(tmp_path / name)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(UnreadableFile):
            read_volume(path, frame=3)


def test_the_results_tell_which_frame_they_are_about(tmp_path, engine):
    shape = (60, 44, 50)
    affine = affine_of(spacing=(6, 6, 6), shape=shape)
    chest = volume_of(chest_hu, affine, shape).voxels
    path = tmp_path / "breathing.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.stack([chest, chest + 1], axis=3), affine), path)
    read = read_isolated(path, frame=2)
    assert read.header.frame == read.volume.frame == (2, 2)
    np.testing.assert_array_equal(read.volume.voxels, chest + 1)
    result = check_scan(path, frame=2)
    assert result.volume.frame == (2, 2)
    assert ("frame", "pass", "Frame 2 of 2 was taken: the file is 4D.") in [
        (finding.code, finding.outcome, finding.message) for finding in result.passport
    ]
    assert overview(path, frame=1).volume.frame == (1, 2)
    refusal = check_scan(path)
    assert (refusal.outcome, refusal.passport[-1].code) == ("refused", "not-a-single-volume")
    grounded = Session.open(path, engine, frame=2).ground([parse_sentence("Nodule in the left lung.")])
    assert grounded.result.volume.frame == (2, 2)
    facts = facts_of(grounded.result)
    assert "frame 2" in facts["parameters"]
    assert "frame pass" in facts["checks"]


def test_the_command_takes_a_frame_from_1_and_keeps_results_of_each_apart(tmp_path, capsys):
    path = nifti(tmp_path / "ct.nii.gz")
    for frame, code in ((3, 1), (4, 1), (0, 2)):  # noise is refused for its values, later than for its frame
        with pytest.raises(SystemExit) as ended:
            main(["check", str(path), "--frame", str(frame), "--json"])
        said = capsys.readouterr()
        assert ended.value.code == code
        if code == 1:
            codes = [finding["code"] for finding in json.loads(said.out)["passport"]]
            assert ("no-such-frame" in codes, "frame" in codes) == (frame == 4, frame == 3)
    folders = {results_folder(path, frame) for frame in (None, 1, 2)}
    assert len(folders) == 3
    assert results_folder(path, 2).name.endswith("-frame-2")
