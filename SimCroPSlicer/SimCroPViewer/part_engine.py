"""The engine's state, its log, and the button that starts it again."""

from __future__ import annotations

from typing import Any

from SimCroPViewer.desk import Desk
from SimCroPViewer.engine_link import EngineLink

_WORDS = {"stopped": "not running", "starting": "starting…", "running": "running", "crashed": "has ended"}


class EnginePart:
    """The section "Engine".

    Args:
        desk: shared by the parts.
        link: to the engine.
    """

    def __init__(self, desk: Desk, link: EngineLink) -> None:
        self._desk = desk
        self._link = link
        self._was = ""
        words = {"engine_state": link.state, "engine_words": _WORDS[link.state], "engine_log": "", "engine_facts": ""}
        desk.state.update(words)

    def changed(self) -> None:
        """The engine has started, ended or crashed."""
        state = self._link.state
        if state == self._was:
            return
        self._was = state
        log = "\n".join(self._link.log)
        self._desk.state.update({"engine_state": state, "engine_words": _WORDS[state], "engine_log": log})
        if state != "running":
            self._desk.logic.forget_sessions()
        if state == "crashed":
            self._desk.logic.scheduler.cancel_all()
            self._desk.idle()
            hint = "Restart starts it again; the views and what was found stay. Its last words are under Engine."
            self._desk.say(f"The engine has ended unexpectedly. {hint}", "error")
        elif state == "running":
            if self._desk.state.message_level == "error":
                self._desk.say("")
            self._desk.run("", self._desk.logic.capabilities(), self._known, quiet=True)
        self._desk.state.flush()

    def restart(self) -> None:
        """End it, and start it again."""
        self._desk.logic.scheduler.cancel_all()
        self._desk.say("")
        self._link.restart()

    def _known(self, capabilities: dict[str, Any]) -> None:
        weights = capabilities["weights"]["name"]
        facts = f"weights {weights}, {capabilities['device']}, simcrop {capabilities['version']}"
        self._desk.state.knows_lobes = "lobes" in capabilities["tasks"]
        self._desk.state.engine_facts = facts
