"""What using an imported set of weights is bound to, in words a user reads (docs/weights.md)."""

from __future__ import annotations

from typing import Literal

WeightsFormat = Literal["simcrop", "mae", "unetr", "m3d", "cxr-bert"]

LICENCES: dict[WeightsFormat, str] = {
    "simcrop": "none stated by the authors; trained on CT-RATE (CC BY-NC-SA 4.0): non-commercial use only, "
    "do not pass the weights on",
    "mae": "CC BY-NC 4.0: whatever is trained from these weights stays non-commercial too",
    "unetr": "none stated by the authors; starts from weights trained on CT-RATE (CC BY-NC-SA 4.0): non-commercial use "
    "only, do not pass the weights on",
    "m3d": "the terms stand on the model card and on that of its data set M3D-Cap (the code is MIT): read both, and "
    "take no commercial use for granted",
    "cxr-bert": "MIT; its model card asks for research use only, not for patient care",
}
