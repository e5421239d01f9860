"""The peers: the released network as it computes, its sliding window, and MONAI's preprocessing.

The released code is not part of this project. Its network is rebuilt from what it does (docs/methods/simcrop.md): one
small convolution a patch, float32, windows that overlap by half; the rest is arithmetic shared with ours.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.inferers.utils import sliding_window_inference
from monai.transforms.compose import Compose
from monai.transforms.croppad.array import CenterSpatialCrop, SpatialPad
from monai.transforms.intensity.array import ScaleIntensityRange
from monai.transforms.io.array import LoadImage
from monai.transforms.spatial.array import Orientation, Spacing
from monai.transforms.utility.array import EnsureChannelFirst
from torch import Tensor

from simcrop_core.benchmark.clock import growth_mb, median_seconds, seconds
from simcrop_core.imaging.frame import frame_volume
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.read import read_volume
from simcrop_core.models.presets import PRESETS, SEGMENTATION_PRESETS
from simcrop_core.models.unetr import UNETR
from simcrop_core.models.vit import PatchEmbedding, VisionTransformer

# The frame that MONAI's crop and pad make: on the volume's middle, air around it.
MONAI_FRAME = FrameConfig(placement="volume")


class PatchByPatchEmbedding(torch.nn.Module):
    """The released embedding: every patch is convolved as an image of its own."""

    def __init__(self, ours: PatchEmbedding) -> None:
        super().__init__()
        self.patch, self.proj = ours.patch, ours.proj

    def forward(self, images_B1HWD: Tensor, keep_BK: Tensor | None = None) -> Tensor:
        """(B, 1, H, W, D) → (B, N, C)."""
        assert keep_BK is None, "all patches are visible here"
        (b, _, *size), patch = images_B1HWD.shape, self.patch
        grid = [n // p for n, p in zip(size, patch, strict=True)]
        cut = images_B1HWD.reshape(b, grid[0], patch[0], grid[1], patch[1], grid[2], patch[2])
        patches = cut.permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, 1, *patch)
        tokens: Tensor = F.conv3d(patches, self.proj.weight, self.proj.bias).reshape(b, -1, self.proj.out_channels)
        return tokens


def monai_frame() -> Callable[[str], Tensor]:
    """MONAI's Load → Orientation → Spacing → ScaleIntensityRange → crop and pad, with the file's affine."""
    transform: Callable[[str], Tensor] = Compose(
        [
            LoadImage(image_only=True),
            EnsureChannelFirst(),
            Orientation("RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            Spacing(MONAI_FRAME.spacing_mm, mode="bilinear"),
            ScaleIntensityRange(*MONAI_FRAME.hu_window, -1, 1, clip=True),
            CenterSpatialCrop(MONAI_FRAME.shape),
            SpatialPad(MONAI_FRAME.shape, mode="constant", value=-1),
        ]
    )
    return transform


def measure_peers(device_name: str, scan: Path) -> dict[str, Any]:
    """The released network in float32 and MONAI's pipeline, on the same scan; always on the CPU's own threads."""
    device = torch.device("cuda" if device_name == "cuda" else "cpu")
    torch.manual_seed(0)
    read_frame_mb = growth_mb(lambda: monai_frame()(str(scan)))
    frame = frame_volume(read_volume(scan), MONAI_FRAME)
    image = torch.from_numpy(frame.images_THWD)[:, None].to(device)
    return {
        "read_frame_s": median_seconds(lambda: monai_frame()(str(scan))),
        # Ours for the very same frame, without the search for the lungs that MONAI's does not have.
        "read_frame_simcrop_s": median_seconds(lambda: frame_volume(read_volume(scan), MONAI_FRAME)),
        "read_frame_mb": read_frame_mb,
        "read_frame_mean_difference_in_body": _difference(scan, frame.images_THWD[0]),
        "encode_s": _encode_s(image),
        "segment_s": _segment_s(image),
    }


def _difference(scan: Path, ours: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    """Mean absolute difference of the two frames inside the body, on the −1…1 scale."""
    theirs = monai_frame()(str(scan))[0].numpy()
    body = ours > -0.5
    return round(float(np.abs(ours - theirs)[body].mean()), 6)


def _encode_s(image: Tensor) -> float:
    vision = VisionTransformer(PRESETS["base"].vision).eval().to(image.device)
    vision.patch_embed = PatchByPatchEmbedding(vision.patch_embed)  # type: ignore[assignment]
    with torch.inference_mode():
        # .cpu() waits for a GPU to be done.
        return median_seconds(lambda: vision.patch_features(image).cpu())


def _segment_s(image: Tensor) -> float:
    config = SEGMENTATION_PRESETS["base"]
    unetr = UNETR(config).eval().to(image.device)
    with torch.inference_mode():
        return round(seconds(lambda: _windows(image, unetr).cpu()), 3)


def _windows(image: Tensor, unetr: UNETR) -> Tensor:
    scores = sliding_window_inference(image, unetr.config.window, 1, unetr, overlap=0.5)
    assert isinstance(scores, Tensor), "one output, one tensor"
    return scores
