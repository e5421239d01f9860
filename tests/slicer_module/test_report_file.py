"""Reports out of files as hospitals and scripts write them."""

from __future__ import annotations

import json

import numpy as np
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


def structured_report(path):
    report, container = Dataset(), Dataset()
    container.ValueType = "CONTAINER"
    container.ContentSequence = Sequence([text_item("Finding", "Mass in the left lower lobe.")])
    report.ContentSequence = Sequence([container, text_item("Impression", "Suspicious mass.")])
    report.PatientName = "Nobody^Known"
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.11", generate_uid()
    report.save_as(path, enforce_file_format=True)


def test_a_dicom_structured_report_nested_as_they_are(tmp_path):
    structured_report(tmp_path / "report.dcm")
    assert report_text(tmp_path / "report.dcm") == "Finding: Mass in the left lower lobe.\nImpression: Suspicious mass."


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_structured_report_is_refused_by_name_or_read(tmp_path):
    """Cut short anywhere, or with bytes changed: pydicom raises many kinds of errors, the user sees one."""
    structured_report(tmp_path / "report.dcm")
    whole, damaged = (tmp_path / "report.dcm").read_bytes(), tmp_path / "damaged.dcm"
    random = np.random.default_rng(0)
    refused = 0
    for n in range(300):
        raw = bytearray(whole)
        if n % 3:
            raw[random.integers(132, len(raw))] = random.integers(256)
        else:
            del raw[random.integers(132, len(raw)) :]
        damaged.write_bytes(raw)
        try:
            report_text(damaged)
        except UnreadableFile:
            refused += 1
    assert 0 < refused < 300


def test_an_entry_without_words_is_no_sentence(tmp_path):
    (tmp_path / "a.json").write_text('{"sentences": [{"text": null}, {"label": 1}, {"text": "Mass."}]}')
    assert report_text(tmp_path / "a.json") == "Mass."


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.json", b"{"), ("a.txt", b"  \n"), ("a.json", b'{"patient": 1}'), ("a.json", b"[" * 100_000)],
)
def test_what_holds_no_report_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableFile):
        report_text(tmp_path / name)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(UnreadableFile, match="cannot be read"):
        report_text(tmp_path / "nowhere.txt")
