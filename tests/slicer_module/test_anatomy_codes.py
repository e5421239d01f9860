"""Codes of structures, read back by Slicer's own terminology logic."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest
import slicer
from SimCroPSlicerLib import anatomy

from simcrop_core.models.presets import BTCV_LABELS
from simcrop_core.models.structures import CHEST_LABELS, CHEST_TASKS

LISTS = "SegmentationCategoryTypeModifier-"


def folder_of_lists():
    """Slicer's terminology lists: a folder named by hand, or those that the package trame-slicer brings."""
    if os.environ.get("SIMCROP_TERMINOLOGIES"):
        return Path(os.environ["SIMCROP_TERMINOLOGIES"])
    found = importlib.util.find_spec("trame_slicer")
    if found is None:
        pytest.skip("needs Slicer's terminology lists (pip install trame-slicer, or SIMCROP_TERMINOLOGIES=folder)")
    return Path(found.submodule_search_locations[0]) / "resources" / "terminologies"


@pytest.mark.parametrize(
    ("label", "code", "meaning", "side"),
    [
        ("left lung", "39607008", "Lung", "Left"),
        ("Right Upper Lobe", "45653009", "Upper lobe of lung", "Right"),
        ("right middle lobe", "72481006", "Middle lobe of right lung", None),
        ("right kidney", "64033007", "Kidney", "Right"),
        ("spine", "421060004", "Spine", None),
        ("pulmonary artery", "81040000", "Pulmonary artery", None),
        ("body", "38266002", "Entire body", None),
    ],
)
def test_slicer_reads_the_code_and_the_side(label, code, meaning, side):
    entry = slicer.vtkSlicerTerminologyEntry()
    assert slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(anatomy.terminology(label), entry)
    assert (entry.GetTypeObject().GetCodeValue(), entry.GetTypeObject().GetCodeMeaning()) == (code, meaning)
    assert entry.GetTypeObject().GetCodingSchemeDesignator() == "SCT"
    assert (entry.GetTypeModifierObject().GetCodeMeaning() or None) == side


def test_every_label_of_the_presets_has_a_code_or_is_known_to_have_none():
    tasks = {name for task in CHEST_TASKS.values() for name in task}
    without = {label for label in (*CHEST_LABELS, *tasks, *BTCV_LABELS) if anatomy.terminology(label) is None}
    assert without == {"background", "other tissue", "portal and splenic veins"}, "two veins have no code together"


def test_a_side_that_makes_no_sense_gives_no_code():
    assert anatomy.terminology("left heart") is None
    assert anatomy.terminology("left middle lobe") is None


def test_codes_and_colours_are_those_of_slicers_lists():
    lists = {}
    for file in folder_of_lists().glob(f"{LISTS}*.json"):
        document = json.loads(file.read_text(encoding="utf-8"))
        lists[document["SegmentationCategoryTypeContextName"]] = {
            (category["CodeValue"], kind["CodeValue"]): kind
            for category in document["SegmentationCodes"]["Category"]
            for kind in category["Type"]
        }
    general = lists[anatomy.GENERAL]
    for structure in anatomy.STRUCTURES.values():
        there = lists[structure.context]["123037004", structure.code]
        assert there["CodeMeaning"] == structure.meaning
        if structure.context != anatomy.GENERAL:
            assert ("123037004", structure.code) not in general
            continue
        modifiers = {part["CodeMeaning"]: part for part in there.get("Modifier", ())}
        assert {"Right", "Left"} <= set(modifiers) if structure.sided else not modifiers
        for shown in modifiers.values() or [there]:
            assert tuple(shown["recommendedDisplayRGBValue"]) == structure.rgb
