"""Files that a tab sends: scans and reports, and what happens with those that are none."""

from __future__ import annotations

import base64

import nibabel
import numpy as np
import pytest
from chests import affine_of, chest_hu, volume_of

pytestmark = pytest.mark.slow


def send(page, kind, *files):
    page.section("Report" if kind == "report" else "Scan")
    page.tab.locator(f"form.simcrop-upload-{kind} input").set_input_files([str(file) for file in files])


def test_another_scan_replaces_the_first_with_everything_about_it(page, tmp_path):
    page.paste("Mass in the left lower lobe.", rows=1)
    shape = (60, 40, 50)
    other = volume_of(chest_hu, affine_of(shape=shape, spacing=(6.0, 6.0, 6.0)), shape)
    nibabel.save(nibabel.Nifti1Image(other.voxels, other.affine), tmp_path / "other.nii.gz")
    send(page, "scan", tmp_path / "other.nii.gz")
    page.named("other.nii.gz")
    assert page.rows("Sentences of the report") == []
    assert page.tab.get_by_label("Paste the report").input_value() == "", "the words of one patient, not of the next"
    assert page.heated("Axial") == 0
    assert page.served.left_over() == [], "nothing of a patient stays on the disk"


def shown_whole(page):
    """The scan of the page's own, in whatever form it came."""
    page.tab.get_by_text(page.scan.size).wait_for()
    page.until(lambda: np.ptp(page.picture("Axial")) > 100, "the scan")


def test_an_nrrd_file_opens(page, tmp_path):
    send(page, "scan", page.scan.as_nrrd(tmp_path / "chest.nrrd"))
    page.named("chest.nrrd")
    shown_whole(page)


def test_a_zip_of_a_dicom_series_and_a_report_from_a_file(page, tmp_path):
    send(page, "scan", page.scan.as_dicom_zip(tmp_path))
    page.named("CHEST 1.25")
    shown_whole(page)
    report = tmp_path / "report.json"
    report.write_text('{"findings": "Small right pleural effusion."}', encoding="utf-8")
    send(page, "report", report)
    page.tab.locator("tr", has_text="Small right pleural effusion.").wait_for()


def drop(page, file, name, on):
    """Let a file of this name fall on an element, as a browser would say it of a real one."""
    content = base64.b64encode(file.read_bytes()).decode()
    made = page.tab.evaluate_handle(DROPPED, [content, name])
    page.tab.dispatch_event(on, "dragover", {"dataTransfer": made})
    page.tab.dispatch_event(on, "drop", {"dataTransfer": made})


DROPPED = """([content, name]) => {
  const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
  const dropped = new DataTransfer();
  dropped.items.add(new File([bytes], name));
  return dropped;
}"""


def test_a_file_may_be_dropped_anywhere_on_the_page(page, tmp_path):
    """A scan on the views, and a report on the bar."""
    drop(page, page.scan.file, "dropped.nii.gz", ".simcrop-views")
    page.named("dropped.nii.gz")
    shown_whole(page)
    report = tmp_path / "report.txt"
    report.write_text("Small left pleural effusion.", encoding="utf-8")
    drop(page, report, "dropped.TXT", ".simcrop-bar")
    page.tab.locator("tr", has_text="Small left pleural effusion.").wait_for()
    assert page.served.left_over() == []


def test_a_file_that_is_no_scan_is_refused_in_words_and_the_scan_stays(page, tmp_path):
    name = page.tab.locator(".simcrop-name").inner_text()
    (tmp_path / "notes.zip").write_bytes(b"no zip at all")
    send(page, "scan", tmp_path / "notes.zip")
    message = page.tab.locator(".simcrop-status .v-alert")
    message.wait_for()
    assert len(message.inner_text().split(".")) >= 2, "what was wrong, and a hint"
    page.idle()
    assert page.tab.locator(".simcrop-name").inner_text() == name
    assert page.served.left_over() == []


def test_a_path_of_this_computer_opens_and_a_wrong_one_is_refused(page):
    box = page.section("Scan").tab.get_by_label("Path of a CT on this computer")
    box.fill("/no/such/file.nii.gz")
    box.press("Enter")
    page.tab.locator(".simcrop-status .v-alert").wait_for()
    box.fill(str(page.scan.file))
    box.press("Enter")
    page.named(page.scan.file.name)
    shown_whole(page)
