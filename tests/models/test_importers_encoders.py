"""Released encoders become the network they were trained as; what the file does not say is reported, never invented."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from checkpoints import DIM, encoder_state, mae_state, named_tensor
from torch.nn import functional

from simcrop_core.errors import IncompatibleWeights, UnknownWeights
from simcrop_core.models.config import TextConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.importers.checkpoint import Checkpoint
from simcrop_core.models.importers.detect import detect_format
from simcrop_core.models.importers.mae import import_mae, inflate
from simcrop_core.models.importers.simcrop import import_simcrop
from simcrop_core.models.positions import simcrop_official

TEXT = TextConfig(dim=DIM)


def checkpoint(tensors, **beside):
    return Checkpoint(Path("simcrop.pth"), "0" * 64, tensors, beside)


def imported_simcrop(tensors, **beside):
    return import_simcrop(checkpoint(tensors, **beside), name="official", text=TEXT)


def model_of(imported):
    model = GroundingModel(imported.metadata.config)
    model.load_flat_state_dict(imported.tensors)
    return model.eval()


def notes(imported):
    return " ".join(imported.report.notes)


def plain_forward(state, image, norm, depth):
    """The released network as its code reads: strided convolution, class token, pre-norm blocks, float64."""
    s = {key: tensor.double() for key, tensor in state.items()}
    x = functional.conv3d(image.double(), s["patch_embed.proj.weight"], s["patch_embed.proj.bias"], stride=(16, 16, 8))
    x = torch.cat([s["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], dim=1) + s["pos_embed"]

    def normalised(x, key):
        return functional.layer_norm(x, (DIM,), s[f"{key}.weight"], s[f"{key}.bias"], 1e-6)

    for i in range(depth):
        b, heads = f"blocks.{i}", DIM // 64
        linear = {key: (s[f"{b}.{key}.weight"], s[f"{b}.{key}.bias"]) for key in ("attn.qkv", "attn.proj")}
        linear |= {key: (s[f"{b}.{key}.weight"], s[f"{b}.{key}.bias"]) for key in ("mlp.fc1", "mlp.fc2")}
        q, k, v = functional.linear(normalised(x, f"{b}.norm1"), *linear["attn.qkv"]).chunk(3, dim=-1)
        q, k, v = (t.unflatten(-1, (heads, 64)).transpose(1, 2) for t in (q, k, v))
        attention = (q @ k.transpose(-1, -2) / 8).softmax(-1) @ v
        x = x + functional.linear(attention.transpose(1, 2).flatten(2), *linear["attn.proj"])
        hidden = functional.gelu(functional.linear(normalised(x, f"{b}.norm2"), *linear["mlp.fc1"]))
        x = x + functional.linear(hidden, *linear["mlp.fc2"])
    return normalised(x, norm)[:, 1:]


@pytest.mark.parametrize("norm", ["norm", "fc_norm"])
def test_the_imported_encoder_computes_what_the_released_code_does(norm):
    state = encoder_state(norm=norm)
    image = torch.rand(2, 1, 32, 32, 16) * 2 - 1
    features = model_of(imported_simcrop(state)).encode(image)
    assert torch.allclose(features.double(), plain_forward(state, image, norm, depth=2), atol=2e-5)


def test_size_grid_and_frame_are_read_from_the_file():
    config = imported_simcrop(encoder_state(depth=3, grid=3)).metadata.config
    assert (config.vision.depth, config.vision.dim, config.vision.heads, config.vision.mlp_ratio) == (3, DIM, 3, 4)
    assert config.vision.patch == (16, 16, 8)
    assert config.vision.image == config.frame.shape == (48, 48, 24)
    assert config.vision.positions == "checkpoint"
    assert (config.frame.axes, config.frame.padding, config.frame.placement) == ("stored", "reflect", "volume")
    assert config.frame.spacing_mm == (1.5, 1.5, 3.0)


def test_every_key_is_accounted_for():
    beside = {"mask_token": (1, 1, 8), "decoder_embed.weight": (8, 8), "bert_encoder.x": (3,), "head.bias": (18,)}
    state = encoder_state() | {key: named_tensor(key, shape) for key, shape in beside.items()}
    report = imported_simcrop(state, epoch=139, args={"lr": 1e-4}).report
    assert set(report.loaded) == encoder_state().keys()
    assert set(report.unexpected) == beside.keys()
    assert report.missing == report.mismatched == ()
    assert "epoch 139" in " ".join(report.notes)


@pytest.mark.parametrize("key", ["blocks.1.attn.qkv.bias", "blocks.0.mlp.fc1.weight", "patch_embed.proj.bias"])
def test_a_missing_block_tensor_is_an_error(key):
    state = encoder_state()
    del state[key]
    with pytest.raises(IncompatibleWeights, match=key.replace(".", r"\.")):
        imported_simcrop(state)


def test_a_gap_in_the_blocks_is_an_error_and_not_a_shallower_network():
    state = {key: tensor for key, tensor in encoder_state(depth=3).items() if not key.startswith("blocks.1.")}
    with pytest.raises(IncompatibleWeights, match=r"12 tensors missing \(blocks\.1\."):
        imported_simcrop(state)


def test_a_tensor_of_another_shape_or_with_nan_is_an_error():
    state = encoder_state()
    with pytest.raises(IncompatibleWeights, match=r"fc2\.weight \(5, 5\), not \(192, 768\)"):
        imported_simcrop(state | {"blocks.1.mlp.fc2.weight": torch.zeros(5, 5)})
    with pytest.raises(IncompatibleWeights, match=r"not finite \(cls_token\)"):
        imported_simcrop(state | {"cls_token": torch.full((1, 1, DIM), torch.nan)})


@pytest.mark.parametrize(("depth", "told"), [(12, "as in the released code"), (8, "random"), (3, "the paper says 8")])
def test_the_depth_is_reported_against_paper_and_code(depth, told):
    blocks = encoder_state(depth=1)
    state = {k: t for k, t in blocks.items() if not k.startswith("blocks.")}
    state |= {k.replace(".0.", f".{i}.", 1): t for i in range(depth) for k, t in blocks.items() if "blocks" in k}
    imported = imported_simcrop(state)
    assert imported.metadata.config.vision.depth == depth
    assert told in notes(imported)


def test_without_a_final_norm_patches_are_normalised_only():
    imported = imported_simcrop(encoder_state(norm=None))
    assert set(imported.report.missing) == {"norm.weight", "norm.bias"}
    assert "no final LayerNorm" in notes(imported)
    features = model_of(imported).encode(torch.rand(1, 1, 32, 32, 16))
    assert torch.allclose(features.mean(-1), torch.zeros(1, 8), atol=1e-5)
    assert torch.allclose(features.std(-1, unbiased=False), torch.ones(1, 8), atol=1e-3)


def test_with_both_norms_the_encoders_own_is_taken():
    state = encoder_state(norm="norm") | {"fc_norm.weight": torch.ones(DIM), "fc_norm.bias": torch.zeros(DIM)}
    imported = imported_simcrop(state)
    assert torch.equal(imported.tensors["norm.weight"], state["norm.weight"])
    assert set(imported.report.unexpected) == {"fc_norm.weight", "fc_norm.bias"}


def test_the_files_position_table_is_kept_and_a_depth_blind_one_warned_of():
    state = encoder_state(grid=3)
    imported = imported_simcrop(state)
    assert torch.equal(imported.tensors["pos_embed"], state["pos_embed"])
    assert "Warning" not in notes(imported)
    blind = simcrop_official((3, 3, 3), DIM, cls_row=True)[None]
    imported = imported_simcrop(state | {"pos_embed": blind})
    assert torch.equal(imported.tensors["pos_embed"], blind)
    assert "Warning: the position table is the same" in notes(imported)


def test_without_a_position_table_the_released_one_is_used_and_warned_of():
    state = encoder_state()
    del state["pos_embed"]
    imported = imported_simcrop(state)
    assert imported.report.missing == ("pos_embed",)
    assert "no position table" in notes(imported)
    assert imported.metadata.config.vision.positions == "simcrop_official"
    assert imported.metadata.config.vision.grid == (14, 14, 14)


def test_an_encoder_without_class_token_is_read_as_one():
    state = encoder_state()
    del state["cls_token"]
    state["pos_embed"] = state["pos_embed"][:, 1:]
    imported = imported_simcrop(state)
    assert not imported.metadata.config.vision.cls_token
    assert model_of(imported).encode(torch.rand(1, 1, 32, 32, 16)).shape == (1, 8, DIM)


def test_a_table_of_no_cubic_grid_is_an_error():
    with pytest.raises(IncompatibleWeights, match="cubic"):
        imported_simcrop(encoder_state() | {"pos_embed": torch.zeros(1, 11, DIM)})


def test_half_precision_checkpoints_become_single():
    state = {key: tensor.half() for key, tensor in encoder_state().items()}
    imported = imported_simcrop(state)
    assert {tensor.dtype for tensor in imported.tensors.values()} == {torch.float32}


def test_sentences_of_another_width_are_refused_with_the_way_out():
    with pytest.raises(IncompatibleWeights, match="192 wide") as fault:
        import_simcrop(checkpoint(encoder_state()), name="official", text=TextConfig())
    assert "--text" in fault.value.hint


def test_provenance_names_source_licence_and_what_was_assumed():
    provenance = imported_simcrop(encoder_state()).metadata.provenance
    assert provenance.source == "simcrop.pth"
    assert provenance.source_sha256 == "0" * 64
    assert "CC BY-NC-SA" in provenance.licence
    assert not provenance.synthetic
    assert any("LayerNorm" in note for note in provenance.notes)


def test_an_inflated_patch_embedding_sees_in_a_constant_volume_what_the_2d_one_sees_in_the_slice():
    weight, slice_ = torch.randn(6, 3, 16, 16), torch.randn(1, 1, 32, 48)
    flat = functional.conv2d(slice_.repeat(1, 3, 1, 1), weight, stride=16)
    volume = slice_[..., None].repeat(1, 1, 1, 1, 8)
    assert torch.allclose(functional.conv3d(volume, inflate(weight, 8), stride=(16, 16, 8))[..., 0], flat, atol=1e-4)


def test_a_2d_encoder_becomes_a_3d_one_with_its_own_blocks():
    state = mae_state()
    imported = import_mae(checkpoint(state), name="mae", text=TEXT)
    config = imported.metadata.config
    assert (config.vision.positions, config.vision.grid) == ("sincos3d", (14, 14, 14))
    assert (config.frame.axes, config.frame.padding, config.frame.placement) == ("RAS", "air", "lungs")
    copied = [key for key in state if key.startswith(("blocks.", "norm.")) or key == "cls_token"]
    assert all(torch.equal(imported.tensors[key], state[key]) for key in copied)
    assert "pos_embed" in imported.report.mismatched
    assert "pos_embed" in imported.report.missing
    assert set(imported.report.unexpected) == {"mask_token", "decoder_embed.weight", "decoder_blocks.0.norm1.weight"}
    assert "CC BY-NC 4.0" in imported.report.licence
    assert "neither a CT nor a sentence" in notes(imported)
    model_of(imported)


def test_a_2d_encoder_with_missing_parts_or_another_patch_is_an_error():
    state = mae_state()
    del state["norm.bias"]
    with pytest.raises(IncompatibleWeights, match=r"norm\.bias"):
        import_mae(checkpoint(state), name="mae", text=TEXT)
    with pytest.raises(IncompatibleWeights, match="14 × 14"):
        import_mae(checkpoint(encoder_state(patch=(3, 14, 14))), name="mae", text=TEXT)


def test_the_format_is_told_from_the_keys():
    assert detect_format(checkpoint(encoder_state())) == "simcrop"
    assert detect_format(checkpoint(mae_state())) == "mae"
    assert detect_format(checkpoint({"vit." + key: tensor for key, tensor in encoder_state().items()})) == "unetr"
    with pytest.raises(UnknownWeights) as fault:
        detect_format(checkpoint({"bert.embeddings.word_embeddings.weight": torch.ones(3, 2)}))
    assert "folder" in fault.value.hint
    with pytest.raises(UnknownWeights, match=r"layer1\.conv"):
        detect_format(checkpoint({"layer1.conv.weight": torch.ones(3, 2)}))


def test_a_format_that_the_file_is_not_is_an_error():
    with pytest.raises(IncompatibleWeights, match="3 channels"):
        imported_simcrop(mae_state())
    with pytest.raises(IncompatibleWeights, match="patches of 16 × 16 × 8"):
        import_mae(checkpoint(encoder_state()), name="mae", text=TEXT)
    with pytest.raises(IncompatibleWeights, match="no vision transformer"):
        imported_simcrop({"layer1.conv.weight": torch.ones(3, 2)})
