"""What lies over each view: its name, the sides of the patient, its slice's slider, and a button that fits it."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_slicer.app.logic.slice_view_logic import connect_slice_view_slider_to_state

from SimCroPViewer.aria import aria
from SimCroPViewer.page_widgets import slide

SIDES = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "head", "I": "feet"}
NAMES = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal", "ThreeD": "3D"}


def slice_controls(server: Any, _view_id: str, view: Any) -> None:
    """Over a slice."""
    name = NAMES[view.get_singleton_tag()]
    _corner(name, view)
    for edge, side in sides(view.get_view_node().GetSliceToRAS()).items():
        html.Span(side, classes=f"simcrop-side-of {edge}", **aria(f"{SIDES[side]} of the patient, {edge}"))
    slider = connect_slice_view_slider_to_state(server, view)
    names = slider.name
    slide(names.value, f"{name} slice, mm", names.min_value, names.max_value, names.step, classes="simcrop-slider")


def sides(slice_to_ras: Any) -> dict[str, str]:
    """The side of the patient at each edge of a slice, in the letters of radiology.

    Args:
        slice_to_ras: vtkMatrix4x4 from a view's millimetres, x to the right and y upwards, to RAS.
    """
    right, top = ([slice_to_ras.GetElement(row, column) for row in range(3)] for column in (0, 1))
    return {
        "left": _letter([-part for part in right]),
        "right": _letter(right),
        "top": _letter(top),
        "bottom": _letter([-part for part in top]),
    }


def _letter(direction: list[float]) -> str:
    axis = max(range(3), key=lambda i: abs(direction[i]))
    return ("RAS" if direction[axis] > 0 else "LPI")[axis]


def three_d_controls(_server: Any, _view_id: str, view: Any) -> None:
    """Over the 3D view."""
    _corner(NAMES[view.get_singleton_tag()], view)
    with html.Div(classes="simcrop-corner-right"):
        _switch("slices_in_3d", "mdi-layers-outline", "Slices in 3D")
        _switch("volume_rendering", "mdi-cube-scan", "Volume rendering: seconds a picture without a graphics card")


def _switch(name: str, icon: str, words: str) -> None:
    v3.VBtn(
        icon=icon,
        size="x-small",
        variant="text",
        color=(f"{name} ? 'teal-lighten-3' : 'grey'",),
        title=words,
        click=f"{name} = !{name}",
        **aria(words, pressed=name),
    )


def _corner(name: str, view: Any) -> None:
    with html.Div(classes="simcrop-corner"):
        v3.VBtn(
            icon="mdi-fit-to-screen-outline",
            size="x-small",
            variant="text",
            color="white",
            title="Fit the view",
            click=view.reset_view,
            **aria(f"Fit the {name} view"),
        )
        html.Span(name)
