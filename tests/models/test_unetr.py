"""The UNETR, against the released code's numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import parity_weights

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.models.config import SegmentationConfig, VisionConfig
from simcrop_core.models.presets import SEGMENTATION_PRESETS, segmentation_window
from simcrop_core.models.unetr import UNETR
from simcrop_core.models.vit import VisionTransformer

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = SEGMENTATION_PRESETS["tiny"]


def windows(config, batch=1):
    return torch.rand(batch, 1, *config.window, generator=torch.Generator().manual_seed(0)) * 2 - 1


@torch.inference_mode()
def test_it_gives_the_released_codes_numbers():
    """Twelve blocks loaded from a pre-training checkpoint, 4 labels, every stage (tests/golden/README.md)."""
    golden = np.load(GOLDEN / "unetr_96_out4.npz")
    unetr = UNETR(replace(SEGMENTATION_PRESETS["base"], labels=("background", "left lung", "right lung", "trachea")))
    checkpoint = {key: torch.from_numpy(value) for key, value in parity_weights.checkpoint(grid=6).items()}
    left = unetr.load_encoder(checkpoint)
    assert set(left) == {"cls_token", "pos_embed", *parity_weights.DISTRACTORS}
    decoder = {
        key: torch.from_numpy(parity_weights.tensor(key, tuple(tensor.shape), "unetr."))
        for key, tensor in unetr.state_dict().items()
        if not key.startswith("vit.")
    }
    unetr.load_tensors(unetr.state_dict() | decoder)
    images = torch.from_numpy(parity_weights.image((1, 1, 96, 96, 48), 96))
    stages, rows = {}, golden["rows"]
    for name in [*json.loads(str(golden["stages"])), "vit.fc_norm", *(f"vit.blocks.{i}" for i in range(12))]:
        unetr.get_submodule(name).register_forward_hook(lambda *args, name=name: stages.update({name: args[2]}))

    logits = unetr.eval()(images).numpy()

    hidden_rows = torch.stack([stages[f"vit.blocks.{i}"][:, rows] for i in range(12)], dim=1)
    np.testing.assert_allclose(hidden_rows, golden["hidden_rows"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(stages["vit.fc_norm"][:, rows], golden["final_rows"], rtol=0, atol=2e-5)
    for name, (shape, mean, deviation, magnitude) in json.loads(str(golden["stages"])).items():
        maps = stages[name].double()
        assert list(maps.shape) == shape, name
        assert (float(maps.mean()), float(maps.std(correction=0))) == pytest.approx((mean, deviation), abs=2e-4), name
        assert float(maps.abs().sum()) == pytest.approx(magnitude, rel=1e-5), name
    np.testing.assert_allclose(logits[:, :, ::16, ::16, ::8], golden["logits_sub"], rtol=0, atol=2e-4)
    np.testing.assert_allclose(logits[:, :, :3, :3, :3], golden["logits_corner"], rtol=0, atol=2e-4)
    np.testing.assert_allclose(logits[:, :, -3:, -3:, -3:], golden["logits_end"], rtol=0, atol=2e-4)
    sums = logits.sum((2, 3, 4), dtype=np.float64)
    assert (np.abs(sums - golden["sum"]) <= 1e-5 * golden["abs_sum"]).all()
    assert np.abs(np.bincount(logits.argmax(1).ravel()) - golden["argmax_hist"]).sum() <= 4


def test_the_key_names_and_shapes_are_the_released_ones():
    """The released model's list, without its class token and the tensors that nothing reads."""
    with torch.device("meta"):
        unetr = UNETR(SEGMENTATION_PRESETS["base"])
    shapes = {key: tuple(tensor.shape) for key, tensor in unetr.state_dict().items()}
    encoder = {key: shape for key, shape in shapes.items() if key.startswith("vit.")}
    expected = parity_weights.vit_shapes() | {"pos_embed": (1, 216, 768)}
    del expected["cls_token"]
    assert encoder == {"vit." + key: shape for key, shape in expected.items()}
    assert len(shapes) == 187 - 1 - 3
    assert shapes["encoder2.blocks.1.0.conv.weight"] == (32, 32, 2, 2, 2)
    assert shapes["encoder4.transp_conv_init.conv.weight"] == (768, 128, 2, 2, 2)
    assert shapes["decoder5.conv_block.conv3.conv.weight"] == (128, 256, 1, 1, 1)
    assert shapes["decoder2.conv3d.bias"] == (16,)
    assert shapes["out.conv.conv.weight"] == (14, 16, 1, 1, 1)
    unused = {2: 2 * 32 * 32, 3: 64 * 64}  # conv3 of blocks that keep their channels
    decoder = sum(tensor.numel() for key, tensor in unetr.state_dict().items() if not key.startswith("vit."))
    assert decoder == 4459198 - sum(unused.values())


