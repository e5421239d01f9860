"""Frames of 4D sequences: which one a volume shows now, and the way back to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Frame:
    """One item of a sequence, as a sequence browser shows it through a proxy volume.

    Attributes:
        sequence: name of the sequence node.
        index: of the item, from 0.
        value: of the sequence's own axis there, such as "2.5".
        axis: its name, such as "time".
        unit: such as "s"; "" where it has none.
    """

    sequence: str
    index: int
    value: str
    axis: str
    unit: str

    @property
    def words(self) -> str:
        """For the user: "4D CT, time 2.5 s"."""
        return f"{self.sequence}, {self.axis} {self.value} {self.unit}".rstrip()


def browser_of(volume: Any) -> Any:
    """The sequence browser whose frames a volume shows, or None for a volume of its own."""
    scene = volume.GetScene()
    for i in range(scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")):
        browser = scene.GetNthNodeByClass(i, "vtkMRMLSequenceBrowserNode")
        if browser.GetSequenceNode(volume) is not None:
            return browser
    return None


def frame_of(volume: Any) -> Frame | None:
    """The frame that a volume shows now; None for a volume of its own."""
    browser = browser_of(volume)
    if browser is None:
        return None
    sequence, index = browser.GetSequenceNode(volume), browser.GetSelectedItemNumber()
    value = str(browser.GetMasterSequenceNode().GetNthIndexValue(index) or "")
    return Frame(sequence.GetName(), index, value, sequence.GetIndexName(), sequence.GetIndexUnit() or "")


def show_frame(volume: Any, index: int) -> None:
    """Go to another frame; Slicer copies it into the volume by itself."""
    browser = browser_of(volume)
    if browser is not None and 0 <= index < browser.GetNumberOfItems():
        browser.SetSelectedItemNumber(index)


def stored_image(volume: Any) -> Any:
    """The image data that says when a volume's voxels changed: of the frame in its sequence, or the volume's own.

    What a proxy volume holds is copied anew whenever a frame is shown; the frame itself stays what it was.
    """
    browser = browser_of(volume)
    if browser is None:
        return volume.GetImageData()
    sequence = browser.GetSequenceNode(volume)
    value = browser.GetMasterSequenceNode().GetNthIndexValue(browser.GetSelectedItemNumber())
    stored = sequence.GetDataNodeAtValue(value) if value else None
    return volume.GetImageData() if stored is None else stored.GetImageData()
