"""Frames of a 4D sequence on Slicer's own sequence nodes."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

pytest.importorskip("PySide6", reason="needs PySide6: pip install -r requirements-slicer.lock")
import slicer_widgets  # noqa: F401  (Slicer's i18n)
from SimCroPSlicerLib import frames, provenance, views
from SimCroPSlicerLib.display import HeatmapDisplay
from SimCroPSlicerLib.logic import Answer, Found
from SimCroPSlicerLib.scene import image_of
from SimCroPSlicerLib.voxels import key_of, voxels_of


@pytest.fixture
def sequence(bare):
    """Three frames, half a second apart, with the voxel values 0, 1, 2; and the logic that Slicer keeps for them."""
    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLScene(bare.scene)
    logic.SetMRMLApplicationLogic(bare.application)
    node = bare.scene.AddNewNodeByClass("vtkMRMLSequenceNode", "4D CT")
    node.SetIndexName("time")
    node.SetIndexUnit("s")
    for i in range(3):
        volume = slicer.vtkMRMLScalarVolumeNode()
        volume.SetAndObserveImageData(image_of(np.full((4, 4, 4), i, np.int16)))
        node.SetDataNodeAtValue(volume, str(i / 2))
    browser = bare.scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(node.GetID())
    browser.AddObserver("ModifiedEvent", lambda *_: logic.UpdateAllProxyNodes())
    logic.UpdateAllProxyNodes()
    return browser, browser.GetProxyNode(node), logic


def test_the_frame_is_the_one_that_is_shown(sequence, bare):
    browser, volume, _logic = sequence
    assert frames.frame_of(volume).words == "4D CT, time 0.0 s"
    frames.show_frame(volume, 2)
    assert browser.GetSelectedItemNumber() == 2
    assert voxels_of(volume)[0, 0, 0] == 2
    assert frames.frame_of(volume).index == 2
    frames.show_frame(volume, 7)
    assert frames.frame_of(volume).index == 2
    assert frames.frame_of(bare.add_volume(np.zeros((3, 3, 3), np.int16), np.eye(4))) is None


def test_a_frame_that_is_shown_again_is_the_same_volume(sequence):
    """Slicer copies it anew each time; it need not be sent and encoded anew."""
    _browser, volume, _logic = sequence
    keys = []
    for index in (0, 1, 0, 1):
        frames.show_frame(volume, index)
        keys.append(key_of(volume))
    assert keys[0] == keys[2] != keys[1] == keys[3]
    frames.stored_image(volume).Modified()
    assert key_of(volume) != keys[3]


def test_a_heatmap_is_seen_on_its_own_frame_only(sequence, bare):
    browser, volume, _logic = sequence
    bare.slice_view()
    display = HeatmapDisplay(bare.scene, "1.0")
    display.set_source(volume)
    frames.show_frame(volume, 1)
    scores = np.full((2, 2, 2), 0.5, np.float32)
    result = {"text": "Nodule.", "polarity": "positive", "evidence": None, "peak_ras_mm": [0.0, 0.0, 0.0]}
    weights = {"name": "starter", "sha256": "0" * 64, "licence": "MIT"}
    answer = Answer([Found(result, scores, np.eye(4))], (0.4, 0.6), weights, frame=frames.frame_of(volume))
    node = display.add(answer.found[0], answer)
    assert provenance.structured(node, "frame")["value"] == "0.5"
    display.show(node)
    (composite,) = views.composites(bare.scene)
    assert display.other_frame() == ""
    frames.show_frame(volume, 2)
    assert display.other_frame() == "4D CT, time 0.5 s"
    assert composite.GetForegroundVolumeID() is None
    frames.show_frame(volume, 1)
    assert display.other_frame() == ""
    assert composite.GetForegroundVolumeID() == node.GetID()
    frames.show_frame(volume, 0)
    display.show(node)
    assert browser.GetSelectedItemNumber() == 1, "to show it is to go to its frame"
