"""What a tab shows, as an animated picture: for the README, from the real page."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

SIZE = (1024, 640)


class Recording:
    """Pictures of a tab with how long each is shown, in ms; ones that look like the last are added to its time."""

    def __init__(self, tab):
        self._tab = tab
        self._frames = []
        self._shown_ms = []

    def look(self, shown_ms=120):
        """Take a picture."""
        image = Image.open(io.BytesIO(self._tab.screenshot())).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
        if self._frames and image.tobytes() == self._frames[-1].tobytes():
            self._shown_ms[-1] += shown_ms
            return
        self._frames.append(image)
        self._shown_ms.append(shown_ms)

    def watch(self, pictures, pause_ms=150):
        """Take several, one after another, while something happens."""
        for _ in range(pictures):
            self._tab.wait_for_timeout(pause_ms)
            self.look(pause_ms)

    def save(self, file: Path):
        """One table of colours for all pictures, so that what does not move takes no room."""
        # Of all pictures together, the rare ones of the heat as well.
        together = Image.new("RGB", (SIZE[0], SIZE[1] * len(self._frames)))
        for place, frame in enumerate(self._frames):
            together.paste(frame, (0, SIZE[1] * place))
        colours = together.quantize(255, method=Image.Quantize.MAXCOVERAGE)
        first, *rest = [frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in self._frames]
        first.save(file, save_all=True, append_images=rest, duration=self._shown_ms, loop=0, optimize=True)
