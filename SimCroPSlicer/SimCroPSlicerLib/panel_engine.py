"""The engine: its state, its log, where it runs, and how it is set up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from simcrop_core.errors import SimCroPError
from SimCroPSlicerLib import install
from SimCroPSlicerLib.child import Child
from SimCroPSlicerLib.desk import Desk
from SimCroPSlicerLib.engine_choice import EngineChoice
from SimCroPSlicerLib.install import SetUp
from SimCroPSlicerLib.setup_words import describe
from SimCroPSlicerLib.tasks import PAUSE, Work

Ask = Callable[[str], bool]


class EnginePart:
    """The Engine section.

    Args:
        desk: shared by the parts.
        choice: which engine is used.
        ask: shows a question with OK and Cancel.
        install_torch: through Slicer's PyTorch extension; what went wrong, or "".
    """

    def __init__(self, desk: Desk, choice: EngineChoice, ask: Ask, install_torch: Callable[[], str]) -> None:
        self._desk = desk
        self._choice = choice
        self._ask = ask
        self._install_torch = install_torch
        self._child: Child | None = None
        self._known: dict[str, Any] | None = None
        self._was_listening = False
        ui = desk.ui
        ui.startEngineButton.connect("clicked(bool)", lambda *_: self.start())
        ui.stopEngineButton.connect("clicked(bool)", lambda *_: self.stop())
        ui.checkSetupButton.connect("clicked(bool)", lambda *_: self.check())
        ui.installButton.connect("clicked(bool)", lambda *_: self.install())
        ui.uninstallButton.connect("clicked(bool)", lambda *_: self.uninstall())
        ui.remoteUrlEdit.connect("editingFinished()", self._remote_edited)
        ui.remoteTokenEdit.connect("editingFinished()", self._remote_edited)
        ui.cafileEdit.connect("editingFinished()", self._remote_edited)
        choice.watch(self.update)
        self.update()

    def start(self) -> None:
        """Start the engine, or look for the server, and ask what it is."""
        self._choice.engine.crashed = False
        self._desk.run(_("Starting the engine"), self._desk.logic.capabilities(), self._introduced)

    def stop(self) -> None:
        """End the engine."""
        self._desk.logic.scheduler.cancel_all()
        self._choice.engine.stop()

    def update(self) -> None:
        """Show the engine's state and log as they are now."""
        ui, engine = self._desk.ui, self._choice.engine
        listening = engine.address is not None
        if self._was_listening and not listening:
            self._desk.logic.forget_sessions()
            self._known = None
        if listening and not self._was_listening and self._known is None:
            self._desk.run(_("Asking the engine"), self._desk.logic.capabilities(), self._introduced, quiet=True)
        self._was_listening = listening
        ui.engineStatusLabel.text = self._status()
        ui.startEngineButton.enabled = not listening and not engine.starting
        ui.startEngineButton.text = _("Restart") if engine.crashed else _("Start")
        ui.stopEngineButton.enabled = listening or engine.starting
        ui.logTextEdit.setPlainText("\n".join(engine.log))
        if engine.crashed:
            self._desk.say(_("The engine has ended. Its last lines:") + "\n" + engine.last_words(), amber=True)
            ui.engineButton.collapsed = False

    def _status(self) -> str:
        engine = self._choice.engine
        if engine.crashed:
            return _("Ended unexpectedly.")
        if engine.starting:
            return _("Starting…")
        if engine.address is None:
            return _("Not running; it starts with the first question.")
        where = _("on this computer") if engine.on_this_machine else _("at the server")
        if self._known is None:
            return _("Running {where}.").format(where=where)
        return _("Running {where}: {device} ({name}), {memory} GB in use, version {version}.").format(
            where=where,
            device=self._known["device"],
            name=self._known["device_name"],
            memory=round(self._known["memory"]["process_bytes"] / 2**30, 1),
            version=self._known["version"],
        )

    def _introduced(self, capabilities: dict[str, Any]) -> None:
        self._known = capabilities
        self._desk.ui.engineStatusLabel.text = self._status()
        self._desk.ui.weightsLabel.text = weights_text(capabilities["weights"])
        self._desk.ui.lobesButton.visible = "lobes" in capabilities["tasks"]
        if capabilities["version"] != self._choice.version:
            text = _("The engine is version {there}, this panel {here}: answers may differ from what is documented.")
            self._desk.say(text.format(there=capabilities["version"], here=self._choice.version), amber=True)

    def _remote_edited(self) -> None:
        ui = self._desk.ui
        try:
            changed = self._choice.choose(
                str(ui.remoteUrlEdit.text).strip(),
                str(ui.remoteTokenEdit.text).strip(),
                str(ui.cafileEdit.text).strip(),
            )
        except SimCroPError as fault:
            self._desk.say(f"{fault.message} {fault.hint}", amber=True)
            return
        if changed:
            self._desk.logic.scheduler.cancel_all()
            self._desk.logic.engine = self._choice.engine
            self._desk.logic.forget_sessions()
            self._was_listening, self._known = False, None
            self._desk.say("")
            self.update()

    def check(self) -> SetUp:
        """Say what is missing for an engine on this computer."""
        setup = self._choice.look()
        self._desk.ui.setupLabel.text = describe(setup)
        return setup

    def install(self) -> None:
        """Fetch what is missing, after asking."""
        if self._child is not None:
            return
        setup = self.check()
        wheels = str(self._desk.ui.wheelFolderEdit.text).strip()
        if setup.ready or not self._may_install(setup, wheels):
            return
        lacks_torch = setup.slicers_torch != "ready"
        from_wheels = lacks_torch and bool(wheels) and install.brings_torch(Path(wheels))
        if lacks_torch and not from_wheels and not self._torch_installed(wheels):
            return
        command = install.install_command(
            install.slicer_python(), self._choice.requirements, self._choice.folder, wheels, torch=from_wheels
        )
        self._desk.ui.progressLabel.text = _("Setting up the engine")
        self._desk.ui.progressBar.setRange(0, 0)
        self._desk.ui.workWidget.visible = True
        self._child = Child(command, self._log, self._installed)

    def _torch_installed(self, wheels: str) -> bool:
        """Whether torch could be installed; the panel says what to do where it could not.

        What pip or the extension raises goes on to Slicer's log, which has its lines; here it ends the set-up.
        """
        problem = _(
            "PyTorch could not be installed; Slicer's log says why. Look at the internet connection and the room on the"
            " disk, then set up again, or install it in the module PyTorch Util."
        )
        try:
            problem = self._install_torch()
        finally:
            if problem:
                lines = [problem, describe(self.check()).splitlines()[0]]
                if wheels:
                    offline = _("Without internet: put the wheel of torch, and of what it needs, into {folder}.")
                    lines.append(offline.format(folder=wheels))
                self._desk.say("\n".join(lines), amber=True)
        return not problem

    def _may_install(self, setup: SetUp, wheels: str) -> bool:
        """Whether there is room, the wheel folder is whole where one is named, and the user agrees."""
        if not setup.fits:
            text = _("The disk has too little room: {needed} MB are needed, {free} MB are free.")
            self._desk.say(text.format(needed=setup.needed_mb, free=setup.free_mb), amber=True)
            return False
        lacking = install.lacking_wheels(self._choice.requirements, Path(wheels)) if wheels else []
        if lacking:
            text = _("The wheel folder lacks {count} package(s): {names}")
            self._desk.say(text.format(count=len(lacking), names=", ".join(lacking)), amber=True)
            return False
        return self._ask(describe(setup) + "\n\n" + _("Fetch what is missing now?"))

    def _installed(self, code: int) -> None:
        self._child = None
        self._desk.ui.workWidget.visible = False
        if code == 0:
            self._adopt()
        else:
            self._desk.say(_("The set-up did not finish; nothing was changed. See the log."), amber=True)
        self.check()

    def _adopt(self) -> None:
        try:
            install.adopt(self._choice.folder, self._choice.version)
        except OSError as fault:
            # Windows moves no folder of which a program has files open.
            text = _("The new packages could not be put in place: {why}. Stop the engine, then set up again.")
            self._desk.say(text.format(why=fault.strerror), amber=True)
            return
        self._choice.set_up_changed()
        self._desk.say(_("The engine is set up."))

    def uninstall(self) -> None:
        """Delete the engine's folder, after asking."""
        folder = self._choice.folder
        if self._child is not None:
            self._desk.say(_("The engine is being set up: wait until that is done."), amber=True)
        elif self._ask(_("Delete {folder}? Slicer itself is not changed.").format(folder=folder)):
            self.stop()
            self._desk.run(_("Removing the engine"), self._without(folder), self._removed, failed=self._set_up_changed)

    def _without(self, folder: Path) -> Work:
        # Windows deletes no file that a program has open, and a running engine would read half a package.
        while not self._choice.ended:
            yield PAUSE
        return (yield from install.uninstalled(folder))

    def _removed(self, faults: list[OSError]) -> None:
        self._set_up_changed()
        if faults:
            text = _("{count} file(s) could not be deleted, such as {path}: {why}. {advice}")
            advice = _("Close what uses them, then remove the engine again.")
            first = faults[0]
            words = text.format(count=len(faults), path=first.filename, why=first.strerror, advice=advice)
            self._desk.say(words, amber=True)
        else:
            self._desk.say(_("The engine is removed."))

    def _set_up_changed(self, _fault: SimCroPError | None = None) -> None:
        self._choice.set_up_changed()
        self.check()

    def _log(self, line: str) -> None:
        self._choice.engine.log.append(line)
        self._desk.ui.logTextEdit.append(line)


def weights_text(weights: dict[str, Any]) -> str:
    """The weights in use: for each task name, what they were trained on, licence, and the file's hash."""
    lines = []
    for part in ("grounding", "segmentation"):
        info = weights.get(part)
        if info is not None:
            words = (info["name"], info["trained_on"], info["licence"], f"sha256 {info['sha256'][:12]}…")
            lines.append(f"{part}: " + " · ".join(word for word in words if word))
    return "\n".join(lines)
