"""Lungs drawn by density: the network says which and roughly where, the scan says how far."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chests import AXIS_ORDERS, LEFT_LUNG, RIGHT_LUNG, affine_of, chest_hu, inside, volume_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.lattice import lattice_of
from simcrop_core.inference.lung_edges import lungs_by_density
from simcrop_core.inference.segmentation import labels_on_volume, segment_volume
from simcrop_core.models.config import SegmentationConfig, VisionConfig
from simcrop_core.models.structures import each_alone
from simcrop_core.progress import Job

NAMES = ("background", "left lung", "right lung", "trachea", "heart")
SHAPE = (96, 80, 72)
HEART = ((-20.0, 20.0, -30.0), (45.0, 40.0, 55.0))


def scan(field=chest_hu, order=(0, 1, 2), signs=(1, 1, 1), rotation=None):
    spacing = np.array([4.2, 4.0, 4.4])
    shape = tuple(SHAPE[axis] for axis in order)
    return volume_of(
        field, affine_of(order=order, signs=signs, spacing=spacing[list(order)], rotation=rotation, shape=shape), shape
    )


def roughly(points, grow_mm=0.0):
    """Labels as a coarse network gives them: lungs too small or too large by some millimetres."""
    labels = np.zeros(points.shape[:-1], np.uint8)
    for value, (centre, radii) in ((1, LEFT_LUNG), (2, RIGHT_LUNG)):
        labels[inside(points, centre, np.add(radii, grow_mm))] = value
    labels[inside(points, *HEART)] = 4
    return labels


def points_of(affine, shape):
    return apply(affine, np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1))


def drawn(volume, grow_mm, labels_of=roughly):
    lattice = lattice_of(volume, (4.0, 4.0, 6.0), "RAS")
    labels = labels_of(points_of(lattice.affine, lattice.shape), grow_mm)
    lungs = lungs_by_density(labels, lattice, volume, NAMES)
    scores = nn.functional.one_hot(torch.from_numpy(labels).long(), len(NAMES)).movedim(-1, 0).float()
    lungs.spread(scores)
    kept = np.array([0, 1, 2, 0, 0], np.uint8)
    return labels_on_volume(scores, lattice, kept=kept, lungs=lungs, job=Job())


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@given(axis=st.sampled_from(AXIS_ORDERS), grow_mm=st.floats(-7, 5), turn=st.floats(-20, 20))
@settings(max_examples=25, deadline=None)
def test_edges_are_those_of_the_scan_however_it_is_stored(axis, grow_mm, turn):
    volume = scan(order=axis[0], signs=axis[1], rotation=(turn, -turn / 2, turn / 3))
    found = drawn(volume, grow_mm)
    points = points_of(volume.affine, volume.shape)
    lung = volume.voxels == -850
    for value, side in ((1, -1), (2, 1)):
        true = lung & (points[..., 0] * side > 0)
        assert dice(found == value, true) > 0.98


def test_what_is_solid_deep_in_a_lung_stays_lung():
    solid = ((70.0, 0.0, 10.0), (28.0, 28.0, 28.0))

    def consolidated(points):
        hu = chest_hu(points)
        hu[inside(points, *solid)] = 30
        return hu

    volume = scan(consolidated)
    found = drawn(volume, 0.0)
    assert (found[inside(points_of(volume.affine, volume.shape), *solid)] == 2).mean() > 0.99


def test_gas_under_the_diaphragm_and_the_room_beside_a_thin_wall_are_no_lung():
    bubble = ((62.0, 5.0, -134.0), (30.0, 30.0, 12.0))

    def gassy(points):
        hu = chest_hu(points)
        hu[inside(points, *bubble)] = -900
        hu[points[..., 0] > 124] = -1000
        return hu

    volume = scan(gassy)
    found = drawn(volume, 3.0)
    points = points_of(volume.affine, volume.shape)
    assert not found[inside(points, *bubble)].any()
    assert not found[points[..., 0] > 124].any()
    assert dice(found == 2, inside(points, *RIGHT_LUNG) & ~inside(points, *HEART)) > 0.97


def test_where_the_network_sees_no_lung_there_is_none():
    volume = scan()
    lattice = lattice_of(volume, (4.0, 4.0, 6.0), "RAS")
    assert lungs_by_density(np.zeros(lattice.shape, np.uint8), lattice, volume, NAMES) is None


class Blurred(nn.Module):
    """Stands for a network that sees lungs, too large, and calls everything else heart or background."""

    def __init__(self):
        super().__init__()
        self.config = SegmentationConfig(
            vision=VisionConfig(image=(64, 64, 48), patch=(16, 16, 8), cls_token=False),
            frame=FrameConfig(shape=(64, 64, 48), spacing_mm=(6.0, 6.0, 6.0), patch=(16, 16, 8)),
            labels=NAMES,
            lung_edges=True,
        )
        self.lungs = nn.Parameter(torch.tensor(3.0))

    def forward(self, images):
        airy = nn.functional.avg_pool3d(((images > -0.95) & (images < -0.4)).float(), 3, 1, 1)
        left = torch.arange(images.shape[2])[:, None, None] < images.shape[2] / 2
        dense = nn.functional.avg_pool3d((images > 0.0).float(), 3, 1, 1)
        nothing = torch.zeros_like(airy)
        scores = [nothing + 0.2, airy * left * self.lungs, airy * ~left * self.lungs, nothing, dense]
        return torch.cat(scores, dim=1)


def test_other_labels_do_not_depend_on_whether_lungs_were_asked_for():
    """What the network takes for lung, and density does not, goes to the next best label, in every task alike."""
    volume = scan(lambda points: np.where(np.abs(points[..., 2]) > 150, 40, chest_hu(points)))
    all_of_them = each_alone(NAMES, range(1, len(NAMES)))
    everything, heart = (
        segment_volume(Blurred(), volume, task, job=Job(), warn=print).voxels for task in (all_of_them, {"heart": (4,)})
    )
    assert dice(everything == 1, (volume.voxels == -850) & (everything != 2)) > 0.8
    np.testing.assert_array_equal(heart, np.where(everything == 4, 4, 0))


def test_a_structure_of_several_labels_is_their_union_to_the_voxel():
    """Lungs drawn by density, too: asked for as one, they have the voxels of both sides, and their least label."""
    volume = scan()
    each, one = (
        segment_volume(Blurred(), volume, task, job=Job(), warn=print)
        for task in (each_alone(NAMES, (1, 2, 4)), {"both lungs": (1, 2), "heart": (4,)})
    )
    assert one.names == {1: "both lungs", 4: "heart"}
    np.testing.assert_array_equal(one.voxels, np.where(each.voxels == 2, 1, each.voxels))
    ml = each.volume_ml()
    assert one.volume_ml()["both lungs"] == pytest.approx(ml["left lung"] + ml["right lung"], abs=0.02)
