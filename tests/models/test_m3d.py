"""M3D-CLIP's encoder computes what MONAI's ViT does, on the part of a scan that it was made for."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai_vit import monai_tokens, monai_vit
from torch.nn import functional

from simcrop_core.imaging.read import read_volume
from simcrop_core.imaging.volume import Volume
from simcrop_core.models.config import M3dConfig
from simcrop_core.models.m3d import M3dEncoder, m3d_features
from simcrop_core.models.m3d_image import m3d_image

SMALL = M3dConfig(image=(8, 32, 48), patch=(4, 16, 16), dim=64, depth=2, heads=2)
SHAPE = M3dConfig(image=(10, 16, 20))


def own_names(state, config):
    """A literal copy under our names, without the importer."""
    named = {
        "patch_embed.proj.weight": state["patch_embedding.patch_embeddings.1.weight"].view(-1, 1, *config.patch),
        "patch_embed.proj.bias": state["patch_embedding.patch_embeddings.1.bias"],
        "pos_embed": state["patch_embedding.position_embeddings"],
    }
    for key in ("cls_token", "norm.weight", "norm.bias"):
        named[key] = state[key]
    for i in range(config.depth):
        pairs = {"norm1": "norm1", "norm2": "norm2", "attn.proj": "attn.out_proj", "attn.qkv": "attn.qkv"}
        pairs |= {"mlp.fc1": "mlp.linear1", "mlp.fc2": "mlp.linear2"}
        for ours, theirs in pairs.items():
            for part in ("weight", "bias"):
                if (ours, part) != ("attn.qkv", "bias"):
                    named[f"blocks.{i}.{ours}.{part}"] = state[f"blocks.{i}.{theirs}.{part}"]
    return named


@torch.no_grad()
def test_the_encoder_computes_what_monais_does():
    vit, encoder = monai_vit(SMALL), M3dEncoder(SMALL)
    encoder.load_state_dict(own_names(vit.state_dict(), SMALL))
    images = torch.rand(2, 1, *SMALL.image, generator=torch.Generator().manual_seed(5))
    tokens = monai_tokens(vit, images)
    assert torch.allclose(encoder(images), tokens, atol=1e-5)
    assert torch.allclose(encoder.features(images), tokens[:, 1:].mean(dim=1), atol=1e-5)
    assert torch.allclose(encoder.features(images, "cls"), tokens[:, 0], atol=1e-5)
    with pytest.raises(ValueError, match=r"\(8, 32, 48\), not \(8, 48, 32\)"):
        encoder(images.transpose(3, 4))


def test_it_has_the_released_sizes():
    with torch.device("meta"):
        encoder = M3dEncoder(M3dConfig())
    assert encoder.pos_embed.shape == (1, 2048, 768)
    assert encoder.patch_embed.proj.weight.shape == (768, 1, 4, 16, 16)
    assert len(encoder.blocks) == 12
    assert not any(key.endswith("qkv.bias") for key in encoder.state_dict())


def body(hu=40.0, shape=(60, 50, 40), low=(12, 8, 4), high=(52, 40, 36)):
    """A box of tissue with a little structure in air, along RAS axes of 2 × 2 × 4 mm."""
    voxels = np.full(shape, -1000, np.float32)
    inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    voxels[inside] = hu + np.random.default_rng(2).uniform(-300, 300, voxels[inside].shape)
    voxels[2:4, 2:4, 2:4] = 300  # too small to be the body
    return Volume(voxels, np.diag([2.0, 2.0, 4.0, 1.0])), voxels[inside]


def test_the_body_is_cut_out_and_averaged_to_one_shape():
    volume, cut = body()
    image = m3d_image(volume, SHAPE)
    seen = torch.from_numpy((cut[::-1, ::-1, ::-1].transpose(2, 1, 0).copy() + 1000) / 2000)
    reference = functional.interpolate(seen[None, None], SHAPE.image, mode="area")[0]
    assert image.shape == (1, 10, 16, 20)
    assert image.dtype == np.float32
    assert np.abs(image - reference.numpy()).max() < 1e-5


@pytest.mark.parametrize("code", ["LPS", "RAS", "PIR", "ASL"])
def test_what_is_seen_does_not_depend_on_how_the_scan_is_stored(code):
    volume, _ = body()
    stored = nibabel.Nifti1Image(volume.voxels, volume.affine)
    to = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(stored.affine), nibabel.orientations.axcodes2ornt(code)
    )
    turned = stored.as_reoriented(to)
    assert nibabel.aff2axcodes(turned.affine) == tuple(code)
    image = m3d_image(Volume(np.asarray(turned.dataobj), turned.affine), SHAPE)
    assert np.abs(image - m3d_image(volume, SHAPE)).max() < 1e-5


def test_slices_come_head_first_and_are_seen_from_the_feet():
    """The first voxel is the patient's right, front and top."""
    volume, _ = body(hu=0.0)
    volume.voxels[50:52, 38:40, 34:36] = 1000
    image = m3d_image(volume, SHAPE)[0]
    assert np.unravel_index(image.argmax(), image.shape) == (0, 0, 0)


def test_hounsfield_units_are_clipped_to_0_and_1():
    volume, _ = body()
    volume.voxels[volume.voxels > 200] = 3000
    image = m3d_image(volume, SHAPE)
    assert image.min() >= 0
    assert image.max() <= 1
    empty = Volume(np.full((20, 20, 20), -1000, np.float32), np.eye(4))
    assert np.array_equal(m3d_image(empty, SHAPE), np.zeros((1, *SHAPE.image), np.float32))


def test_a_scan_of_fewer_slices_than_the_input_has_is_seen_whole():
    volume, _ = body()
    thick = Volume(volume.voxels[:, :, 4:36:8], np.diag([2.0, 2.0, 32.0, 1.0]))
    image = m3d_image(thick, SHAPE)[0]
    assert len({plane.tobytes() for plane in image}) >= 4


def test_a_probe_reads_a_scan_by_one_call(real_ct):
    torch.manual_seed(0)
    encoder = M3dEncoder(M3dConfig(dim=64, depth=1, heads=1)).eval()
    volume = read_volume(real_ct("COVID-CT-MD_normal001/ct_2mm.nii.gz"))
    features = m3d_features(encoder, volume)
    image = torch.from_numpy(m3d_image(volume, encoder.config))
    assert features.equal(encoder(image[None])[0, 1:].mean(dim=0).detach())
    assert not m3d_features(encoder, volume, "cls").allclose(features)
