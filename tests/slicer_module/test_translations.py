"""Every word that the panel shows can be translated as Slicer does it: marked in the code, or free text in the .ui."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[2] / "SimCroPSlicer"
SOURCES = [MODULE / "SimCroPSlicer.py", *sorted((MODULE / "SimCroPSlicerLib").glob("*.py"))]
# What stands in Qt's and in Slicer's own language, and is not read by a person.
NO_WORDS = re.compile(r"\w+\([\w:, *]*\)$|^color: |^[\w.]+$|^[^a-zA-Z]*$")
# Seen in scenes and scripts: the same in every language, so that scenes can be exchanged.
NAMES_IN_THE_SCENE = {"scene.py", "segments.py", "palette.py", "provenance.py", "anatomy.py", "geometry.py", "views.py"}
NAMES_IN_THE_SCENE |= {"self_test.py"}
# Named errors say the same here, on the command line and at the server.
ERRORS = {"SimCroPError", "ServerUnreachable", "UnreadableFile", "BadRequest", "BrokenAnswer", "NotASingleVolume"}
ERRORS |= {"Cancelled", "FileNotFoundError", "RuntimeError"}


def marked(call):
    return isinstance(call.func, ast.Name) and call.func.id in ("_", "translate")


def documentation(tree):
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, owners) and ast.get_docstring(node)}


def unmarked(tree):
    """Strings that read like words and are neither marked nor a docstring nor a name, with their lines."""
    skipped = documentation(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if marked(node) or name in ERRORS or name in ("info", "field"):
                skipped |= {id(inner) for inner in ast.walk(node)}
        elif isinstance(node, ast.Assert | ast.Subscript | ast.Dict):
            skipped |= {id(inner) for inner in ast.walk(node) if not isinstance(inner, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            text = node.value.strip()
            if re.search(r"[a-zA-Z]{2,} [a-zA-Z]{2,}|^[A-Z][a-z]{3,}", text) and not NO_WORDS.search(text):
                yield node.lineno, text


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_words_for_the_user_are_marked(source):
    if source.name in NAMES_IN_THE_SCENE:
        pytest.skip("names of nodes, the same in every language")
    exempt = {
        "images.py": {"DICOM numbers", "slices from the head", "slices from the feet"},
        "sample.py": {
            "from simcrop_core.demo.sample import fetch_sample; print('sample:' + str(fetch_sample().ct), flush=True)"
        },
        "install.py": {"half installed", "too old", "Application Support"},
        "SimCroPSlicer.py": {
            *("The SimCroP for Slicer developers", "Mass in the left lower lobe.", "Comparison is made to 2019."),
        },
        "display.py": {"peak patch"},
        "line.py": {"Address("},
    }.get(source.name, set())
    left = [
        (line, text) for line, text in unmarked(ast.parse(source.read_text(encoding="utf-8"))) if text not in exempt
    ]
    assert left == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_what_is_marked_can_be_extracted(source):
    """Slicer's script reads literals: no f-strings, no joined parts; values come in by name, so that they can move."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and marked(node)):
        text = call.args[-1]
        assert isinstance(text, ast.Constant), f"line {call.lineno}"
        assert isinstance(text.value, str)
        assert all(name.isidentifier() for name in re.findall(r"\{([^{}]*)\}", text.value)), f"line {call.lineno}"
    assert not re.search(r"import .*\btr as (?!_\b)", source.read_text(encoding="utf-8"))


def test_the_ui_file_offers_words_only():
    """Parameter names, node types and choices are kept in scenes: translated, they would be broken."""
    tree = ET.parse(MODULE / "Resources" / "UI" / "SimCroPSlicer.ui")
    for node in tree.iter("string"):
        text = node.text or ""
        if node.get("notr") != "true" and text:
            assert text[0].isupper() or " " in text, f"{text} is no word for the user"
    hidden = {node.text for node in tree.iter("string") if node.get("notr") == "true"}
    assert {"vtkMRMLScalarVolumeNode", "inputVolume", "imageCount", "auto", "DICOM numbers"} <= hidden
