"""A sentence that may be about a place of the scan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A sentence that may be about a place.

    Attributes:
        text: of the sentence.
        heading: that it stands under.
        origin: where it is from, in the user's words.
        show: shows its heatmap without moving the views.
    """

    text: str
    heading: str
    origin: str
    show: Callable[[], None]
