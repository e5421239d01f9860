"""Reports out of files as hospitals and scripts write them."""

from __future__ import annotations

import json

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from SimCroPSlicerLib.report_file import report_text

from simcrop_core.errors import UnreadableFile

TEXT = "Findings: Mass in the left lower lobe – 3 cm."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_plain_text_in_any_usual_encoding(tmp_path, encoding):
    (tmp_path / "report.txt").write_bytes(TEXT.encode(encoding))
    assert report_text(tmp_path / "report.txt") == TEXT


@pytest.mark.parametrize(
    "document",
    [TEXT, {"report": TEXT}, {"sentences": [{"text": TEXT}]}, [TEXT], {"findings": TEXT, "patient": "nobody"}],
)
def test_json_in_the_usual_forms(tmp_path, document):
    (tmp_path / "report.json").write_text(json.dumps(document), encoding="utf-8")
    assert report_text(tmp_path / "report.json") == TEXT


def text_item(name, value):
    item, code = Dataset(), Dataset()
    code.CodeMeaning = name
    item.ValueType, item.TextValue, item.ConceptNameCodeSequence = "TEXT", value, Sequence([code])
    return item


def test_a_dicom_structured_report_nested_as_they_are(tmp_path):
    report, container = Dataset(), Dataset()
    container.ValueType = "CONTAINER"
    container.ContentSequence = Sequence([text_item("Finding", "Mass in the left lower lobe.")])
    report.ContentSequence = Sequence([container, text_item("Impression", "Suspicious mass.")])
    report.PatientName = "Nobody^Known"
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.11", generate_uid()
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    assert report_text(tmp_path / "report.dcm") == "Finding: Mass in the left lower lobe.\nImpression: Suspicious mass."


@pytest.mark.parametrize(("name", "content"), [("a.json", b"{"), ("a.txt", b"  \n"), ("a.json", b'{"patient": 1}')])
def test_what_holds_no_report_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableFile):
        report_text(tmp_path / name)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(UnreadableFile, match="cannot be read"):
        report_text(tmp_path / "nowhere.txt")
