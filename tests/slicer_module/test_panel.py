"""The real panel on stand-ins for Slicer's widgets, over real MRML and a real engine process."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="needs PySide6: pip install -r requirements-slicer.lock")

import slicer
from panel_hand import MASS, PATIENCE_S, REPORT, Panel, evidence, foreground, paste, shot
from PySide6 import QtCore
from PySide6.QtTest import QTest
from SimCroPSlicerLib import provenance, scene, segments, views
from SimCroPSlicerLib.geometry import affine_of
from slicer_widgets import Application


def test_a_pasted_report_is_looked_for_and_a_click_jumps_to_the_peak(panel, chest, application):
    """Every sentence gets its row, those with a place their heatmap; what says that nothing is there has no colours."""
    assert panel.widget._parameterNode.inputVolume is chest
    paste(panel)
    assert panel.column(panel.ui.reportTable, 0)[0] == MASS
    assert panel.column(panel.ui.reportTable, 2) == ["positive", "negated", "normal", "comparison"]
    assert evidence(panel)[0] == "● located"
    assert evidence(panel)[3] == "– not groundable"
    heat = provenance.results_in(application.scene, "heatmap", chest)
    assert len(heat) == 3
    assert scene.scores_of(heat[0]).shape == (14, 14, 14)
    assert foreground(application) == heat[0].GetID(), "the first sentence with a place is shown by itself"
    peak = provenance.structured(heat[0], "peak")
    assert np.allclose(views.crosshair_of(application.scene).GetCrosshairRAS(), peak, atol=1e-4)
    shot(panel, "report")

    panel.ui.reportTable.setCurrentCell(1, 0)
    assert foreground(application) is None, "a negated sentence lights nothing up"
    there = views.crosshair_of(application.scene).GetCrosshairRAS()
    assert np.allclose(there, peak, atol=1e-4), "and leaves the views where they are"
    QTest.keyClick(panel.ui.reportTable, QtCore.Qt.Key_Up)
    assert foreground(application) == heat[0].GetID(), "arrow keys choose as clicks do"


def test_typing_is_answered_in_grey_and_enter_keeps_it(panel, application):
    QTest.keyClicks(panel.ui.askLineEdit, MASS)
    panel.until(lambda: "located" in panel.ui.answerLabel.text)
    shown = application.scene.GetNodeByID(foreground(application))
    assert "provisional" in shown.GetDisplayNode().GetColorNode().GetName()
    assert not shown.GetSaveWithScene()
    assert not provenance.holds_text(application.scene)
    assert not panel.ui.textNoteLabel.visible

    QTest.keyClick(panel.ui.askLineEdit, QtCore.Qt.Key_Return)
    panel.until(lambda: panel.ui.historyComboBox.count == 1)
    kept = application.scene.GetNodeByID(foreground(application))
    assert provenance.fact(kept, "sentence") == MASS
    assert provenance.results_in(application.scene, "heatmap") == [kept], "the provisional map is gone"
    assert panel.ui.textNoteLabel.visible, "saving now would save words of the report"
    shot(panel, "ask")
    panel.click(panel.ui.forgetTextButton)
    assert not provenance.holds_text(application.scene)
    assert panel.ui.historyComboBox.count == 0


def test_every_control_of_the_heatmap_does_what_it_says(panel, application):
    paste(panel, MASS, 1)
    panel.ui.opacitySlider.value = 0.25
    (composite,) = views.composites(application.scene)
    assert composite.GetForegroundOpacity() == pytest.approx(0.25)
    panel.ui.thresholdSlider.value = 0.6
    heat = application.scene.GetNodeByID(foreground(application))
    assert heat.GetDisplayNode().GetLowerThreshold() == pytest.approx(0.6)

    QTest.mousePress(panel.ui.hideButton, QtCore.Qt.LeftButton)
    assert composite.GetForegroundOpacity() == 0
    QTest.mouseRelease(panel.ui.hideButton, QtCore.Qt.LeftButton)
    assert composite.GetForegroundOpacity() == pytest.approx(0.25)

    QTest.keyPress(panel.ui.reportTable, QtCore.Qt.Key_F9)
    assert composite.GetForegroundOpacity() == 0, "F9 held anywhere in the panel hides the heat"
    QTest.keyRelease(panel.ui.reportTable, QtCore.Qt.Key_F9)
    assert composite.GetForegroundOpacity() == pytest.approx(0.25)

    (box,) = provenance.results_in(application.scene, "peak")
    assert box.GetDisplayNode().GetVisibility()
    panel.click(panel.ui.peakBoxCheckBox)
    assert not box.GetDisplayNode().GetVisibility()

    panel.ui.outlineCheckBox.setChecked(True)
    assert foreground(application) is None
    (outline,) = provenance.results_in(application.scene, "outline")
    assert not outline.GetSaveWithScene(), "a contour that only the check box shows is not the user's"
    panel.ui.outlineCheckBox.setChecked(False)
    assert provenance.results_in(application.scene, "outline") == []

    panel.click(panel.ui.keepOutlineButton)
    panel.click(panel.ui.keepOutlineButton)
    assert all(m.GetSaveWithScene() for m in provenance.results_in(application.scene, "outline"))
    colours = {m.GetDisplayNode().GetColor() for m in provenance.results_in(application.scene, "outline")}
    assert len(colours) == 2, "each kept sentence has a colour of its own"
    panel.click(panel.ui.clearOutlinesButton)
    assert provenance.results_in(application.scene, "outline") == []

    panel.click(panel.ui.toSegmentButton)
    assert "attention region, not a measurement" in panel.ui.messageLabel.text
    views.crosshair_of(application.scene).SetCrosshairRAS(0, 0, 0)
    panel.click(panel.ui.nextPeakButton)
    panel.click(panel.ui.previousPeakButton)
    peak = scene.peaks_of(heat, 0.4)[0]
    assert np.allclose(views.crosshair_of(application.scene).GetCrosshairRAS(), peak, atol=1e-3)


def test_the_sentences_are_ranked_for_the_crosshair(panel, application):
    """At the peak of the mass its sentence comes first; a click shows its map and leaves the views where they are."""
    paste(panel)
    heat = provenance.results_in(application.scene, "heatmap")[0]
    crosshair = views.crosshair_of(application.scene)
    crosshair.SetCrosshairRAS(*provenance.structured(heat, "peak"))
    panel.click(panel.ui.askHereButton)
    panel.until(panel.idle)
    assert panel.column(panel.ui.hereTable, 0)[0] == MASS
    assert panel.column(panel.ui.hereTable, 1)[0] == "● best place, 100 % of the scan"
    assert panel.column(panel.ui.hereTable, 2)[0] == "report"
    assert panel.ui.hereTable.rowCount == 3, "a comparison is about no place"
    shot(panel, "here")

    panel.click(panel.ui.scoreFindingsButton)
    panel.until(panel.idle)
    panel.ui.followCrosshairCheckBox.setChecked(True)
    panel.until(lambda: panel.ui.hereTable.rowCount > 10)
    crosshair.SetCrosshairRAS(70, -35, -60)
    panel.until(lambda: not panel.column(panel.ui.hereTable, 1)[0].startswith("● best place, 100"))
    before = crosshair.GetCrosshairRAS()
    row = panel.column(panel.ui.hereTable, 0).index(MASS)
    panel.ui.hereTable.setCurrentCell(row, 0)
    assert foreground(application) == heat.GetID()
    assert crosshair.GetCrosshairRAS() == before
    crosshair.SetCrosshairRAS(900, 0, 0)
    panel.until(lambda: "seen nothing" in panel.ui.hereLabel.text)
    panel.widget.exit()
    assert not panel.ui.followCrosshairCheckBox.checked
    panel.widget.enter()


def test_a_sentence_that_names_an_image_says_why_it_cannot_go_there(panel, application):
    """The drawn chest has no DICOM numbers: it goes there only when the user says how slices are counted."""
    paste(panel, f"{MASS[:-1]} (series 4, image 20). The heart is normal.", 2)
    panel.until(lambda: "no DICOM numbers" in panel.ui.messageLabel.text)
    crosshair = views.crosshair_of(application.scene)
    heat = provenance.results_in(application.scene, "heatmap")[0]
    assert np.allclose(crosshair.GetCrosshairRAS(), provenance.structured(heat, "peak"), atol=1e-4)
    panel.ui.imagesComboBox.setCurrentText("slices from the feet")
    panel.click(panel.ui.goToImageButton)
    panel.until(panel.idle)
    assert "20 of 72" in panel.ui.messageLabel.text
    volume = panel.widget._parameterNode.inputVolume
    index = np.linalg.inv(affine_of(volume)) @ [*crosshair.GetCrosshairRAS(), 1]
    assert index[2] == pytest.approx(19)
    panel.ui.reportTable.setCurrentCell(1, 0)
    panel.click(panel.ui.goToImageButton)
    assert "names an image" in panel.ui.messageLabel.text


def test_lungs_are_segmented_with_volumes_and_mean_hu(panel, application, chest):
    panel.ui.surfacesCheckBox.setChecked(True)
    panel.ui.segmentButton.collapsed = False
    panel.widget.panel.segment.segment("lungs")
    panel.until(panel.idle)
    (node,) = provenance.results_in(application.scene, "segmentation", chest)
    assert panel.column(panel.ui.volumeTable, 0)[:2] == ["left lung", "right lung"]
    assert [float(text) for text in panel.column(panel.ui.volumeTable, 1)][:2] == pytest.approx([1750, 1750], rel=0.35)
    assert all(float(text) < -600 for text in panel.column(panel.ui.volumeTable, 2)[:2])
    segment = node.GetSegmentation().GetNthSegment(0)
    assert segment.GetRepresentation(segments.SURFACE).GetNumberOfPoints() > 100
    tables = [n for n in slicer.util.getNodesByClass("vtkMRMLTableNode") if "volumes" in n.GetName()]
    assert len(tables) == 1
    shot(panel, "segment")


def test_cancel_answers_within_a_second(panel, application):
    panel.widget.panel.segment.segment("chest")
    panel.until(lambda: "Segmenting" in panel.ui.progressLabel.text and panel.ui.progressBar.maximum > 0)
    assert panel.ui.workWidget.visible
    began = time.monotonic()
    panel.click(panel.ui.cancelButton)
    panel.until(panel.idle)
    assert time.monotonic() - began < PATIENCE_S / 90
    assert not panel.ui.workWidget.visible
    assert provenance.results_in(application.scene, "segmentation") == []
    panel.ui.askLineEdit.text = MASS
    QTest.keyClick(panel.ui.askLineEdit, QtCore.Qt.Key_Return)
    panel.until(panel.idle)
    assert "located" in panel.ui.answerLabel.text, "the engine answers again"


def test_a_finding_shows_the_heatmap_of_its_best_sentence(panel, application):
    panel.ui.findingsButton.collapsed = False
    panel.click(panel.ui.scoreFindingsButton)
    panel.until(panel.idle)
    assert panel.ui.findingsTable.rowCount == 18
    assert "no probability" in panel.ui.findingsNoteLabel.text
    panel.ui.findingsTable.setCurrentCell(4, 0)
    (heat,) = provenance.results_in(application.scene, "heatmap")
    assert heat.GetName() == panel.ui.findingsTable.item(4, 0).text()
    shot(panel, "findings")


def test_a_saved_scene_restores_the_panel(panel, application, tmp_path):
    """The sentences without a place, and the findings, too."""
    paste(panel)
    panel.click(panel.ui.scoreFindingsButton)
    panel.until(panel.idle)
    drawn = panel.column(panel.ui.findingsTable, 2).index("● located")
    panel.ui.findingsTable.setCurrentCell(drawn, 0)
    rows = panel.column(panel.ui.reportTable, 0)
    findings = [panel.column(panel.ui.findingsTable, column) for column in range(4)]
    application.save(tmp_path / "scene.mrb")
    panel.widget.exit()
    panel.widget.cleanup()

    other = Application()
    other.slice_view()
    again = Panel(other)
    assert other.scene.ReadFromMRB(str(tmp_path / "scene.mrb"), False)
    again.events()
    assert again.column(again.ui.reportTable, 0) == rows
    assert len(rows) == 4
    assert evidence(again)[0] == "● located"
    again.ui.reportTable.setCurrentCell(0, 0)
    assert other.scene.GetNodeByID(foreground(other)).GetName().startswith("Mass")
    assert [again.column(again.ui.findingsTable, column) for column in range(4)] == findings
    again.ui.findingsTable.setCurrentCell(drawn, 0)
    assert other.scene.GetNodeByID(foreground(other)).GetName() == findings[0][drawn]
    again.ui.findingsTable.setCurrentCell(drawn + 1, 0)
    assert "Score the findings again" in again.ui.messageLabel.text
    again.widget.exit()
    again.widget.cleanup()


def test_leaving_the_panel_puts_the_views_back(panel, application, chest):
    pet = application.add_volume(np.zeros((4, 4, 4), np.int16), np.eye(4), "pet")
    panel.widget.exit()
    views.show_overlay(application.scene, chest, pet, 0.8)
    panel.widget.enter()
    paste(panel, MASS, 1)
    assert foreground(application) != pet.GetID()
    panel.widget.exit()
    assert foreground(application) == pet.GetID()


def test_closing_the_scene_in_the_middle_leaves_a_working_panel(panel, application):
    panel.ui.reportTextEdit.setPlainText(REPORT)
    panel.until(lambda: panel.ui.reportTable.rowCount == 4)
    application.scene.Clear()
    panel.until(panel.idle)
    assert panel.ui.reportTable.rowCount == 0
    QTest.keyClicks(panel.ui.askLineEdit, "Heart")
    QTest.keyClick(panel.ui.askLineEdit, QtCore.Qt.Key_Return)
    assert "Choose a CT volume" in panel.ui.messageLabel.text


def test_what_is_no_chest_is_refused_in_the_engines_words(panel, application):
    box = application.add_volume(
        np.random.default_rng(0).integers(-20, 200, (40, 40, 40), np.int16), np.diag([4.0, 4, 4, 1]), "water"
    )
    panel.widget._parameterNode.inputVolume = box
    panel.ui.askLineEdit.text = MASS
    QTest.keyClick(panel.ui.askLineEdit, QtCore.Qt.Key_Return)
    panel.until(panel.idle)
    assert "lung" in panel.ui.messageLabel.text.lower()


def test_the_modules_own_test_passes_here_too(application, monkeypatch, tmp_path):
    """The test that runs inside Slicer (slicer_add_python_unittest), on the stand-ins."""
    from SimCroPSlicer import SimCroPSlicerTest

    monkeypatch.setenv("SIMCROP_HOME", str(tmp_path))
    SimCroPSlicerTest().runTest()


def test_what_was_checked_of_the_scan_is_shown_with_the_first_answer(panel, application, chest):
    """The header's, and those of the chest, for which the engine has to find the lungs first."""
    assert panel.ui.checksTable.rowCount == 0
    paste(panel, MASS, 1)
    codes = panel.column(panel.ui.checksTable, 0)
    assert {"affine", "spacing", "orientation", "hounsfield", "lungs", "left-right"} <= set(codes)
    outcomes = panel.column(panel.ui.checksTable, 1)
    amber = sum(outcome != "pass" for outcome in outcomes)
    assert all(outcome != "pass" for outcome in outcomes[:amber])
    assert all(panel.column(panel.ui.checksTable, 2))
    panel.widget._parameterNode.inputVolume = None
    assert panel.ui.checksTable.rowCount == 0


def test_a_scan_that_is_refused_is_named_with_its_code(panel, application, chest):
    affine = affine_of(chest)
    windowed = application.add_volume(np.full((64, 64, 64), 128, np.int16), affine)
    panel.widget._parameterNode.inputVolume = windowed
    QTest.keyClicks(panel.ui.askLineEdit, MASS)
    panel.until(lambda: "(not-hounsfield)" in panel.ui.messageLabel.text)
