"""Masked patches are filled in at their own places."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from simcrop_core.models.config import ImageDecoderConfig
from simcrop_core.models.image_decoder import ImageDecoder, placed
from simcrop_core.models.masking import keep_indices, masked_patches
from simcrop_core.models.presets import PRETRAINING_PRESETS
from simcrop_core.models.vit import take_tokens

TINY = PRETRAINING_PRESETS["tiny"]


def test_tokens_taken_and_put_back_are_where_they_were():
    tokens = torch.rand(3, 20, 6)
    noise = torch.rand(3, 20)
    every = noise.argsort(dim=1)
    assert torch.equal(placed(take_tokens(tokens, every), every, torch.zeros(1, 1, 6), 20), tokens)
    keep = keep_indices(noise, 5)
    filler = torch.full((1, 1, 6), -7.0)
    filled = placed(take_tokens(tokens, keep), keep, filler, 20)
    hidden = masked_patches(keep, 20)
    assert (filled[hidden] == -7).all()
    assert torch.equal(filled[~hidden], tokens[~hidden])


@pytest.mark.parametrize("cls_token", [True, False])
def test_the_output_is_in_grid_order(cls_token):
    """With no blocks to mix tokens, a patch's prediction depends on its own token and place alone."""
    vision = replace(TINY.vision, cls_token=cls_token)
    decoder = ImageDecoder(vision, ImageDecoderConfig(dim=48, depth=0, heads=2)).eval()
    keep = torch.tensor([[2, 40, 63]])
    tokens = torch.rand(1, 3 + cls_token, vision.dim)
    before = decoder(tokens, keep)
    assert before.shape == (1, vision.tokens, 8 * 8 * 4)
    tokens[0, int(cls_token) + 1] += 1.0
    changed = (decoder(tokens, keep) - before).abs().sum(-1)[0] > 0
    assert changed.nonzero().flatten().tolist() == [40]


def test_hidden_patches_differ_by_their_place():
    decoder = ImageDecoder(TINY.vision, TINY.image_decoder).eval()
    predicted = decoder(torch.rand(1, 3, TINY.vision.dim), torch.tensor([[2, 40]]))
    assert len(torch.unique(predicted[0], dim=0)) == TINY.vision.tokens


def test_the_key_names_are_those_of_mae_style_decoders():
    keys = {key.split(".")[0] for key in ImageDecoder(TINY.vision, TINY.image_decoder).state_dict()}
    assert keys == {
        "decoder_embed",
        "mask_token",
        "decoder_pos_embed",
        "decoder_blocks",
        "decoder_norm",
        "decoder_pred",
    }
