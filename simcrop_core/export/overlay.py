"""CT in grey with a heatmap's colours over it."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from numpy.typing import NDArray

from simcrop_core.export.planes import Plane
from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.imaging.sampling import sample
from simcrop_core.imaging.volume import Volume

# The dark end of the map would vanish over lung; what is left rises in lightness all the way.
HEAT = ListedColormap(colormaps["plasma"](np.linspace(0.3, 1.0, 256)), name="heat")
FAINTEST, STRONGEST = 0.45, 0.80
# A tint takes this much of its lightness from the CT, so that a lesion stays visible under its heat.
CT_SHARE = 0.65


def plane_picture(
    cut: Plane, volume: Volume, heatmap: Heatmap | None, scale: ColourScale, window_hu: tuple[float, float]
) -> NDArray[np.float32]:
    """The pixels of one plane: (rows, columns, 3) RGB, 0 to 1; black beyond the volume."""
    low, high = window_hu
    hu = sample(volume.voxels, volume.affine, cut.points_ras_mm, outside=low)
    grey = np.clip((hu - np.float32(low)) / np.float32(high - low), 0, 1)
    if heatmap is None:
        return np.repeat(grey[..., None], 3, axis=-1)
    return tinted(grey, heatmap.sample(cut.points_ras_mm), scale)


def tinted(grey: NDArray[np.float32], scores: NDArray[np.float32], scale: ColourScale) -> NDArray[np.float32]:
    """A CT picture with the scores' colours; where a score is below the scale, or NaN, the CT is left as it is.

    Args:
        grey: (rows, columns) CT, 0 black to 1 white.
        scores: (rows, columns) cosine similarity; NaN where the model did not look.
        scale: of the weights.

    Returns:
        (rows, columns, 3) RGB, 0 to 1.
    """
    along = scale.position(scores)
    opacity = np.where(np.isfinite(along), FAINTEST + (STRONGEST - FAINTEST) * along, 0)[..., None]
    lightness = grey[..., None]
    colours = HEAT(np.nan_to_num(along))[..., :3] * (1 - CT_SHARE + CT_SHARE * lightness)
    mixed: NDArray[np.float32] = np.clip(lightness + opacity * (colours - lightness), 0, 1).astype(np.float32)
    return mixed
