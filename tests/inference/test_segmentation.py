"""Label maps: on the input's own grid, with no score ever held at full resolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chests import affine_of, axis_orders, chest_hu, ct_spacings, rotations, volume_of
from hypothesis import given, settings

from simcrop_core.benchmark.clock import growth_mb
from simcrop_core.errors import Cancelled
from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.lattice import lattice_of
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.baselines import threshold_lungs
from simcrop_core.inference.segmentation import Labelmap, labels_on_volume, segment_volume
from simcrop_core.inference.session import Session
from simcrop_core.progress import Job


def scores_from(planes, affine, shape):
    """Scores that are linear in patient millimetres, so that interpolating them is exact."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    points = apply(affine, grid)
    return np.stack([points @ normal + offset for normal, offset in planes]).astype(np.float32)


@given(axis=axis_orders, rotation=rotations, spacing=ct_spacings)
@settings(max_examples=40, deadline=None)
def test_labels_land_on_the_anatomy_they_were_given_for(axis, rotation, spacing):
    """Any storage order, tilt and spacing: the label of a voxel is the one of its place in the patient."""
    shape = (14, 12, 11)
    affine = affine_of(order=axis[0], signs=axis[1], spacing=spacing, rotation=rotation, shape=shape)
    volume = Volume(np.zeros(shape, dtype=np.int16), affine)
    lattice = lattice_of(volume, (1.5, 1.5, 3.0), "RAS")
    planes = [(np.zeros(3), 0.0), (np.array([-1.0, 0.1, 0]), 1.3), (np.array([1.0, 0, -0.2]), 0.7)]
    scores = torch.from_numpy(scores_from(planes, lattice.affine, lattice.shape))
    labels = labels_on_volume(scores, lattice, kept=np.array([0, 1, 2], np.uint8), job=Job())
    at_voxels = scores_from(planes, affine, shape)
    expected = at_voxels.argmax(axis=0)
    margin = np.diff(np.sort(at_voxels, axis=0)[-2:], axis=0)[0]
    # Beyond the outermost lattice points scores are constant, so voxels there may differ.
    inner = np.ones(shape, dtype=bool)
    for a in range(3):
        index = lattice.index_of_voxels(a, np.arange(shape[lattice.axes[a]]))
        beyond = (index < 0) | (index > lattice.shape[a] - 1)
        inner &= ~np.moveaxis(np.broadcast_to(beyond, (1, 1, len(beyond))), 2, lattice.axes[a])
    sure = inner & (margin > 1e-3)
    np.testing.assert_array_equal(labels[sure], expected[sure])


def test_other_labels_become_background():
    volume = Volume(np.zeros((8, 8, 8), dtype=np.int16), np.eye(4))
    lattice = lattice_of(volume, (1.0, 1.0, 1.0), "RAS")
    scores = torch.zeros(3, 8, 8, 8)
    scores[1, :4], scores[2, 4:] = 1, 1
    labels = labels_on_volume(scores, lattice, kept=np.array([0, 0, 2], np.uint8), job=Job())
    assert set(np.unique(labels[:4])) == {0}
    assert set(np.unique(labels[4:])) == {2}


def test_a_label_map_is_on_the_input_grid(engine):
    """Whatever the network says, its label map has the input's shape, affine, and only the task's labels."""
    volume = volume_of(
        chest_hu, affine_of(order=(1, 0, 2), signs=(-1, 1, -1), spacing=(14, 14, 14), shape=(26, 22, 14)), (26, 22, 14)
    )
    labels = Session(volume, [], engine).segment("lungs")
    assert labels.voxels.shape == volume.shape
    assert labels.voxels.dtype == np.uint8
    np.testing.assert_array_equal(labels.affine, volume.affine)
    assert set(np.unique(labels.voxels)) <= {0, 1, 2, 3}
    assert set(labels.volume_ml()) == {"left lung", "right lung", "trachea"}


def test_millilitres_are_voxels_times_their_size():
    voxels = np.zeros((10, 10, 10), dtype=np.uint8)
    voxels[:5] = 2
    labels = Labelmap(voxels, affine_of(spacing=(1.0, 2.0, 5.0), rotation=(10, 20, 30)), {2: "right lung"})
    assert labels.volume_ml() == {"right lung": pytest.approx(5.0)}


def test_segmentation_stops_when_asked(engine):
    volume = volume_of(chest_hu, affine_of(spacing=(14, 14, 14), shape=(22, 16, 10)), (22, 16, 10))
    job = Job(lambda step: job.cancel() if step.stage == "Segmenting" else None)
    with pytest.raises(Cancelled):
        Session(volume, [], engine).segment("chest", job)


def test_out_of_memory_goes_on_with_less(engine, monkeypatch):
    """A network that fails for want of memory on several windows at once is given fewer."""
    from simcrop_core.inference import segmentation

    monkeypatch.setitem(segmentation._WINDOWS_AT_ONCE, "cpu", 4)
    model, lungs = engine.segmentation_model, engine.structures_of("lungs")
    forward, warnings = model.forward, []

    def hungry(images):
        if len(images) > 1:
            raise torch.OutOfMemoryError("no room")
        return forward(images)

    monkeypatch.setattr(model, "forward", hungry)
    volume = volume_of(chest_hu, affine_of(spacing=(14, 14, 14), shape=(22, 16, 10)), (22, 16, 10))
    segment_volume(model, volume, lungs, job=Job(), warn=warnings.append)
    assert [w for w in warnings if "1 windows" in w]


def test_no_scores_at_full_resolution():
    """Bringing 4 classes to a finer grid costs far less than their scores on it would (200 MB here)."""
    volume = Volume(np.zeros((256, 256, 200), dtype=np.int16), affine_of(spacing=(0.5, 0.5, 0.7)))
    lattice = lattice_of(volume, (1.5, 1.5, 3.0), "RAS")
    scores = torch.randn(4, *lattice.shape)
    full_resolution_mb = 4 * 4 * np.prod(volume.shape) / 2**20
    grown = growth_mb(lambda: labels_on_volume(scores, lattice, kept=np.arange(4, dtype=np.uint8), job=Job()))
    assert grown < full_resolution_mb / 2


def test_threshold_lungs_know_left_from_right():
    volume = volume_of(
        chest_hu, affine_of(order=(2, 0, 1), signs=(1, -1, 1), spacing=(3, 3, 3), shape=(110, 128, 96)), (110, 128, 96)
    )
    labels = threshold_lungs(volume)
    for value, side in ((1, -1), (2, 1)):
        r_mm = apply(volume.affine, np.argwhere(labels.voxels == value))[:, 0]
        assert (r_mm * side > 0).mean() > 0.99
    assert labels.volume_ml()["right lung"] == pytest.approx(4.19 * 52 * 75 * 115 / 1000, rel=0.06)
