"""DICOM objects, read back: every voxel where it was, every code and reference as meant, and nobody's name."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import PATIENT, Series, enhanced, save
from highdicom.seg import segread
from highdicom.sr import srread

from simcrop_core.errors import CannotWrite, UnreadableFile
from simcrop_core.export.dicom.grounding import write_dicom_grounding
from simcrop_core.export.dicom.segmentation import write_segmentation
from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.dicom.source import read_source
from simcrop_core.imaging.heatmap import Heatmap
from simcrop_core.imaging.read import read_volume
from simcrop_core.inference.segmentation import Labelmap

sys.path.insert(0, str(Path(__file__).parent))

TURN = (0.9781476, 0.2079117, 0, -0.2033683, 0.9567727, 0.2079117)  # 12° about z, then about the rows
SERIES = {
    "axial": Series(),
    "oblique": Series(orientation=TURN),
    "feet first, face down": Series(orientation=(-1, 0, 0, 0, 1, 0)),
    "sagittal": Series(orientation=(0, 1, 0, 0, 0, -1)),
    "tilted gantry": Series(slant_mm=1.2),
}


@pytest.fixture(params=[*SERIES, "multi-frame"])
def folder(request, tmp_path):
    if request.param == "multi-frame":
        (tmp_path / "ct").mkdir()
        save(enhanced(Series(), [3, 0, 1, 2, 11, 10, 4, 5, 6, 9, 8, 7]), tmp_path / "ct" / "enhanced.dcm")
    else:
        dataclasses.replace(SERIES[request.param]).write(tmp_path / "ct")
    return tmp_path / "ct"


@pytest.fixture
def axial(tmp_path):
    return Series().write(tmp_path / "ct")


@pytest.fixture
def weights(grounding):
    return grounding.weights


def labelled(volume):
    """Three boxes that no turn or mirroring maps onto themselves; one label has no voxel."""
    voxels = np.zeros(volume.shape, np.uint8)
    voxels[2:5, 3:9, 1:4], voxels[12:13, 2:4, 6:11], voxels[8:10, 10:14, 0] = 1, 2, 7
    names = {1: "left lung", 2: "liver", 3: "spleen", 7: "Something else"}
    return Labelmap(voxels, volume.affine, names)


def points_of(dataset, wanted):
    """RAS of each pixel of a frame that is `wanted(frame, values)`, worked out from the frame's own header."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    values = pixels_of(dataset)
    found = []
    for index, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        orientation = (shared if "PlaneOrientationSequence" in shared else frame).PlaneOrientationSequence[0]
        measures = (shared if "PixelMeasuresSequence" in shared else frame).PixelMeasuresSequence[0]
        row, column = np.array(orientation.ImageOrientationPatient, float).reshape(2, 3)
        between_rows, between_columns = (float(mm) for mm in measures.PixelSpacing)
        first = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for r, c in np.argwhere(wanted(frame, values[index])):
            found.append(first + c * between_columns * row + r * between_rows * column)
    return np.array(found) * [-1, -1, 1]


def pixels_of(dataset):
    if "FloatPixelData" in dataset:
        values = np.frombuffer(dataset.FloatPixelData, "<f4")
        return values.reshape(int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns)
    return dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)


def sorted_rows(points):
    return points[np.lexsort(np.round(points, 3).T)]


def test_a_segmentation_lies_where_its_voxels_did(folder, tmp_path, weights):
    volume = read_volume(folder)
    labels = labelled(volume)
    write_segmentation(tmp_path / "seg.dcm", labels, read_source(folder), weights)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    for number, value in enumerate((1, 2, 7), start=1):

        def mine(frame, values, number=number):
            return (values > 0) & (frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number)

        expected = apply(volume.affine, np.argwhere(labels.voxels == value))
        np.testing.assert_allclose(sorted_rows(points_of(dataset, mine)), sorted_rows(expected), atol=2e-3)


def test_frames_name_the_slice_they_lie_on(folder, tmp_path, weights):
    volume, source = read_volume(folder), read_source(folder)
    write_segmentation(tmp_path / "seg.dcm", labelled(volume), source, weights)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        named = frame.DerivationImageSequence[0].SourceImageSequence[0]
        image = next(i for i in source.images if i.SOPInstanceUID == named.ReferencedSOPInstanceUID)
        if "PerFrameFunctionalGroupsSequence" in image:
            image = image.PerFrameFunctionalGroupsSequence[int(named.ReferencedFrameNumber) - 1].PlanePositionSequence[
                0
            ]
        here = frame.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(np.array(here, float), np.array(image.ImagePositionPatient, float), atol=2e-3)


