"""One synthetic chest CT with its report and truth, by either generator."""

from __future__ import annotations

from simcrop_core.phantom.style_a import draw as style_a
from simcrop_core.phantom.style_b import draw as style_b
from simcrop_core.phantom.truth import Phantom, Size, Style


def draw_phantom(seed: int, *, style: Style = "a", size: Size = "frame") -> Phantom:
    """Draw a phantom. The same arguments draw the same phantom.

    Args:
        seed: any number that is not negative.
        style: "a", which training data are drawn with, or "b", for measuring only (docs/phantoms.md).
        size: "frame", (224, 224, 112) voxels of 1.5 × 1.5 × 3 mm as the model sees a scan, or "full", (512, 512, 300)
            as a scanner writes it.
    """
    draw = {"a": style_a.draw_phantom, "b": style_b.draw_phantom}[style]
    return draw(seed, size)
