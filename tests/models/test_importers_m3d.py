"""M3D-CLIP's published files become the network that was trained; what is not its image encoder is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from checkpoints import encoder_state
from monai_vit import monai_tokens, monai_vit

from simcrop_core.errors import IncompatibleWeights, TaskNotSupported
from simcrop_core.models.config import M3dConfig
from simcrop_core.models.describe import describe_weights
from simcrop_core.models.importers.checkpoint import Checkpoint
from simcrop_core.models.importers.detect import detect_format
from simcrop_core.models.importers.install import import_weights
from simcrop_core.models.importers.m3d import import_m3d
from simcrop_core.models.m3d import M3dEncoder
from simcrop_core.models.registry import ENCODER_FILE, resolve_weights
from simcrop_core.models.verify import verify_weights
from simcrop_core.models.weights import load_encoder, load_grounding_model

CONFIG = M3dConfig(dim=64, depth=2, heads=1)


@pytest.fixture(scope="module")
def vit():
    return monai_vit(CONFIG)


def bare(vit):
    """As pretrained_ViT.bin has it: MONAI's names, without the head and without what newer versions add."""
    state = vit.state_dict()
    return {key: t for key, t in state.items() if "cross_attn" not in key and "classification_head" not in key}


def whole(vit):
    """As the whole model's file has it: the image encoder behind a prefix, a sentence encoder and heads beside it."""
    beside = {
        "language_encoder.embeddings.word_embeddings.weight": torch.zeros(7, 4),
        "mm_vision_proj.weight": torch.zeros(64, 64),
        "logit_scale": torch.zeros(()),
    }
    return {f"vision_encoder.{key}": tensor for key, tensor in bare(vit).items()} | beside


def checkpoint(tensors):
    return Checkpoint(Path("M3D-CLIP.bin"), "0" * 64, tensors)


def imported(tensors):
    return import_m3d(checkpoint(tensors), name="m3d")


@torch.no_grad()
def test_both_files_become_the_network_that_was_trained(vit):
    images = torch.rand(1, 1, *CONFIG.image, generator=torch.Generator().manual_seed(5))
    tokens = monai_tokens(vit, images)
    for tensors in (bare(vit), whole(vit)):
        model = imported(tensors)
        assert model.metadata.config == CONFIG
        encoder = M3dEncoder(CONFIG)
        encoder.load_state_dict(model.tensors)
        assert torch.allclose(encoder(images), tokens, atol=1e-5)


def test_every_key_is_accounted_for(vit):
    report = imported(whole(vit)).report
    assert set(report.loaded) == {f"vision_encoder.{key}" for key in bare(vit)}
    assert set(report.unexpected) == whole(vit).keys() - set(report.loaded)
    assert report.missing == report.mismatched == ()
    assert any("this project's choice" in note for note in report.notes)


def test_the_keys_tell_the_kind(vit):
    assert detect_format(checkpoint(bare(vit))) == "m3d"
    assert detect_format(checkpoint(whole(vit))) == "m3d"
    assert detect_format(checkpoint(encoder_state())) == "simcrop"


@pytest.mark.parametrize("key", ["blocks.1.attn.qkv.weight", "blocks.0.mlp.linear2.bias", "cls_token", "norm.weight"])
def test_a_missing_tensor_is_an_error(vit, key):
    tensors = bare(vit)
    del tensors[key]
    with pytest.raises(IncompatibleWeights, match="1 tensors missing"):
        imported(tensors)


def test_another_vit_of_monais_is_refused(vit):
    embedding = "patch_embedding.patch_embeddings.1.weight"
    with pytest.raises(IncompatibleWeights, match="linear embedding of patches of 4 × 16 × 16"):
        imported(bare(vit) | {embedding: torch.zeros(64, 1, 16, 16, 32)})
    with pytest.raises(IncompatibleWeights, match=r"position table \(1, 1232, 64\) is not of 2048 patches"):
        imported(bare(vit) | {"patch_embedding.position_embeddings": torch.zeros(1, 1232, 64)})


def test_a_pickled_file_becomes_a_set_of_weights_with_an_image_encoder(vit, tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCROP_HOME", str(tmp_path / "home"))
    torch.save(whole(vit), tmp_path / "pytorch_model.bin")
    folder = import_weights(tmp_path / "pytorch_model.bin", name="m3d").folder
    assert folder == resolve_weights("m3d")
    assert (folder.grounding, folder.segmentation, folder.encoder.name) == (None, None, ENCODER_FILE)
    assert resolve_weights(folder.encoder).encoder == folder.encoder
    encoder, metadata = load_encoder(folder)
    assert isinstance(encoder, M3dEncoder)
    assert metadata.kind == "m3d"
    assert encoder.blocks[1].mlp.fc1.weight.equal(vit.blocks[1].mlp.linear1.weight)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    described = describe_weights(folder)
    assert described.grounding is None
    assert "model card" in described.encoder.licence
    assert all(check.passed for check in verify_weights(folder, reference_sha256=""))
    with pytest.raises(TaskNotSupported):
        load_grounding_model(folder)
