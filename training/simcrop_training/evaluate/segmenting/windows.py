"""Label maps on the model's grid, by MONAI's sliding windows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simcrop_core.inference.segmentation import import_sliding_windows
from simcrop_core.models.unetr import UNETR
from simcrop_training.evaluate.segmenting.presets import Protocol

_AT_ONCE = {"cuda": 4, "mps": 1, "cpu": 1}


@torch.no_grad()
def labelled_grid(model: UNETR, image_HWD: Tensor, protocol: Protocol) -> NDArray[np.uint8]:
    """The best class of every voxel.

    Args:
        model: in eval mode, on any device.
        image_HWD: float32, −1…1, at the model's spacing.
        protocol: how windows overlap and are weighted, and what lies beyond the scan.

    Returns:
        (H, W, D) classes.
    """
    import_sliding_windows()
    from monai.inferers.utils import sliding_window_inference

    device = next(model.parameters()).device

    def predict(images_B1HWD: Tensor) -> Tensor:
        scores: Tensor = model(images_B1HWD)
        return scores.float()

    scores_1CHWD = sliding_window_inference(
        image_HWD[None, None], model.config.window, _AT_ONCE[device.type], predict,
        overlap=protocol.overlap, mode=protocol.blend, cval=protocol.beyond, sw_device=device,
        device=torch.device("cpu"),
    )  # fmt: skip
    assert isinstance(scores_1CHWD, Tensor), "one output, one tensor"
    labels: NDArray[np.uint8] = scores_1CHWD[0].argmax(dim=0).to(torch.uint8).numpy()
    return labels
