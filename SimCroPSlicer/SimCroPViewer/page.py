"""The page: a bar on top, the parts at the side, the views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trame.ui.vuetify3 import VAppLayout
from trame.widgets import client, html
from trame.widgets import vuetify3 as v3

from SimCroPViewer import page_parts
from SimCroPViewer.aria import POLITE, aria
from SimCroPViewer.drop import dropping
from SimCroPViewer.page_style import STYLE
from SimCroPViewer.page_widgets import SENT, choice
from SimCroPViewer.stage import LAYOUTS

if TYPE_CHECKING:
    from SimCroPViewer.app import Viewer

_WINDOWS = (("lung", "Lung"), ("mediastinum", "Mediastinum"), ("bone", "Bone"))


def build_page(server: Any, viewer: Viewer) -> None:
    """Lay everything out.

    Args:
        server: trame's.
        viewer: whose parts answer.
    """
    server.state.trame__title = "SimCroP"
    with VAppLayout(server, theme="dark") as layout:
        client.Style(STYLE)
        listening = [*viewer.keys.listening(server), *dropping()]
        with html.Div(classes="simcrop-page", tabindex=-1, raw_attrs=listening):
            _bar()
            _message(viewer)
            with html.Div(classes="simcrop-body"):
                with html.Section(classes="simcrop-side", **aria("Questions and answers")):
                    page_parts.build(viewer)
                with html.Section(classes="simcrop-views", **aria("Views")):
                    viewer.stage.layouts.initialize_layout_grid(layout)
            html.Iframe(name=SENT, hidden=True, title="What the file chooser sends")


def _bar() -> None:
    with html.Header(classes="simcrop-bar"):
        html.H1("SimCroP")
        html.Span("{{ scan_name || 'no scan' }}", classes="simcrop-name", title=("scan_facts",))
        choice("window", "Window", _WINDOWS)
        choice("layout", "Layout", tuple((name, name) for name in LAYOUTS))
        html.Span(
            "engine: {{ engine_words }}",
            classes=("'simcrop-engine ' + engine_state",),
            title=("engine_facts",),
            **aria(role="status"),
        )
        html.Span("Research software. Not a medical device.", classes="simcrop-notice")


def _message(viewer: Viewer) -> None:
    with html.Div(classes="simcrop-status", **POLITE):
        with v3.VAlert(
            v_if="message",
            type=("message_level",),
            density="compact",
            closable=True,
            close_label="Close the message",
            click_close="message = ''",
        ):
            html.Span("{{ message }}")
            v3.VBtn(
                "Restart the engine",
                v_if="engine_state === 'crashed'",
                size="small",
                click=viewer.engine.restart,
                classes="ml-3",
            )
        with html.Div(v_if="busy", classes="simcrop-busy"):
            v3.VProgressLinear(
                model_value=("busy_percent",), indeterminate=("busy_percent === 0",), height=4, **aria("Progress")
            )
            html.Span("{{ busy_text }}", classes="simcrop-busy-text")
            v3.VBtn("Cancel", size="small", variant="outlined", click=viewer.desk.cancel)
