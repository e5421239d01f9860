"""The parts at the side of the page, each in a section that opens and closes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from SimCroPSlicerLib.palette import RAMPS
from SimCroPSlicerLib.rows import CHECK_COLUMNS, FINDING_COLUMNS, HERE_COLUMNS, SENTENCE_COLUMNS, VOLUME_COLUMNS
from trame.widgets import html
from trame.widgets import vuetify3 as v3

from SimCroPViewer.aria import POLITE, aria
from SimCroPViewer.keys import HELP
from SimCroPViewer.page_widgets import choice, labelled_slide, table, upload

if TYPE_CHECKING:
    from SimCroPViewer.app import Viewer

OPEN_AT_FIRST = ["ask", "report"]
EXPORTS = (
    ("heatmap.nii.gz", "Heatmap (NIfTI)"),
    ("segmentation.nii.gz", "Segmentation (NIfTI)"),
    ("volumes.csv", "Volumes (CSV)"),
    ("report.html", "Report (HTML)"),
    ("results.zip", "Everything (zip)"),
    ("scene.mrb", "Scene for Slicer (.mrb)"),
    ("views.png", "Picture (PNG)"),
)
_SUBMIT: dict[str, Any] = {"__events": [("submit_prevent", "submit.prevent")]}
_COMPACT: dict[str, Any] = {"density": "compact", "hide_details": True}


def build(viewer: Viewer) -> None:
    """All of them."""
    with v3.VExpansionPanels(v_model=("open_parts", OPEN_AT_FIRST), multiple=True, variant="accordion", static=True):
        _part("scan", "Scan", lambda: _scan(viewer))
        _part("ask", "Ask", lambda: _ask(viewer))
        _part("report", "Report", lambda: _report(viewer))
        _part("segment", "Segment", lambda: _segment(viewer))
        _part("findings", "Findings", lambda: _findings(viewer))
        _part("here", "What is here?", lambda: _here(viewer))
        _part("heatmap", "Heatmap", lambda: _heatmap(viewer))
        _part("export", "Save", _export)
        _part("engine", "Engine", lambda: _engine(viewer))


def _part(value: str, title: str, fill: Callable[[], None]) -> None:
    with v3.VExpansionPanel(value=value, eager=True):
        v3.VExpansionPanelTitle(title)
        with v3.VExpansionPanelText():
            fill()


def _scan(viewer: Viewer) -> None:
    html.Div("{{ scan_facts }}", classes="simcrop-note")
    upload("scan", "Open a CT: choose or drop a file", ".nii,.gz,.nrrd,.mha,.zip,.dcm", multiple=True)
    v3.VTextField(v_model=("series",), label="DICOM series, where there are several", **_COMPACT)
    v3.VTextField(v_model=("scan_frame",), label="Frame of a 4D file, from 1", **_COMPACT)
    with html.Form(v_if="paths", submit_prevent=viewer.scan.open_typed, **_SUBMIT):
        v3.VTextField(v_model=("scan_path",), label="Path of a CT on this computer", **_COMPACT)
        with html.Div(classes="simcrop-buttons"):
            v3.VBtn("Open", size="small", type="submit")
    table("check", CHECK_COLUMNS, None, "Checks of the scan")


def _ask(viewer: Viewer) -> None:
    with html.Form(submit_prevent=viewer.ask.ask, **_SUBMIT):
        v3.VTextField(
            v_model=("ask_text",),
            label="Type a sentence, Enter keeps it",
            placeholder="Nodule in the right upper lobe.",
            density="compact",
            hide_details=True,
            autocomplete="off",
        )
    html.Div("{{ ask_answer }}", classes="simcrop-note", **POLITE)


def _report(viewer: Viewer) -> None:
    upload("report", "Load a report: text, JSON or DICOM SR", ".txt,.json,.dcm,.sr")
    v3.VTextarea(v_model=("report_text",), label="Paste the report", rows=4, density="compact", hide_details=True)
    html.Div("{{ report_note }}", classes="simcrop-note", **POLITE)
    table("report", SENTENCE_COLUMNS, viewer.report.select, "Sentences of the report")


def _segment(viewer: Viewer) -> None:
    with html.Div(classes="simcrop-buttons"):
        v3.VBtn("Lungs", size="small", click=(viewer.segment.segment, "['lungs']"))
        v3.VBtn("Lobes", size="small", v_if=("knows_lobes", False), click=(viewer.segment.segment, "['lobes']"))
        v3.VBtn("Chest organs", size="small", click=(viewer.segment.segment, "['chest']"))
    table("volume", VOLUME_COLUMNS, None, "Volumes of the segments")
    with html.Div(v_if="volume_rows.length"):
        labelled_slide("fill", "Fill", "0.05")
        v3.VCheckbox(v_model=("segments_shown",), label="Show the segments", **_COMPACT)


def _findings(viewer: Viewer) -> None:
    with html.Div(classes="simcrop-buttons"):
        v3.VBtn("Score the findings", size="small", click=viewer.findings.score)
    html.Div("Uncalibrated: no diagnosis, no probability.", classes="simcrop-note")
    table("finding", FINDING_COLUMNS, viewer.findings.select, "Findings")


def _here(viewer: Viewer) -> None:
    html.Div("{{ here_place }}", classes="simcrop-note")
    html.Div("{{ here_note }}", classes="simcrop-note", **POLITE)
    table("here", HERE_COLUMNS, viewer.here.select, "Sentences ranked for this place")


def _heatmap(viewer: Viewer) -> None:
    labelled_slide("opacity", "Opacity", "0.05")
    labelled_slide("threshold", "Hide below", "0.01")
    choice("ramp", "Colours", [(ramp, ramp) for ramp in RAMPS])
    for name, label in (
        ("outline_only", "Contour only"),
        ("peak_box", "Outline the best patch"),
        ("heat_hidden", "Hide the heat"),
    ):
        v3.VCheckbox(v_model=(name,), label=label, **_COMPACT)
    with html.Div(classes="simcrop-buttons"):
        v3.VBtn("Previous peak", size="small", click=(viewer.heatmap.step_peak, "[-1]"))
        v3.VBtn("Next peak", size="small", click=(viewer.heatmap.step_peak, "[1]"))
        v3.VBtn("Keep contour", size="small", click=viewer.heatmap.keep_outline)
        v3.VBtn("Clear contours", size="small", click=viewer.heatmap.clear_outlines)


def _export() -> None:
    with html.Div(classes="simcrop-buttons"):
        for file, words in EXPORTS:
            v3.VBtn(words, size="small", href=f"export/{file}", title=file, **aria("", f'download="{file}"'))


def _engine(viewer: Viewer) -> None:
    html.Div(HELP, classes="simcrop-note")
    html.Div("{{ engine_words }} {{ engine_facts }}", classes="simcrop-note")
    with html.Div(classes="simcrop-buttons"):
        v3.VBtn("Restart", size="small", click=viewer.engine.restart, **aria("Restart the engine"))
    html.Pre("{{ engine_log }}", classes="simcrop-log")
