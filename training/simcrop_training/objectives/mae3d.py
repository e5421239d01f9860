"""Masked autoencoder in 3D: fill in hidden patches, without any text (docs/methods/mae3d.md)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.image_decoder import ImageDecoder
from simcrop_core.models.losses import LossSum, at_least_float32, masked_image_loss, standardised
from simcrop_core.models.masking import masked_patches
from simcrop_core.models.patches import patch_vectors
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.text.bert import Bert
from simcrop_training.objectives.pairs import PairObjective, Pairs

# A patch whose brightest voxel is darker than this (HU) shows nothing but air.
_AIR_HU = -900.0


class MaskedAutoencoder(nn.Module):
    """The shared image encoder and a decoder of hidden patches."""

    def __init__(self, config: PretrainingConfig) -> None:
        super().__init__()
        self.config = config
        self.vision = VisionTransformer(config.vision)
        self.image_decoder = ImageDecoder(config.vision, config.image_decoder)

    def errors(self, images_B1HWD: Tensor, tokens_BKC: Tensor, keep_BK: Tensor) -> tuple[LossSum, Tensor]:
        """The image loss from encoded visible patches, and (B, N) the squared error of each patch, hidden ones only."""
        predicted_BNP = at_least_float32(self.image_decoder(tokens_BKC, keep_BK))
        target_BNP = at_least_float32(patch_vectors(images_B1HWD, self.config.vision.patch))
        if self.config.norm_pix:
            target_BNP = standardised(target_BNP, self.config.norm_pix_floor)
        masked_BN = masked_patches(keep_BK, target_BNP.shape[1])
        loss = masked_image_loss(predicted_BNP, target_BNP, masked_BN, self.config.mim_on)
        return loss, (predicted_BNP - target_BNP).square().mean(dim=-1) * masked_BN


class Mae3d(PairObjective):
    """The objective `mae3d`: SimCroP's image loss alone; arguments as those of `PairObjective`.

    Half of all patches are air, which is filled in at once, so the loss on the others is logged as `image_inside`.
    """

    weights: Mapping[str, float] = MappingProxyType({"image": 1.0})

    def network_of(self, _bert: Bert, /) -> nn.Module:
        """See `PairObjective`; the text encoder is not used."""
        return MaskedAutoencoder(self.config)

    def counts(self, batch: Pairs, /) -> dict[str, int]:
        """Hidden patches, and those of them that are not air."""
        hidden_BN = masked_patches(batch.keep_BK, self.config.vision.tokens)
        patches = hidden_BN.sum() if self.config.mim_on == "masked" else hidden_BN.numel()
        return {"image": int(patches), "image_inside": int((hidden_BN & self._inside(self.frames(batch))).sum())}

    def totals(self, batch: Pairs, /) -> dict[str, Tensor]:
        """The sum of the image loss, and its part outside of air."""
        network = self.module
        assert isinstance(network, MaskedAutoencoder)
        images_B1HWD = self.frames(batch)
        return self.image_totals(images_B1HWD, network.vision(images_B1HWD, batch.keep_BK), batch)

    def image_totals(self, images_B1HWD: Tensor, tokens_BKC: Tensor, batch: Pairs) -> dict[str, Tensor]:
        """The same from encoded visible patches."""
        network = self.module
        assert isinstance(network, MaskedAutoencoder)
        loss, errors_BN = network.errors(images_B1HWD, tokens_BKC, batch.keep_BK)
        return {"image": loss.total, "image_inside": (errors_BN * self._inside(images_B1HWD)).sum().detach()}

    def _inside(self, images_B1HWD: Tensor) -> Tensor:
        low, high = self.data.frame.hu_window
        air = 2 * (_AIR_HU - low) / (high - low) - 1
        return patch_vectors(images_B1HWD, self.config.vision.patch).amax(dim=-1) > air