def test_segments_are_coded(axial, tmp_path, weights):
    write_segmentation(tmp_path / "seg.dcm", labelled(read_volume(axial)), read_source(axial), weights)
    found = segread(tmp_path / "seg.dcm")
    lung, liver, other = (found.get_segment_description(number) for number in (1, 2, 3))
    assert (lung.segmented_property_type.value, lung.segmented_property_type.scheme_designator) == ("39607008", "SCT")
    modifier = lung.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert (modifier.CodeValue, modifier.CodeMeaning) == ("7771000", "Left")
    assert liver.segmented_property_type.value == "10200004"
    assert (other.segment_label, other.segmented_property_type.meaning) == ("Something else", "Tissue")
    assert found.ContentDescription.endswith("not a medical device")


def test_the_same_content_made_at_the_same_time_is_the_same_object_and_any_other_is_not(
    axial, tmp_path, weights, monkeypatch
):
    source, labels = read_source(axial), labelled(read_volume(axial))
    more = dataclasses.replace(labels, voxels=labels.voxels.copy())
    more.voxels[0, 0, 0] = 1
    made = {}
    for name, these, moment in (
        ("first", labels, "1700000000"),
        ("again", labels, "1700000000"),
        ("a voxel more", more, "1700000000"),
        ("a second later", labels, "1700000001"),
        ("now", labels, ""),
    ):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", moment)
        write_segmentation(tmp_path / f"{name}.dcm", these, source, weights)
        made[name] = (tmp_path / f"{name}.dcm").read_bytes()
    assert made["first"] == made["again"]
    uids = {pydicom.dcmread(path).SOPInstanceUID for path in tmp_path.glob("*.dcm")}
    assert len(uids) == 4


