"""Widgets that several parts of the page use: choices, sliders, tables, file choosers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trame.widgets import html
from trame.widgets import vuetify3 as v3

from SimCroPViewer.aria import aria

# The frame that a sent file's answer goes to, so that the page stays.
SENT = "simcrop-sent"
# The class of a box for files.
FILE_BOX = "simcrop-file"


def choice(name: str, label: str, choices: Sequence[tuple[str, str]]) -> None:
    """Buttons of which one is pressed.

    Args:
        name: of the state that holds the chosen value.
        label: said of them.
        choices: value and words of each.
    """
    with html.Div(classes="simcrop-choice", **aria(label, role="group")):
        for value, words in choices:
            v3.VBtn(
                words,
                size="small",
                variant=(f"{name} === '{value}' ? 'flat' : 'text'",),
                color=(f"{name} === '{value}' ? 'teal-darken-3' : undefined",),
                click=f"{name} = '{value}'",
                **aria(pressed=f"{name} === '{value}'"),
            )


def slide(name: str, label: str, least: str, most: str, step: str, *, classes: str = "") -> None:
    """A slider for a number of the state, as browsers have it: with keys, and a name for those who do not see it.

    Args:
        name: of the state.
        label: said of it.
        least: its lower end, as an expression, like `most` and `step`.
        most: its upper end.
        step: of the keys.
        classes: of its style.
    """
    html.Input(
        type="range",
        classes=classes,
        title=label,
        **aria(label, f':min="{least}" :max="{most}" :step="{step}" v-model.number="{name}"'),
    )


def labelled_slide(name: str, label: str, step: str) -> None:
    """A slider from 0 to 1 with its name and its number beside it."""
    with html.Div(classes="simcrop-labelled"):
        html.Span(label)
        slide(name, label, "0", "1", step)
        html.Span(f"{{{{ Number({name}).toFixed(2) }}}}")


def table(name: str, columns: tuple[str, ...], click: Callable[[int], None] | None, label: str) -> None:
    """A table of `tables.as_rows` whose rows may be chosen by a click or the keyboard.

    Args:
        name: of the state: `{name}_rows` and `{name}_row`.
        columns: their titles.
        click: called with the row's place; None where there is nothing to choose.
        label: for those who do not see it.
    """
    with html.Table(classes="simcrop-table", v_if=f"{name}_rows.length", **aria(label)):
        with html.Thead(), html.Tr():
            for column in columns:
                html.Th(column, **aria("", 'scope="col"'))
        chosen: dict[str, Any] = {"classes": ("{conflict: row.conflict}",)}
        if click is not None:
            call = (click, "[row.index]")
            keys = [("keydown_enter", "keydown.enter")]
            chosen = {"tabindex": 0, "click": call, "keydown_enter": call, "__events": keys}
            chosen |= aria(selected=f"row.index === {name}_row")
            chosen["classes"] = (f"{{choosable: true, chosen: row.index === {name}_row, conflict: row.conflict}}",)
        with html.Tbody(), html.Tr(v_for=f"row in {name}_rows", key="row.index", title=("row.tip",), **chosen):
            html.Td("{{ cell }}", v_for="(cell, column) in row.cells", key="column")


def upload(what: str, label: str, accept: str, *, multiple: bool = False) -> None:
    """A file chooser that sends what is chosen, or dropped on it, at once.

    Args:
        what: "scan" or "report".
        label: of the chooser.
        accept: endings of names.
        multiple: several files may be sent.
    """
    with (
        html.Form(
            action=f"upload/{what}",
            method="post",
            target=SENT,
            enctype="multipart/form-data",
            classes=upload_form(what),
            raw_attrs=['@change="$event.currentTarget.submit(); $event.currentTarget.reset()"'],
        ),
        html.Label(label, classes=FILE_BOX),
    ):
        several = ["multiple"] if multiple else []
        html.Input(type="file", name="file", accept=accept, raw_attrs=several)


def upload_form(what: str) -> str:
    """The class of the form that sends a "scan" or a "report"."""
    return f"simcrop-upload-{what}"
