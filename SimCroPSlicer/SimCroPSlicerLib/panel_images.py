"""Going to the image that a sentence of the report names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from SimCroPSlicerLib import views
from SimCroPSlicerLib.desk import Desk
from SimCroPSlicerLib.images import BY_NUMBER, Image, Place, images_of, place_of, point_in
from SimCroPSlicerLib.voxels import VolumeKey, key_of


class ReportImages:
    """Finds images by their DICOM numbers, which are read once a volume.

    Args:
        desk: shared by the parts.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.count = BY_NUMBER
        self._known: dict[VolumeKey, list[Image]] = {}

    def go_to(self, reference: Mapping[str, Any] | None, peak_ras_mm: Any, *, wanted: bool) -> None:
        """Show an image of the chosen CT, or say why that cannot be; later, where its headers must be read first.

        Args:
            reference: `series` and `image`; with None nothing is done.
            peak_ras_mm: of the sentence: the views go to that column of the image.
            wanted: the user asked for the image itself, and not only for the sentence that names it.
        """
        volume = self._desk.volume()
        if reference is None or volume is None:
            return
        key = key_of(volume)
        known = self._known.get(key)
        if known is not None:
            self._jump(place_of(reference, known, volume, self.count), volume, peak_ras_mm, wanted=wanted)
            return

        def read(images: list[Image]) -> None:
            self._known[key] = images
            if volume is self._desk.volume():
                self._jump(place_of(reference, images, volume, self.count), volume, peak_ras_mm, wanted=wanted)

        self._desk.run("", images_of(volume), read, quiet=True)

    def _jump(self, place: Place, volume: Any, peak_ras_mm: Any, *, wanted: bool) -> None:
        self._desk.say(place.words, amber=wanted and place.slice is None)
        if place.slice is not None:
            views.jump_to(volume.GetScene(), point_in(volume, place.slice, peak_ras_mm))
