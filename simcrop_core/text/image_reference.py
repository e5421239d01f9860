"""The image a sentence points at: "(series 4, image 112)"."""

from __future__ import annotations

import re

from simcrop_core.results import ImageReference

_SERIES = r"(?:series|ser|se)\.?\s*(?:no\.?|number|#|:)?\s*(?P<series{0}>\d{{1,5}})"
_IMAGE = r"(?:images?|img|ima|im|slices?)\.?\s*(?:no\.?|numbers?|#|:)?\s*(?P<image{0}>\d{{1,5}})(?!\s*(?:mm|cm)\b|\.\d)"
_BETWEEN = r"\s*(?:[,;:/-]|\band\b|\bon\b|\bof\b|\bin\b)*\s*(?:\bthe\b)?\s*"
# The bare pair of numbers needs its brackets, and the second must not be a year: "(03/2021)" is a month.
_PAIR = r"[(\[]\s*(?P<series3>\d{1,3})\s*/\s*(?P<image3>(?!(?:19|20)\d\d\b)\d{1,4})\s*[)\]]"
_REFERENCE = re.compile(
    rf"\b{_SERIES.format(1)}{_BETWEEN}{_IMAGE.format(1)}"
    rf"|\b{_IMAGE.format(2)}{_BETWEEN}{_SERIES.format(2)}"
    rf"|{_PAIR}|\b{_IMAGE.format(4)}",
    re.IGNORECASE,
)


def image_reference_in(text: str) -> ImageReference | None:
    """The first image a sentence refers to, None where it refers to none.

    Known forms: "series 4, image 112", "se 4 im 112", "image 112 of series 4", "(4/112)", "image 112"; of a range the
    first image.
    """
    match = _REFERENCE.search(text)
    if match is None:
        return None
    series = next((match[f"series{form}"] for form in (1, 2, 3) if match[f"series{form}"]), None)
    image = next(match[f"image{form}"] for form in (1, 2, 3, 4) if match[f"image{form}"])
    return ImageReference(series=int(series) if series else None, image=int(image))
