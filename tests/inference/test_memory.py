"""The memory that segmenting a long, fine scan takes, as the operating system sees it."""

from __future__ import annotations

import multiprocessing
import time

import numpy as np
import psutil
import pytest
import torch
from chests import affine_of

from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.device import prepared
from simcrop_core.inference.segmentation import segment_volume
from simcrop_core.models.presets import SEGMENTATION_PRESETS
from simcrop_core.models.structures import each_alone
from simcrop_core.models.unetr import UNETR
from simcrop_core.progress import Job

SAMPLED_EVERY_S = 0.02


def two_lungs(shape):
    """Soft tissue with two blocks of air; every page written, so that the volume itself counts."""
    voxels = np.full(shape[::-1], 40, dtype=np.int16).T
    width, depth, length = shape
    for side in (slice(width // 8, 3 * width // 8), slice(5 * width // 8, 7 * width // 8)):
        voxels[side, depth // 4 : 3 * depth // 4, length // 4 : 3 * length // 4] = -850
    return Volume(voxels, affine_of(spacing=(0.7, 0.7, 1.0), shape=shape))


def segment(shape):
    """Random weights label at random, all over the scan: nothing is spared by what they find."""
    torch.manual_seed(0)
    config = SEGMENTATION_PRESETS["small"]
    model = prepared(UNETR(config).eval().requires_grad_(False), torch.device("cpu"))
    everything = each_alone(config.labels, range(1, len(config.labels)))
    warnings = []
    labels = segment_volume(model, two_lungs(shape), everything, job=Job(), warn=warnings.append)
    assert labels.voxels.shape == shape
    assert labels.voxels.any()
    assert not warnings, warnings


def peak_bytes(shape):
    """The highest resident memory of a process that does nothing but segment."""
    child = multiprocessing.get_context("spawn").Process(target=segment, args=(shape,))
    child.start()
    process, peak = psutil.Process(child.pid), 0
    try:
        while child.is_alive():
            try:
                peak = max(peak, process.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(SAMPLED_EVERY_S)
    finally:
        child.kill()
        child.join()
    return peak, child.exitcode


@pytest.mark.slow
def test_a_whole_trunk_at_full_resolution_takes_less_than_three_gigabytes():
    """512 × 512 × 600 voxels at 0.7 × 0.7 × 1 mm: 36 × 36 × 60 cm in 0.3 GB."""
    peak, exit_code = peak_bytes((512, 512, 600))
    assert exit_code == 0
    assert 0.3e9 < peak < 3e9, f"{peak / 1e9:.2f} GB"