def test_a_released_models_unused_tensors_are_left_aside():
    config = replace(TINY, feature_size=4)
    unetr, other = UNETR(config), UNETR(config)
    state = unetr.state_dict() | {
        "vit.cls_token": torch.zeros(1, 1, 48),
        "encoder2.blocks.0.1.conv3.conv.weight": torch.zeros(8, 8, 1, 1, 1),
        "encoder2.blocks.1.1.conv3.conv.weight": torch.zeros(8, 8, 1, 1, 1),
        "encoder3.blocks.0.1.conv3.conv.weight": torch.zeros(16, 16, 1, 1, 1),
    }
    other.load_tensors(state)
    images = windows(config)
    assert torch.equal(unetr(images), other(images))
    with pytest.raises(IncompatibleWeights, match=r"encoder4\.blocks"):
        other.load_tensors(state | {"encoder4.blocks.0.1.conv3.conv.weight": torch.zeros(1)})


def test_an_encoder_that_does_not_fit_is_refused():
    unetr = UNETR(TINY)
    encoder = VisionTransformer(replace(TINY.vision, cls_token=True)).state_dict()
    assert set(unetr.load_encoder(encoder)) == {"cls_token", "pos_embed", "norm.weight", "norm.bias"}
    assert torch.equal(unetr.vit.blocks[3].mlp.fc2.weight, encoder["blocks.3.mlp.fc2.weight"])
    short = {key: tensor for key, tensor in encoder.items() if not key.startswith("blocks.3.")}
    with pytest.raises(IncompatibleWeights, match=r"missing.*blocks\.3"):
        unetr.load_encoder(short)
    with pytest.raises(IncompatibleWeights, match="more than the 4 blocks"):
        unetr.load_encoder(encoder | {"blocks.4.norm1.weight": torch.ones(48)})


@pytest.mark.parametrize("window", [(48, 32, 32), (32, 64, 16)])
def test_windows_widths_and_labels_of_any_size(window):
    vision = VisionConfig(image=window, dim=96, depth=6, heads=2, cls_token=False)
    config = SegmentationConfig(
        vision, segmentation_window(window), ("background", "lung"), feature_size=4, skips=(1, 3, 4)
    )
    assert UNETR(config)(windows(config, batch=2)).shape == (2, 2, *window)


@torch.inference_mode()
def test_each_window_is_labelled_as_if_alone():
    unetr = UNETR(TINY).eval()
    images = windows(TINY, batch=2)
    together = unetr(images)
    torch.testing.assert_close(together[1:], unetr(images[1:]), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("batch", [1, 2])
def test_the_fast_format_gives_the_same_labels(batch):
    torch.manual_seed(0)
    unetr = UNETR(TINY).eval()
    images = windows(TINY, batch)
    exact = unetr(images)
    channels_last = unetr.to(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(channels_last(images), exact, atol=1e-4, rtol=1e-4)
    fast = channels_last.to(torch.bfloat16)(images).float()
    assert (fast.argmax(1) == exact.argmax(1)).float().mean() > 0.97
    assert (fast - exact).abs().mean() < 0.02


def test_every_weight_learns():
    unetr = UNETR(TINY)
    unetr(windows(TINY, batch=2)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in unetr.parameters())


@pytest.mark.parametrize("name", sorted(SEGMENTATION_PRESETS))
def test_a_configuration_survives_a_weights_file(name):
    config = SEGMENTATION_PRESETS[name]
    assert SegmentationConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "wrong",
    [
        {"skips": (0, 1, 4)},
        {"vision": replace(TINY.vision, cls_token=True)},
        {"vision": replace(TINY.vision, image=(32, 32, 32))},
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(wrong):
    with pytest.raises(ValueError, match=r"blocks|class token|window"):
        replace(TINY, **wrong)
