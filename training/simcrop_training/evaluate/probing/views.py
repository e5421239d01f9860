"""What the released probe sees of a scan: one view for testing, another drawn at random each time for training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simcrop_core.imaging.frame import frame_volume
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.lattice import Triple, lattice_of
from simcrop_core.imaging.resample import resample_box
from simcrop_core.imaging.volume import Volume

_SMALLEST_CROP = 0.8
_FLIP_RATE = 0.2
_SHIFT_RATE, _LARGEST_SHIFT = 0.1, 0.1
_NOISE_RATE, _LARGEST_NOISE = 0.2, 0.1


def released_frame(frame: FrameConfig) -> FrameConfig:
    """The frame of an encoder's weights, placed and padded as the released probe does: its middle, and mirrored."""
    return replace(frame, padding="reflect", placement="volume")


def fixed_view(volume: Volume, frame: FrameConfig) -> NDArray[np.float32]:
    """The middle of a scan, mirrored beyond its edges.

    Args:
        volume: the CT, HU.
        frame: of the encoder's weights; placement and padding are the released probe's.

    Returns:
        (H, W, D) intensities in −1…1.
    """
    image_HWD: NDArray[np.float32] = frame_volume(volume, released_frame(frame)).images_THWD[0]
    return image_HWD


def training_view(volume: Volume, frame: FrameConfig, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random part of a scan, changed at random; intensities are not clipped afterwards.

    A box of 80–100 % of each axis, in it a box no larger than the frame, mirrored up to the frame's size, flipped
    along each axis one time in five, shifted in intensity one time in ten, with noise one time in five.

    Args:
        volume: the CT, HU.
        frame: of the encoder's weights.
        rng: of the draws; the released code repeats a few of them for ever, which is not followed.

    Returns:
        (H, W, D) intensities, about −1.4…1.4 at most times.
    """
    lattice = lattice_of(volume, frame.spacing_mm, frame.axes)
    offset, size = drawn_box(lattice.shape, frame.shape, rng)
    cut = resample_box(volume, lattice, offset, size, hu_window=frame.hu_window, padding="reflect")
    image_HWD = mirrored_to(cut, frame.shape)
    flipped = tuple(axis for axis in range(3) if rng.random() < _FLIP_RATE)
    image_HWD = np.flip(image_HWD, flipped)
    if rng.random() < _SHIFT_RATE:
        image_HWD = image_HWD + np.float32(rng.uniform(-_LARGEST_SHIFT, _LARGEST_SHIFT))
    if rng.random() < _NOISE_RATE:
        deviation = np.float32(rng.uniform(0, _LARGEST_NOISE))
        image_HWD = image_HWD + deviation * rng.standard_normal(image_HWD.shape, dtype=np.float32)
    return np.ascontiguousarray(image_HWD)


def drawn_box(shape: Triple, largest: Triple, rng: np.random.Generator) -> tuple[Triple, Triple]:
    """First point and size of a random box of 80–100 % of each axis, cut at random to at most `largest`."""
    first, size = [], []
    for count, most in zip(shape, largest, strict=True):
        outer = int(rng.integers(int(np.ceil(_SMALLEST_CROP * count)), count + 1))
        inner = min(outer, most)
        first.append(int(rng.integers(count - outer + 1)) + int(rng.integers(outer - inner + 1)))
        size.append(inner)
    return (first[0], first[1], first[2]), (size[0], size[1], size[2])


def mirrored_to(image_HWD: NDArray[np.float32], shape: Triple) -> NDArray[np.float32]:
    """The image in the middle of a frame that is nowhere smaller, mirrored at its edges as often as needed."""
    missing = [most - count for count, most in zip(image_HWD.shape, shape, strict=True)]
    return np.pad(image_HWD, [(n // 2, n - n // 2) for n in missing], mode="reflect")
