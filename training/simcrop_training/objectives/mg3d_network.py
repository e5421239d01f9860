"""MG-3D's network on the shared encoder: a masked autoencoder, a frozen text encoder, and attention both ways."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.losses import at_least_float32
from simcrop_core.models.report_decoder import VocabularyHead
from simcrop_core.text.bert import Bert
from simcrop_training.objectives.cross_attention import CrossAttention, Weights, mean_of_kept, unit
from simcrop_training.objectives.mae3d import MaskedAutoencoder

# Widths of the projection in which a sentence that was filled in is compared with the one that was written.
_HIDDEN, _PROJECTED = 128, 8


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Whole frames beside whole reports; all vectors have length 1 and are float32 or wider.

    Attributes:
        patches_BNC: of the frames, as wide as text; of any length and type.
        sentences_BSC: of the reports, from the frozen encoder; of any length and type.
        single_BG: mean patch and mean sentence side by side, before they saw each other.
        crossed_BG: the same after patches drew from sentences, and sentences from patches.
        whole_BC: mean patch.
        drawn_BC: the mean of the sentences' regions.
        regions_BSC: the mean patch by each sentence's attention.
        said_BSC: the sentences, length 1.
    """

    patches_BNC: Tensor
    sentences_BSC: Tensor
    single_BG: Tensor
    crossed_BG: Tensor
    whole_BC: Tensor
    drawn_BC: Tensor
    regions_BSC: Tensor
    said_BSC: Tensor


class MultiGranularity(MaskedAutoencoder):
    """Everything that is trained, and the frozen text encoder.

    Args:
        config: of the image encoder and decoder, and of the vocabulary.
        bert: the text encoder, which stays as it is.
        layers: of cross-attention in each direction.
        kind: of its weights.
    """

    def __init__(self, config: PretrainingConfig, bert: Bert, *, layers: int, kind: Weights) -> None:
        super().__init__(config)
        dim, heads = bert.config.dim, config.fusion_heads
        self.text_encoder = bert.requires_grad_(False)
        self.image_projection = nn.Linear(config.vision.dim, dim)
        self.text_from_image = CrossAttention(dim, heads=heads, layers=layers, kind=kind)
        self.image_from_text = CrossAttention(dim, heads=heads, layers=layers, kind=kind)
        self.head = VocabularyHead(dim, config.report_decoder.vocabulary)
        self.sentence_projection = nn.Sequential(nn.Linear(dim, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, _PROJECTED))

    @torch.no_grad()
    def words(self, ids_BT: Tensor, attended_BT: Tensor) -> Tensor:
        """States of word pieces, (B, T, C)."""
        states_BTC: Tensor = self.text_encoder(ids_BT, attended_BT)
        return states_BTC

    def read(self, images_B1HWD: Tensor, words_BT: Tensor, attended_BT: Tensor, belongs_BST: Tensor) -> Reading:
        """Frames and reports, nothing hidden.

        Args:
            images_B1HWD: frames.
            words_BT: word pieces of the reports.
            attended_BT: false for padding.
            belongs_BST: which pieces make which sentence.
        """
        patches_BNC = self.image_projection(self.vision.patch_features(images_B1HWD))
        sentences_BSC = sentence_means(self.words(words_BT, attended_BT), belongs_BST)
        said_BS = belongs_BST.any(dim=2)
        crossed_BSC, weights_BSN = self.text_from_image(sentences_BSC, patches_BNC, _all_of(patches_BNC))
        crossed_BNC, _ = self.image_from_text(patches_BNC, sentences_BSC, said_BS)
        weights_BSN = at_least_float32(weights_BSN)
        weights_BSN = weights_BSN / weights_BSN.sum(dim=2, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        regions_BSC = at_least_float32(weights_BSN @ at_least_float32(patches_BNC))
        image_BC, text_BC = patches_BNC.mean(dim=1), mean_of_kept(sentences_BSC, said_BS)
        return Reading(
            patches_BNC,
            sentences_BSC,
            _joined(image_BC, text_BC),
            _joined(crossed_BNC.mean(dim=1), mean_of_kept(crossed_BSC, said_BS)),
            unit(at_least_float32(image_BC)),
            unit(mean_of_kept(regions_BSC, said_BS)),
            unit(regions_BSC),
            unit(at_least_float32(sentences_BSC)),
        )

    def filled_in(self, report_BT: Tensor, attended_BT: Tensor, patches_BNC: Tensor) -> Tensor:
        """States of a masked report's pieces after they drew from the patches, (B, T, C)."""
        states_BTC: Tensor = self.text_from_image(
            self.words(report_BT, attended_BT), patches_BNC, _all_of(patches_BNC)
        )[0]
        return states_BTC


def sentence_means(states_BTC: Tensor, belongs_BST: Tensor) -> Tensor:
    """The mean state of each sentence's word pieces, (B, S, C); 0 for a sentence without any."""
    counts_BS1 = belongs_BST.sum(dim=2, keepdim=True).clamp(min=1)
    return belongs_BST.to(states_BTC.dtype) @ states_BTC / counts_BS1


def _all_of(patches_BNC: Tensor) -> Tensor:
    return torch.ones(patches_BNC.shape[:2], dtype=torch.bool, device=patches_BNC.device)


def _joined(image_BC: Tensor, text_BC: Tensor) -> Tensor:
    """Both at length 1, so that neither outweighs the other, and side by side at length 1."""
    return unit(torch.cat([unit(at_least_float32(image_BC)), unit(at_least_float32(text_BC))], dim=1))
