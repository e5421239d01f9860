"""What becomes of results when another CT is chosen, a report is pasted first, or another module is opened."""

from __future__ import annotations

import time
import zipfile

import pytest

pytest.importorskip("PySide6", reason="needs PySide6: pip install -r requirements-slicer.lock")

from panel_hand import MASS, REPORT, evidence, paste
from PySide6 import QtCore
from PySide6.QtTest import QTest
from SimCroPSlicerLib import provenance
from SimCroPSlicerLib.geometry import affine_of
from SimCroPSlicerLib.panel_report import PAUSE_MS
from SimCroPSlicerLib.voxels import voxels_of

from simcrop_core.serve.client import Client

HEART = "The heart is enlarged."


def choose(panel, volume):
    panel.widget._parameterNode.inputVolume = volume
    panel.events()


def heatmaps(application, volume):
    return provenance.results_in(application.scene, "heatmap", volume)


def test_another_ct_keeps_the_results_of_the_first(panel, application, chest):
    """To look at a prior and back: nothing is lost, and the table is each CT's own."""
    prior = application.add_volume(voxels_of(chest).copy(), affine_of(chest), "prior")
    paste(panel)
    rows = panel.column(panel.ui.reportTable, 0)
    choose(panel, prior)
    assert panel.ui.reportTable.rowCount == 0
    assert len(heatmaps(application, chest)) == 3
    choose(panel, chest)
    assert panel.column(panel.ui.reportTable, 0) == rows
    assert len(heatmaps(application, chest)) == 3


def test_a_report_pasted_before_a_ct_is_chosen_is_looked_for_then(panel, application, chest):
    choose(panel, None)
    paste(panel)
    assert evidence(panel) == ["", "", "", ""]
    choose(panel, chest)
    panel.until(lambda: panel.ui.reportTable.rowCount == 4 and evidence(panel)[0] == "● located")
    panel.until(panel.idle)
    assert len(heatmaps(application, chest)) == 3


@pytest.mark.parametrize("later_ms", [0, PAUSE_MS + 50])
def test_a_report_is_never_looked_for_in_a_ct_it_was_not_pasted_for(panel, application, chest, later_ms):
    """The other one may be another patient's: neither while the pause runs nor in the middle of the search."""
    other = application.add_volume(voxels_of(chest).copy(), affine_of(chest), "other")
    panel.ui.reportTextEdit.setPlainText(REPORT)
    QTest.qWait(later_ms)
    assert heatmaps(application, chest) == []
    choose(panel, other)
    assert "another CT" in panel.ui.reportNoteLabel.text
    QTest.qWait(2 * PAUSE_MS)
    panel.until(panel.idle)
    assert heatmaps(application, other) == []
    assert panel.ui.reportTable.rowCount == 0
    choose(panel, chest)
    panel.until(lambda: len(heatmaps(application, chest)) == 3)
    panel.until(panel.idle)
    assert heatmaps(application, other) == []


def test_a_new_report_replaces_the_last_ones_heatmaps_and_no_kept_question(panel, application, chest):
    """Also where the panel has been restored from the scene, and both stand in one table."""
    paste(panel)
    panel.ui.askLineEdit.text = HEART
    QTest.keyClick(panel.ui.askLineEdit, QtCore.Qt.Key_Return)
    panel.until(panel.idle)
    choose(panel, None)
    choose(panel, chest)
    assert HEART in panel.column(panel.ui.reportTable, 0)
    paste(panel, MASS, 1)
    kept = [provenance.fact(node, "sentence") for node in heatmaps(application, chest)]
    assert sorted(kept) == sorted([HEART, MASS])


def test_the_measures_shown_are_those_of_the_ct_that_is_chosen(panel, application, chest, tmp_path):
    prior = application.add_volume(voxels_of(chest).copy(), affine_of(chest), "prior")
    panel.widget.panel.segment.segment("lungs")
    panel.until(panel.idle)
    measures = [panel.column(panel.ui.volumeTable, column) for column in range(3)]
    assert measures[0][:2] == ["left lung", "right lung"]
    choose(panel, prior)
    assert panel.ui.volumeTable.rowCount == 0
    choose(panel, chest)
    assert [panel.column(panel.ui.volumeTable, column) for column in range(3)] == measures
    application.save(tmp_path / "scene.mrb")
    application.scene.Clear()
    assert panel.ui.volumeTable.rowCount == 0
    assert application.scene.ReadFromMRB(str(tmp_path / "scene.mrb"), False)
    panel.events()
    assert [panel.column(panel.ui.volumeTable, column) for column in range(3)] == measures


