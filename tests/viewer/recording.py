"""What a tab shows, as an animated picture: for the README, from the real page."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
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
        colours = _palette(np.concatenate([np.asarray(frame).reshape(-1, 3) for frame in self._frames]))
        first, *rest = [frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in self._frames]
        first.save(file, save_all=True, append_images=rest, duration=self._shown_ms, loop=0, optimize=True)


def _palette(pixels):
    """Half of it greys, for scan and words; the rest for what is coloured and rare: heat, crosshair, chosen row."""
    coloured = pixels[np.ptp(pixels.astype(int), axis=1) > 24]
    rare = Image.fromarray(coloured[None]).quantize(120, method=Image.Quantize.MEDIANCUT).getpalette()[: 3 * 120]
    greys = [level for level in np.linspace(0, 255, 128).astype(int).tolist() for _ in range(3)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(greys + rare)
    return palette
