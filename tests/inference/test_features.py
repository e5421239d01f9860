"""Tiles become one field of features: each tile's own where it is alone, and no seam where two meet."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from chests import affine_of, chest_hu, volume_of
from hand_set_weights import find_bright

from simcrop_core.imaging.frame import FrameVolume
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.lattice import index_in, lattice_of
from simcrop_core.imaging.resample import resample_box
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.features import encode_frame
from simcrop_core.inference.session import Session
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.presets import PRESETS
from simcrop_core.progress import Job
from simcrop_core.text.report import parse_sentence

# Tiles of 7 × 7 × 7 patches of 4 × 4 × 2 voxels.
TILED = dataclasses.replace(
    PRESETS["tiny"],
    vision=dataclasses.replace(PRESETS["tiny"].vision, image=(28, 28, 14), patch=(4, 4, 2)),
    frame=FrameConfig(spacing_mm=(3.0, 3.0, 6.0), shape=(28, 28, 14), patch=(4, 4, 2), tile_overlap=3),
)
BALL_MM = 30.0


def tiled_frame(volume, offsets, config=TILED.frame):
    """The tiles of a volume that begin at these lattice points."""
    lattice = lattice_of(volume, config.spacing_mm, config.axes)
    tiles = [resample_box(volume, lattice, offset, config.shape, hu_window=config.hu_window) for offset in offsets]
    return FrameVolume(np.stack(tiles), tuple(offsets), lattice, config, None)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(5)
    return GroundingModel(TILED).eval()


@pytest.fixture(scope="module")
def noise():
    shape = (40, 40, 44)
    voxels = np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16)
    return Volume(voxels, affine_of(spacing=(3.0, 3.0, 6.0), shape=shape))


def alone(model, frame):
    """(tiles, patch grid, C): what the network says of each tile by itself."""
    with torch.inference_mode():
        return model.encode(torch.from_numpy(frame.images_THWD)[:, None]).reshape(len(frame.offsets), 7, 7, 7, -1)


def test_one_tile_is_what_the_network_says(model, noise):
    frame = tiled_frame(noise, [(2, 3, 4)])
    features = encode_frame(model, frame, Job())
    assert features.grid == (7, 7, 7)
    assert features.patch_mm == (12.0, 12.0, 12.0)
    torch.testing.assert_close(features.features_NC.reshape(7, 7, 7, -1), alone(model, frame)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("upper_first", [False, True])
def test_two_tiles_pass_into_each_other(model, noise, axis, upper_first):
    """Three shared patches: the second tile's share there is ¼, ½, ¾, whatever order the tiles come in."""
    lower = [1, 2, 3]
    upper = [start + 4 * TILED.frame.patch[a] * (a == axis) for a, start in enumerate(lower)]
    offsets = [tuple(lower), tuple(upper)]
    frame = tiled_frame(noise, offsets[::-1] if upper_first else offsets)
    features = encode_frame(model, frame, Job())
    assert features.grid == tuple(7 + 4 * (a == axis) for a in range(3))

    blended = features.features_NC.reshape(*features.grid, -1).movedim(axis, 0)
    below, above = (tile.movedim(axis, 0) for tile in alone(model, frame)[[1, 0] if upper_first else [0, 1]])
    torch.testing.assert_close(blended[:4], below[:4], atol=1e-5, rtol=0)
    torch.testing.assert_close(blended[7:], above[3:], atol=1e-5, rtol=0)
    for i, share in enumerate((0.25, 0.5, 0.75)):
        expected = (1 - share) * below[4 + i] + share * above[i]
        torch.testing.assert_close(blended[4 + i], expected, atol=1e-5, rtol=0)
    assert (below[4:] - above[:3]).abs().mean() > 0.05, "tiles that agree anyway would show nothing"


def test_four_tiles_are_weighted_by_how_deep_a_patch_lies_in_each(model, noise):
    """Against weights worked in float64: the patches to a tile's nearest edge, multiplied over the axes."""
    offsets = [(x, y, 0) for x in (0, 16) for y in (0, 16)]
    frame = tiled_frame(noise, offsets)
    features = encode_frame(model, frame, Job())
    tiles = alone(model, frame).double().numpy()
    found = features.features_NC.reshape(11, 11, 7, -1).numpy()
    for x, y, z in [(4, 4, 0), (5, 4, 3), (6, 6, 6), (4, 6, 2), (5, 0, 1), (10, 5, 5)]:
        weighted, total = 0.0, 0.0
        for tile, offset in zip(tiles, offsets, strict=True):
            i, j = x - offset[0] // 4, y - offset[1] // 4
            if 0 <= i < 7 and 0 <= j < 7:
                weight = min(i + 1, 7 - i) * min(j + 1, 7 - j)
                weighted, total = weighted + weight * tile[i, j, z], total + weight
        np.testing.assert_allclose(found[x, y, z], weighted / total, atol=1e-5)


def test_what_is_the_same_everywhere_has_no_seam(noise):
    """A network without positions sees one value in a uniform scan, in tiles and between them."""
    uniform = dataclasses.replace(noise, voxels=np.full_like(noise.voxels, -300))
    frame = tiled_frame(uniform, [(x, y, z) for x in (0, 12) for y in (0, 12) for z in (2, 10)])
    features = encode_frame(find_bright(GroundingModel(TILED)).eval(), frame, Job())
    assert features.grid == (10, 10, 11)
    assert features.within_scan_N.all()
    np.testing.assert_allclose(features.features_NC, features.features_NC[:1].expand(1100, -1), atol=1e-6)


def test_every_tile_is_a_step(model, noise):
    steps = []
    encode_frame(model, tiled_frame(noise, [(0, 0, 0), (0, 0, 8), (0, 0, 16)]), Job(steps.append))
    assert [(step.done, step.total) for step in steps] == [(0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("at", [(-75, 0, -150), (75, 0, -150), (75, -10, 150), (-70, 10, 0)])
def test_a_ball_in_lungs_longer_than_a_frame_is_found(engine, at):
    """Lungs of 42 cm in two tiles: the ball is found at its millimetre in the lower, the upper, and between."""

    def field(points):
        hu = chest_hu(points / [1, 1, 1.75])
        hu[np.linalg.norm(points - np.asarray(at), axis=-1) < BALL_MM] = 3000
        return hu

    shape = (64, 48, 90)
    volume = volume_of(field, affine_of(spacing=(6, 6, 6), shape=shape), shape)
    session = Session(volume, [], engine)
    grounded = session.ground([parse_sentence("Mass in the left lung.")])
    found, heatmap = grounded.result.sentences[0], grounded.heatmaps[0]
    assert grounded.result.frame.tiles == 2
    assert heatmap.scores.shape[:2] == (14, 14)
    assert heatmap.scores.shape[2] > 14
    (_, _, low), (_, _, high) = grounded.result.frame.box_ras_mm
    assert high - low == pytest.approx(24 * heatmap.scores.shape[2], abs=0.1)
    assert np.linalg.norm(np.subtract(found.peak_ras_mm, at)) < BALL_MM
    best = np.unravel_index(heatmap.scores.argmax(), heatmap.scores.shape)
    assert np.abs(index_in(heatmap.affine, found.peak_ras_mm) - best).max() <= 0.5 + 1e-3
    assert found.side_conflict == (at[0] > 0)
