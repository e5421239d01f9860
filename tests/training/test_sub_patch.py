"""Finer maps are compared on the same scan: shifted frames see what the first one saw, half a patch further."""

from __future__ import annotations

import numpy as np
import pytest
from chests import affine_of, chest_hu, volume_of
from simcrop_training.evaluate.sub_patch import WAYS, _distances, _Place, on_phantoms, shifted

from simcrop_core.imaging.affine import apply
from simcrop_core.inference.session import Session


@pytest.fixture(scope="module")
def chest():
    shape = (64, 48, 56)
    return volume_of(chest_hu, affine_of(spacing=(6, 6, 6), shape=shape), shape)


def test_eight_frames_lie_half_a_patch_apart_and_the_first_is_the_frame_itself(chest, engine):
    frame = Session(chest, [], engine).frame
    frames = list(shifted(chest, frame))
    assert np.array_equal(frames[0].images_THWD, frame.images_THWD)
    centres = np.array([apply(moved.patch_affine, (0, 0, 0)) for moved in frames])
    steps = np.abs(centres - centres[0])
    assert sorted({tuple(step.round(3)) for step in steps}) == sorted(
        (x, y, z) for x in (0, 12) for y in (0, 12) for z in (0, 12)
    )
    p = frame.config.patch[2] // 2
    assert np.array_equal(frames[1].images_THWD[0, :, :, :-p], frame.images_THWD[0, :, :, p:]), "the same voxels"


def test_distances_are_zero_inside_and_millimetres_outside(chest):
    mask = np.zeros(chest.shape, bool)
    mask[10:20, 10:20, 10:20] = True
    place = _Place("A mass.", "mass", np.flatnonzero(mask))
    points = [apply(chest.affine, index) for index in ((12, 15, 11), (24, 15, 15), (19.4, 15, 15))]
    assert _distances(np.array(points), place, chest) == pytest.approx([0, 30, 0], abs=1e-6)


def test_every_way_is_measured_on_the_same_sentences(engine):
    rows = on_phantoms(engine, "a", [100_000])
    assert {row.way for row in rows} == set(WAYS)
    for what in {row.what for row in rows}:
        of_it = [row for row in rows if row.what == what]
        assert len({row.sentences for row in of_it}) == 1
        assert of_it[2].seconds > of_it[0].seconds == of_it[1].seconds
        assert all(0 <= row.inside <= row.near <= 1 for row in of_it)
