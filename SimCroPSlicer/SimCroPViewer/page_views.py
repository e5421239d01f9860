"""What lies over each view: its name, its slice's slider, and a button that fits it."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_slicer.app.logic.slice_view_logic import connect_slice_view_slider_to_state

from SimCroPViewer.aria import aria
from SimCroPViewer.page_widgets import slide

NAMES = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal", "ThreeD": "3D"}


def slice_controls(server: Any, _view_id: str, view: Any) -> None:
    """Over a slice."""
    name = NAMES[view.get_singleton_tag()]
    _corner(name, view)
    slider = connect_slice_view_slider_to_state(server, view)
    names = slider.name
    slide(names.value, f"{name} slice, mm", names.min_value, names.max_value, names.step, classes="simcrop-slider")


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
