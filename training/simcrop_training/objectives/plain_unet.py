"""MONAI's UNet in the place of the UNETR: what any segmentation network has to be measured beside."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from monai.networks.nets.unet import UNet
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from simcrop_core.errors import IncompatibleWeights, UnknownWeights
from simcrop_core.export.atomic import replacing
from simcrop_core.models.config import SegmentationConfig
from simcrop_core.models.weights_metadata import stored_metadata

UNET_FILE = "unet.safetensors"
_KEY = "simcrop-unet"
# The sizes of MONAI's own tutorials; the last step leaves the slices alone, of which 56 can be halved but thrice.
_CHANNELS = (16, 32, 64, 128, 256)
_STRIDES = ((2, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 1))


class PlainUnet(nn.Module):
    """A UNet with the frame, windows and labels of a UNETR; it is measured, never shipped.

    Args:
        config: of the UNETR that it stands beside; the windows' sides must divide by 16, 16 and 8.
    """

    def __init__(self, config: SegmentationConfig) -> None:
        super().__init__()
        self.config = config
        # MONAI takes a step a level, or three of them, and says only the first.
        self.unet = UNet(3, 1, len(config.labels), _CHANNELS, _STRIDES, num_res_units=2)  # type: ignore[arg-type]

    def forward(self, images_B1HWD: Tensor) -> Tensor:
        """(B, labels, H, W, D) scores."""
        scores: Tensor = self.unet(images_B1HWD)
        return scores


def save_unet(path: Path, model: PlainUnet) -> None:
    """Write a UNet with its configuration.

    Raises:
        CannotWrite: the folder is not writable or the disk is full.
    """
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, {_KEY: json.dumps(model.config.to_dict())})


def load_unet(path: Path) -> PlainUnet:
    """Read what `save_unet` wrote, in eval mode and without gradients.

    Raises:
        UnknownWeights: no such file, or it is no UNet that `simcrop-train run` left.
        IncompatibleWeights: its tensors are not those of its configuration.
    """
    document = stored_metadata(path).get(_KEY)
    if document is None:
        raise UnknownWeights(f"{path} holds no UNet.", hint=f"Give the {UNET_FILE} of a run with network: unet.")
    model = PlainUnet(SegmentationConfig.from_dict(json.loads(document)))
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as fault:
        raise IncompatibleWeights(f"{path} holds another UNet: {fault}", hint="Train it again.") from fault
    return model.eval().requires_grad_(False)


def on(model: PlainUnet, device: torch.device) -> PlainUnet:
    """The network on a device, in the memory layout that its convolutions are fastest in."""
    model.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return model
