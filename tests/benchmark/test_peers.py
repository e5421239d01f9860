"""The peers compute what ours computes; otherwise their speed would say nothing about ours."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from chests import affine_of, chest_hu, volume_of

from simcrop_core.benchmark.peers import MONAI_FRAME, PatchByPatchEmbedding, monai_frame
from simcrop_core.imaging.frame import frame_volume
from simcrop_core.imaging.read import read_volume
from simcrop_core.models.vit import PatchEmbedding


def test_the_released_embedding_gives_our_tokens_in_our_order():
    torch.manual_seed(0)
    ours = PatchEmbedding((8, 4, 2), 24)
    torch.nn.init.normal_(ours.proj.bias)
    images_B1HWD = torch.randn(2, 1, 24, 20, 8)
    with torch.inference_mode():
        tokens, expected = PatchByPatchEmbedding(ours)(images_B1HWD), ours(images_B1HWD)
    assert tokens.shape == (2, 3 * 5 * 4, 24)
    torch.testing.assert_close(tokens, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("order", "signs", "spacing", "shape"),
    [
        # Longer and wider than the frame, and less deep; with air all round the body, since beyond the centres of the
        # outermost voxels ours goes on to their faces, where MONAI's is padding.
        ((0, 1, 2), (-1, -1, 1), (4.5, 4.0, 6.0), (84, 64, 66)),
        ((2, 0, 1), (-1, 1, -1), (7.0, 5.5, 4.0), (56, 76, 66)),
    ],
)
def test_monai_makes_our_frame(tmp_path, order, signs, spacing, shape):
    affine = affine_of(order=order, signs=signs, spacing=spacing, shape=shape, centre=(3, -5, 40))
    volume = volume_of(chest_hu, affine, shape)
    noisy = volume.voxels + np.random.default_rng(0).normal(0, 60, shape).astype(np.int16)
    path = tmp_path / "chest.nii.gz"
    nibabel.save(nibabel.Nifti1Image(noisy, affine), path)
    ours = frame_volume(read_volume(path), MONAI_FRAME).images_THWD[0]
    theirs = monai_frame()(str(path))[0].numpy()
    assert theirs.shape == ours.shape == MONAI_FRAME.shape
    body = ours > -0.5
    assert body.mean() > 0.1
    assert np.abs(ours - theirs)[body].mean() < 0.01
    assert np.abs(ours - theirs).mean() < 0.01
