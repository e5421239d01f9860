"""The 3D vision transformer, against the released code's numbers and against plain operators."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden import parity_weights

from simcrop_core.models.config import VisionConfig
from simcrop_core.models.presets import PRESETS
from simcrop_core.models.vit import PatchEmbedding, VisionTransformer

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = PRESETS["tiny"].vision


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return VisionTransformer(TINY).eval()


def frames(config, batch=2, seed=0):
    return torch.rand(batch, 1, *config.image, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@torch.inference_mode()
def test_it_gives_the_released_codes_numbers():
    """Linear-probe encoder, 2 blocks, every stage (tests/golden/README.md)."""
    golden = np.load(GOLDEN / "cls_vit_small.npz")
    state = {k: torch.from_numpy(v) for k, v in parity_weights.checkpoint(depth=2, grid=4, distractors=False).items()}
    weight, bias = state.pop("fc_norm.weight"), state.pop("fc_norm.bias")
    vit = VisionTransformer(VisionConfig(image=(64, 64, 32), depth=2, positions="checkpoint")).eval()
    assert vit.load_state_dict(state, strict=False).missing_keys == ["norm.weight", "norm.bias"]
    images = torch.from_numpy(parity_weights.image((3, 1, 64, 64, 32), 7))
    rows = golden["rows"]

    _, hidden = vit.with_hidden(images, (0, 1))

    def agrees(ours, name):
        np.testing.assert_allclose(ours, golden[name], rtol=0, atol=2e-5)

    agrees(vit.patch_embed(images)[:, rows[rows > 0] - 1], "patch_tokens")
    agrees(torch.stack([h[:, rows] for h in hidden], dim=1), "block_rows")
    gap = hidden[-1][:, 1:].mean(dim=1)
    agrees(gap, "gap")
    agrees(F.layer_norm(gap, (768,), weight, bias, 1e-6), "pooled")


def test_the_matrix_product_is_the_convolution():
    embedding = PatchEmbedding((16, 16, 8), 96)
    images = torch.rand(2, 1, 48, 32, 24) * 2 - 1
    strided = F.conv3d(images, embedding.proj.weight, embedding.proj.bias, stride=(16, 16, 8))
    torch.testing.assert_close(embedding(images), strided.flatten(2).mT, atol=1e-4, rtol=0)


def test_the_geometry_is_the_papers():
    assert (VisionConfig().grid, VisionConfig().tokens) == ((14, 14, 14), 2744)
    assert VisionConfig(image=(96, 96, 48)).grid == (6, 6, 6)


def test_hidden_patches_cannot_be_seen(tiny):
    """Encoding the visible patches alone is encoding a frame whose other patches may hold anything."""
    keep_BK = torch.tensor([[0, 5, 17, 63], [3, 1, 2, 60]])
    images = frames(TINY)
    tokens = tiny(images, keep_BK)
    assert tokens.shape == (2, 5, TINY.dim)
    hidden_voxels = images.clone()
    hidden_voxels[0, :, 24:, :8, :4] = 9.0  # patch (3, 0, 0): index 48
    assert torch.equal(tiny(hidden_voxels, keep_BK), tokens)
    hidden_voxels[0, :, :8, :8, :4] = 9.0  # patch 0, which is visible
    assert not torch.allclose(tiny(hidden_voxels, keep_BK)[0], tokens[0], atol=1e-3)


def test_all_patches_kept_is_no_mask(tiny):
    images = frames(TINY)
    every = torch.arange(TINY.tokens).expand(2, -1)
    torch.testing.assert_close(tiny(images, every), tiny(images))
    shuffled = every.flip(1)
    torch.testing.assert_close(tiny(images, shuffled)[:, 1:], tiny.patch_features(images).flip(1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cls_token", [True, False])
def test_patch_features_leave_the_class_token_out(cls_token):
    vit = VisionTransformer(replace(TINY, cls_token=cls_token)).eval()
    images = frames(TINY)
    assert vit(images).shape[1] == TINY.tokens + cls_token
    assert torch.equal(vit.patch_features(images), vit(images)[:, int(cls_token) :])
    assert ("cls_token" in vit.state_dict()) is cls_token
    assert vit.pos_embed.shape == (1, TINY.tokens + cls_token, TINY.dim)


def test_the_key_names_are_the_released_ones():
    keys = set(VisionTransformer(replace(TINY, depth=1)).state_dict())
    assert keys == set(parity_weights.vit_shapes(depth=1, norm="norm"))


def test_frames_of_any_proportions():
    config = replace(TINY, image=(16, 40, 12))
    assert VisionTransformer(config).patch_features(frames(config)).shape == (2, 2 * 5 * 3, TINY.dim)


def test_a_frame_that_the_table_does_not_fit_is_refused(tiny):
    with pytest.raises(ValueError, match="frames of"):
        tiny(torch.zeros(1, 1, 32, 32, 20))


@torch.inference_mode()
def test_bfloat16_weights_give_the_same_directions():
    torch.manual_seed(0)
    config = VisionConfig(image=(48, 48, 24), dim=192, depth=12, heads=3)
    vit = VisionTransformer(config).eval()
    images = frames(config)
    exact = vit.patch_features(images)
    fast = vit.to(torch.bfloat16).patch_features(images)
    assert fast.dtype == torch.bfloat16
    assert F.cosine_similarity(exact, fast.float(), dim=-1).min() > 0.9999


def test_drop_path_acts_only_while_training():
    torch.manual_seed(0)
    vit = VisionTransformer(replace(TINY, depth=4), drop_path=0.5)
    images = frames(TINY)
    assert not torch.equal(vit(images), vit(images))
    vit.eval()
    assert torch.equal(vit(images), vit(images))
    assert [block.drop_path for block in vit.blocks] == pytest.approx([0, 0.5 / 3, 1 / 3, 0.5])


def test_every_weight_learns_and_the_positions_do_not(tiny):
    tiny(frames(TINY), torch.tensor([[0, 9], [4, 2]])).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in tiny.parameters())
    assert "pos_embed" not in dict(tiny.named_parameters())
