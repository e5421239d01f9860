"""The CT: opened by path or sent by the browser, shown in a window; what the last one left goes with it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from SimCroPSlicerLib import views

from simcrop_core.errors import NoSuchFrame
from SimCroPViewer import scan
from SimCroPViewer.desk import Desk
from SimCroPViewer.stage import Stage

FIRST_WINDOW = "lung"


class ScanPart:
    """The section "Scan", and the buttons of windows and layouts.

    Args:
        desk: shared by the parts.
        stage: the views.
        changed: called when another CT is looked at.
        paths: whether files of this machine may be opened by path.
    """

    def __init__(self, desk: Desk, stage: Stage, changed: Sequence[Callable[[], None]], *, paths: bool) -> None:
        self._desk = desk
        self._stage = stage
        self._changed = changed
        self._paths = paths
        desk.state.update({"scan_name": "", "scan_path": "", "series": "", "window": FIRST_WINDOW})
        desk.state.update({"scan_frame": "", "scan_facts": ""})
        desk.state.update({"layout": stage.layouts.layout_id})
        desk.state.change("window")(self._set_window)
        desk.state.change("layout")(self._set_layout)

    def open_typed(self) -> None:
        """Open the path in the box."""
        typed = (self._desk.state.scan_path or "").strip()
        if typed and self._paths:
            self.open(Path(typed).expanduser())

    def open(self, path: Path, series: str | None = None) -> None:
        """Read a CT beside everything else, then look at it."""
        self._desk.busy(f"Reading {path.name}")
        self._desk.background(self.opened(path, series))

    async def opened(self, path: Path, series: str | None = None, frame: int | None = None) -> None:
        """The same, waited for. What is not given is as the page's boxes say.

        Raises:
            SimCroPError: it is no CT that can be read.
        """
        self._desk.state.flush()
        series, frame = series or self._desk.state.series or None, frame or self._frame()
        volume = await asyncio.to_thread(scan.read, path, series, frame)
        self._desk.logic.scheduler.cancel_all()
        earlier = self._desk.volume
        node = scan.add(self._stage.scene, volume)
        self._desk.volume = node
        self._desk.read = [dataclasses.asdict(finding) for finding in volume.findings]
        self._desk.checked(node, [])
        self._desk.display.show_nothing()
        self._desk.display.set_source(node)
        for forget in self._changed:
            forget()
        self._forget(earlier)
        self._set_window(self._desk.state.window)
        views.show_overlay(self._stage.scene, node, None, self._desk.display.options.opacity)
        self._stage.reset()
        self._desk.idle()
        self._desk.say("")
        size = " × ".join(str(n) for n in volume.shape)
        spacing = " × ".join(f"{mm:.2f}" for mm in volume.spacing_mm)
        self._desk.state.update({"scan_name": scan.title_of(volume), "scan_facts": f"{size} voxels of {spacing} mm"})

    def _frame(self) -> int | None:
        typed = (self._desk.state.scan_frame or "").strip()
        if not typed:
            return None
        if not typed.isdecimal():
            raise NoSuchFrame(f"{typed} is no number of a frame.", hint="Frames are numbered from 1.")
        return int(typed)

    def _forget(self, earlier: Any) -> None:
        """The CT before and all results about it: the next may be another patient's."""
        if earlier is None:
            return
        scene = self._stage.scene
        for node in [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]:
            if node.GetNodeReference("SimCroPSource") is earlier:
                scene.RemoveNode(node)
        scene.RemoveNode(earlier)

    def _set_window(self, window: str, **_: Any) -> None:
        if self._desk.volume is not None and window in views.WINDOWS:
            self._desk.display.set_window(window)  # type: ignore[arg-type]

    def _set_layout(self, layout: str, **_: Any) -> None:
        if self._stage.layouts.has_layout(layout):
            self._stage.layouts.set_layout(layout)
            self._stage.render()