def test_a_time_of_making_that_is_none_is_refused(axial, tmp_path, weights, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(CannotWrite, match="SOURCE_DATE_EPOCH"):
        write_segmentation(tmp_path / "seg.dcm", labelled(read_volume(axial)), read_source(axial), weights)
    assert not (tmp_path / "seg.dcm").exists()


def test_an_empty_label_map_is_refused(axial, tmp_path, weights):
    volume = read_volume(axial)
    empty = Labelmap(np.zeros(volume.shape, np.uint8), volume.affine, {1: "left lung"})
    with pytest.raises(CannotWrite, match="cannot be empty"):
        write_segmentation(tmp_path / "seg.dcm", empty, read_source(axial), weights)
    assert not (tmp_path / "seg.dcm").exists()


@pytest.fixture
def spoken(grounding):
    """Two sentences that are drawn and two that are not, on an oblique grid of patches."""
    rng = np.random.default_rng(4)
    affine = np.eye(4)
    affine[:3, :3] = np.array(TURN).reshape(2, 3)[[0, 1, 0]].T * 24
    affine[:3, 2] = np.cross(affine[:3, 0], affine[:3, 1]) / 24
    affine[:3, 3] = (-90, -80, 40)
    maps = [Heatmap(rng.random((5, 6, 7)).astype(np.float32), affine, "") for _ in range(3)]
    mass = next(s for s in grounding.sentences if s.evidence == "located" and s.polarity == "positive")
    sentences = [
        dataclasses.replace(mass, text="A mass in the left lung.", side="left"),
        dataclasses.replace(mass, text="Follow-up in three months.", evidence="not groundable", score=None, side=None),
        dataclasses.replace(mass, text="No effusion.", polarity="negated", side=None),
        dataclasses.replace(mass, text="Nodules on both sides.", evidence="weak", side="bilateral"),
    ]
    return dataclasses.replace(grounding, sentences=sentences), [maps[0], None, maps[1], maps[2]]


@pytest.fixture
def objects(spoken, scale, axial, tmp_path):
    write_dicom_grounding(tmp_path / "out", *spoken, scale, read_source(axial))
    return tmp_path / "out"


def test_a_map_holds_the_scores_where_the_patches_are(objects, spoken):
    heatmap = spoken[1][0]
    dataset = pydicom.dcmread(objects / "01-map.dcm")
    points = points_of(dataset, lambda _, values: np.ones(values.shape, bool))
    index = apply(np.linalg.inv(heatmap.affine), points)
    np.testing.assert_allclose(index, np.rint(index), atol=1e-3)
    x, y, z = np.rint(index).astype(int).T
    assert len({*zip(x, y, z, strict=True)}) == heatmap.scores.size
    np.testing.assert_array_equal(pixels_of(dataset).ravel(), heatmap.scores[x, y, z])
    frame = dataset.SharedFunctionalGroupsSequence[0]
    mapping = frame.RealWorldValueMappingSequence[0]
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert "not a probability" in mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeMeaning


def test_regions_are_the_drawn_patches_and_called_attention(objects, spoken, scale):
    found = segread(objects / "regions.dcm")
    assert [one.SegmentLabel for one in found.SegmentSequence] == [
        "Attention region of sentence 1",
        "Attention region of sentence 4",
    ]
    for one in found.SegmentSequence:
        assert one.SegmentedPropertyTypeCodeSequence[0].CodeValue == "attention-region"
    heatmap = spoken[1][3]
    drawn = points_of(
        pydicom.dcmread(objects / "regions.dcm"),
        lambda frame, values: (values > 0) & (frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 2),
    )
    expected = apply(heatmap.affine, np.argwhere(heatmap.scores >= scale.low))
    np.testing.assert_allclose(sorted_rows(drawn), sorted_rows(expected), atol=2e-3)


def test_the_report_ties_each_sentence_to_what_shows_it(objects, spoken, axial):
    report = srread(objects / "report.dcm")
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    placed = report.content.get_volumetric_roi_measurement_groups()
    others = report.content.get_image_measurement_groups()
    assert [group.tracking_identifier for group in placed] == ["A mass in the left lung.", "Nodules on both sides."]
    assert [group.tracking_identifier for group in others] == ["Follow-up in three months.", "No effusion."]
    regions = pydicom.dcmread(objects / "regions.dcm")
    for number, group in enumerate(placed, start=1):
        named = group.referenced_segment[0].ReferencedSOPSequence[0]
        assert (named.ReferencedSOPInstanceUID, named.ReferencedSegmentNumber) == (regions.SOPInstanceUID, number)
        (score,) = group.get_measurements()
        assert score.value == pytest.approx(spoken[0].sentences[0].score, abs=1e-4)
    shown = {image.referenced_sop_instance_uid for image in others[1].source_images}
    assert shown == {pydicom.dcmread(objects / "03-map.dcm").SOPInstanceUID}
    assert not others[0].source_images
    said = {e.name.value: e.value.meaning for e in placed[0].get_qualitative_evaluations()}
    assert said["polarity"] == "positive"
    assert said["evidence"] == "located"
    evidence = {
        uid.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for uid in series.ReferencedSOPSequence
    }
    assert {image.SOPInstanceUID for image in read_source(axial).images} <= evidence


def test_all_belong_to_the_study_and_its_space(objects, axial):
    source = read_source(axial).images[0]
    for path in objects.iterdir():
        dataset = pydicom.dcmread(path)
        assert dataset.StudyInstanceUID == source.StudyInstanceUID
        assert dataset.SeriesInstanceUID != source.SeriesInstanceUID
        assert dataset.PatientName == PATIENT
        if path.name != "report.dcm":
            assert dataset.FrameOfReferenceUID == source.FrameOfReferenceUID
            assert PATIENT.encode() in path.read_bytes()


SECRETS = {
    "OtherPatientNames": "SECRET^OTHER", "OtherPatientIDs": "SECRET-1", "PatientAddress": "SECRET street",
    "PatientComments": "SECRET remark", "PatientAge": "077Y", "PatientWeight": "77.7", "EthnicGroup": "SECRET group",
    "Occupation": "SECRET work", "AdditionalPatientHistory": "SECRET past", "MilitaryRank": "SECRET rank",
    "IssuerOfPatientID": "SECRET issuer", "StudyDescription": "SECRET study", "SeriesDescription": "SECRET series",
    "ProtocolName": "SECRET protocol", "PhysiciansOfRecord": "SECRET^DOCTOR", "OperatorsName": "SECRET^OPERATOR",
    "PerformingPhysicianName": "SECRET^PERFORMER", "RequestingPhysician": "SECRET^ASKER",
    "InstitutionName": "SECRET clinic", "InstitutionAddress": "SECRET road", "StationName": "SECRET-CT",
    "DeviceSerialNumber": "SECRET-9", "InstitutionalDepartmentName": "SECRET ward",
    "AdmittingDiagnosesDescription": "SECRET reason", "ClinicalTrialSubjectID": "SECRET-TRIAL",
    "ClinicalTrialSponsorName": "SECRET sponsor", "ImageComments": "SECRET comment",
}  # fmt: skip


def test_deidentified_objects_name_nobody(spoken, scale, axial, tmp_path):
    volume, told = read_volume(axial), read_source(axial)
    for image in told.images:
        for keyword, value in SECRETS.items():
            setattr(image, keyword, value)
        image.private_block(0x0011, "SECRET MAKER", create=True).add_new(0x01, "LO", "SECRET private")
    source = told.deidentified()
    write_dicom_grounding(tmp_path / "out", *spoken, scale, source)
    write_segmentation(tmp_path / "out" / "seg.dcm", labelled(volume), source, spoken[0].weights)
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        assert PATIENT.encode() not in content
        assert b"SECRET" not in content
        made = pydicom.dcmread(path)
        assert not [made.get(name) for name in ("PatientAge", "PatientWeight") if made.get(name)]
        assert b"12345" not in made.PatientID.encode()
        assert made.PatientIdentityRemoved == "YES"
        assert made.StudyInstanceUID == source.images[0].StudyInstanceUID
    assert read_source(axial).images[0].PatientName == PATIENT


def test_a_deidentified_multi_frame_series_keeps_where_its_frames_lie(tmp_path):
    (tmp_path / "ct").mkdir()
    save(enhanced(Series(), list(range(12))), tmp_path / "ct" / "enhanced.dcm")
    told = read_source(tmp_path / "ct")
    told.images[0].SharedFunctionalGroupsSequence[0].ImageComments = "SECRET comment"
    frames = told.deidentified().images[0].PerFrameFunctionalGroupsSequence
    assert [f.PlanePositionSequence for f in frames] == [
        f.PlanePositionSequence for f in told.images[0].PerFrameFunctionalGroupsSequence
    ]
    assert "SECRET" not in str(told.deidentified().images[0])
    assert PATIENT not in str(told.deidentified().images[0])


def test_a_series_to_which_nothing_can_refer_is_refused(tmp_path):
    series = Series()
    for k in range(series.slices):
        (tmp_path / "ct").mkdir(exist_ok=True)
        save(series.dataset(k, FrameOfReferenceUID=None), tmp_path / "ct" / f"{k}.dcm")
    with pytest.raises(UnreadableFile, match="lacks FrameOfReferenceUID"):
        read_source(tmp_path / "ct")


def test_a_file_that_is_no_dicom_has_no_source(chest, tmp_path):
    from simcrop_core.export.nifti import write_volume

    write_volume(tmp_path / "ct.nii.gz", chest.voxels, chest.affine, description="")
    with pytest.raises(UnreadableFile, match="no DICOM series"):
        read_source(tmp_path / "ct.nii.gz")


def test_dcmqi_reads_the_same_sentences_codes_and_regions(objects, spoken, tmp_path):
    """The converter by which Slicer and research archives read such reports."""
    if importlib.util.find_spec("dcmqi") is None:
        pytest.skip("needs dcmqi: pip install 'simcrop[dicom-tests]'")
    from out_and_back import dcmqi

    said = tmp_path / "report.json"
    command = [dcmqi("tid1500reader"), "--inputDICOM", objects / "report.dcm", "--outputMetadata", said]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=120)
    groups = json.loads(said.read_text(encoding="utf-8"))["Measurements"]
    sentences = [sentence for sentence in spoken[0].sentences if sentence.score is not None]
    read = {group["TrackingIdentifier"]: group for group in groups}
    drawn = {one.text for one in sentences if one.polarity == "positive"}
    assert drawn <= set(read)
    regions = pydicom.dcmread(objects / "regions.dcm").SOPInstanceUID
    for sentence in sentences:
        if sentence.text in drawn:
            group = read[sentence.text]
            assert group["segmentationSOPInstanceUID"] == regions
            assert group["Finding"]["CodingSchemeDesignator"] == "99SIMCROP"
            (measured,) = group["measurementItems"]
            assert float(measured["value"]) == pytest.approx(sentence.score, abs=1e-4)