def test_words_taken_out_of_the_scene_are_in_nothing_that_is_saved(panel, application, chest, tmp_path):
    """Contours and regions are named after sentences too."""
    paste(panel)
    panel.click(panel.ui.keepOutlineButton)
    panel.click(panel.ui.toSegmentButton)
    (regions,) = provenance.results_in(application.scene, "attention")
    assert "Compared with 2019" in str([provenance.kept_rows(chest, "report")]), "also those without a place"
    region = regions.GetSegmentation().GetNthSegment(0)
    assert MASS[:20] in region.GetName()
    panel.click(panel.ui.forgetTextButton)
    assert region.GetName() == regions.GetName() == "Attention region, not a measurement"
    application.save(tmp_path / "scene.mrb")
    with zipfile.ZipFile(tmp_path / "scene.mrb") as archive:
        saved = " ".join(archive.namelist()).encode() + b"".join(map(archive.read, archive.namelist()))
    assert b"lower lobe" not in saved
    assert b"Mass in the" not in saved
    assert b"2019" not in saved


def test_a_closed_scene_takes_the_words_of_its_patient_along(panel, application, chest):
    """The next patient's CT is not searched for the last one's report."""
    paste(panel)
    application.scene.Clear()
    panel.until(panel.idle)
    assert panel.ui.reportTextEdit.plainText == ""


def test_a_scene_loaded_in_place_of_the_last_one_fills_the_table_for_good(panel, application, chest, tmp_path):
    """Also after the pause that would have ended the last report's typing."""
    paste(panel)
    rows = panel.column(panel.ui.reportTable, 0)
    application.save(tmp_path / "scene.mrb")
    application.scene.Clear()
    assert application.scene.ReadFromMRB(str(tmp_path / "scene.mrb"), False)
    later = time.monotonic() + 2 * PAUSE_MS / 1000
    panel.until(lambda: time.monotonic() > later and panel.idle())
    assert panel.column(panel.ui.reportTable, 0) == rows


def held(server):
    """Bytes of all scans that the engine holds."""
    with Client(*server) as client:
        return client.capabilities()["memory"]["scans_bytes"]


@pytest.mark.parametrize(("leaves", "shift"), [("deleted", 11), ("closed with its scene", 13)])
def test_a_volume_that_leaves_the_scene_leaves_the_engine_too(panel, application, chest, server, leaves, shift):
    """At once, not when its lease ends; the prior that stays is kept. No other test holds voxels like these."""
    before = held(server)
    prior, recent = (
        application.add_volume(voxels_of(chest) - shift - n, affine_of(chest), f"scan {n}") for n in range(2)
    )
    for volume in (prior, recent):
        choose(panel, volume)
        paste(panel, MASS, 1)
    both = held(server)
    if leaves == "deleted":
        application.scene.RemoveNode(recent)
    else:
        application.scene.Clear()
    panel.until(lambda: not panel.widget.logic.engineLogic.holds_gone)
    panel.until(panel.idle)
    left = held(server) - before
    assert left == pytest.approx((both - before) / 2 if leaves == "deleted" else 0)
    panel.panel._beat()
    panel.until(panel.idle)
    assert held(server) - before == left


def test_a_script_over_a_folder_leaves_one_scan_at_the_engine_not_all(application, chest, server):
    """The example of docs/slicer-developer.md: the scene is cleared after every scan."""
    from SimCroPSlicer import SimCroPSlicerLogic

    before = held(server)
    voxels, affine = voxels_of(chest).copy(), affine_of(chest)
    logic = SimCroPSlicerLogic()
    logic.choice.choose(*server, "")
    logic.engineLogic.engine = logic.choice.engine
    most = []
    for n in range(3):
        volume = application.add_volume(voxels - 20 - n, affine, f"chest {n}")
        logic.findings(volume)
        most.append(held(server) - before)
        del volume
        application.scene.Clear()
    logic.close()
    assert most[0] > 0
    assert most == pytest.approx([most[0]] * 3, rel=0.01)


def test_other_modules_see_neither_outline_nor_box_of_the_panel(panel, application, chest):
    paste(panel, MASS, 1)
    panel.ui.outlineCheckBox.setChecked(True)
    assert provenance.results_in(application.scene, "peak")
    panel.widget.exit()
    assert not provenance.results_in(application.scene, "peak")
    assert not provenance.results_in(application.scene, "outline")
    panel.widget.enter()
    assert provenance.results_in(application.scene, "peak"), "and what was chosen is shown again on return"
    assert provenance.results_in(application.scene, "outline")
    panel.ui.outlineCheckBox.setChecked(False)
