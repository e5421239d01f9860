"""Patches and their order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop_core.models.patches import patch_vectors, unpatchify

sides = st.tuples(*[st.integers(1, 4)] * 3)


@given(grid=sides, patch=sides)
@settings(max_examples=25, deadline=None)
def test_patches_put_together_are_the_image(grid, patch):
    images = torch.arange(2.0 * torch.tensor(grid).prod() * torch.tensor(patch).prod())
    images = images.view(2, 1, *(g * p for g, p in zip(grid, patch, strict=True)))
    vectors = patch_vectors(images, patch)
    assert torch.equal(unpatchify(vectors, grid, patch), images)
    h, w = grid[0] - 1, grid[1] - 1
    ph, pw, pd = patch
    row_start = (h * grid[1] + w) * grid[2]
    expected = images[0, 0, h * ph : (h + 1) * ph, w * pw : (w + 1) * pw, :pd].flatten()
    assert torch.equal(vectors[0, row_start], expected)


def test_the_papers_frame_has_2744_patches_of_2048_voxels():
    frame = torch.zeros(1, 1, 224, 224, 112, dtype=torch.int8)
    assert patch_vectors(frame, (16, 16, 8)).shape == (1, 2744, 2048)


@pytest.mark.parametrize("shape", [(1, 1, 32, 32, 15), (1, 2, 32, 32, 16), (1, 32, 32, 16), (1, 1, 0, 32, 16)])
def test_an_image_that_is_not_whole_patches_is_refused(shape):
    with pytest.raises(ValueError, match=r"patches|must be"):
        patch_vectors(torch.zeros(shape), (8, 8, 4))
