"""The keyboard: arrows go through sentences and slices wherever no box is being written in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from SimCroPViewer.app import Viewer

HELP = "↑ ↓ sentences · ← → slices of the view last clicked · [ ] peaks · H hides the heat · L M B windows"
_WINDOWS = {"l": "lung", "m": "mediastinum", "b": "bone"}
_KEYS = ("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "[", "]", "h", *_WINDOWS)
# Where the keys have a meaning of their own.
_ELSEWHERE = "input:not([type=checkbox]), textarea, [role=slider], [role=listbox]"


class Keys:
    """What each key does.

    Args:
        viewer: whose parts they move.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer

    def pressed(self, key: str) -> None:
        """A key of `_KEYS` went down."""
        viewer = self._viewer
        if key in ("ArrowUp", "ArrowDown"):
            viewer.report.step(-1 if key == "ArrowUp" else 1)
        elif key in ("ArrowLeft", "ArrowRight"):
            viewer.stage.step_slice(-1 if key == "ArrowLeft" else 1)
        elif key in ("[", "]"):
            viewer.heatmap.step_peak(-1 if key == "[" else 1)
        elif key == "h":
            viewer.desk.state.heat_hidden = not viewer.desk.state.heat_hidden
        elif key in _WINDOWS:
            viewer.desk.state.window = _WINDOWS[key]

    def listening(self, server: Any) -> list[str]:
        """Attributes of the element within which the keys count."""
        call = f"trigger('{server.trigger_name(self.pressed)}', [$event.key])"
        known = "[" + ", ".join(f"'{key}'" for key in _KEYS) + "].includes($event.key)"
        plain = "!$event.ctrlKey && !$event.metaKey && !$event.altKey"
        free = f"!$event.target.closest('{_ELSEWHERE}')"
        return [f'@keydown="{known} && {plain} && {free} && ($event.preventDefault(), {call})"']
