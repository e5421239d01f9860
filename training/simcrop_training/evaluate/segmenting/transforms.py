"""From files to what the network is given: MONAI's transforms, in the released order (docs/benchmarks/segmentation.md).

Files are read by this project's own readers: MetaImage beside NIfTI, label maps on turned axes, values checked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.croppad.dictionary import CropForegroundd, RandCropByPosNegLabeld, SpatialPadd
from monai.transforms.intensity.dictionary import RandScaleIntensityd, RandShiftIntensityd, ScaleIntensityRanged
from monai.transforms.spatial.dictionary import Orientationd, RandFlipd, Spacingd
from numpy.typing import NDArray
from torch import Tensor

from simcrop_core.errors import UnreadableFile
from simcrop_core.imaging.affine import Affine
from simcrop_core.imaging.read import read_volume
from simcrop_core.imaging.volume import Volume
from simcrop_training.datasets.labelled import LabelledScan
from simcrop_training.evaluate.segmenting.presets import Protocol
from simcrop_training.prepare.masks import scan_axes

IMAGE, LABEL = "image", "label"
_KEYS = (IMAGE, LABEL)
_AIR = -1.0
_NAMED = 6


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """A scan and its labels on the model's grid.

    Attributes:
        image_HWD: float32, −1…1.
        label_HWD: uint8 classes.
        affine: (4, 4) voxel → patient RAS, mm.
    """

    image_HWD: NDArray[np.float32]
    label_HWD: NDArray[np.uint8]
    affine: Affine


def read_pair(scan: LabelledScan, classes: int) -> tuple[Volume, NDArray[np.uint8]]:
    """A scan and the class of each of its voxels.

    Args:
        scan: with a mask; its numbers are turned into classes by `mask_values`.
        classes: how many there are, the background included.

    Raises:
        SimCroPError: a file cannot be read.
        BrokenGeometry: the label map is not on the scan's voxels.
        UnreadableFile: it holds numbers that are no label's.
    """
    assert scan.mask is not None, "label maps are listed with their scans"
    volume, stored = read_volume(scan.path), read_volume(scan.mask)
    axes, steps = scan_axes(stored.shape, stored.affine, volume, scan.mask.name)
    values = stored.voxels.transpose(axes)[steps]
    numbers = scan.mask_values or tuple(range(classes))
    found = np.unique(values)
    strange = sorted(set(found.tolist()) - set(numbers))
    if strange:
        said = ", ".join(f"{number:g}" for number in strange[:_NAMED])
        raise UnreadableFile(
            f"The label map {scan.mask.name} holds {said}, which no label has.",
            hint="Name every number of the label maps under `labels` of the list.",
        )
    labels = np.zeros(values.shape, np.uint8)
    for value, number in enumerate(numbers):
        if value:
            labels[values == number] = value
    return volume, labels


def resampled(
    volume: Volume,
    labels: NDArray[np.uint8],
    *,
    spacing_mm: tuple[float, float, float],
    hu_window: tuple[float, float],
    crop_to_bone: bool,
) -> Resampled:
    """A scan and its labels at a spacing: RAS, linear and nearest, windowed to −1…1, cropped to what is above 0 HU.

    A scan without any such voxel is not cropped.

    Args:
        volume: the CT, HU.
        labels: (x, y, z) on its voxels.
        spacing_mm: of the result.
        hu_window: mapped to −1…1, clipped.
        crop_to_bone: whether it is cropped.
    """
    affine = torch.from_numpy(volume.affine)
    pair = {
        IMAGE: MetaTensor(torch.from_numpy(volume.voxels.astype(np.float32))[None], affine=affine),
        LABEL: MetaTensor(torch.from_numpy(np.ascontiguousarray(labels))[None], affine=affine),
    }
    low, high = hu_window
    steps = [
        Orientationd(_KEYS, axcodes="RAS", labels=None),
        Spacingd(_KEYS, pixdim=spacing_mm, mode=("bilinear", "nearest")),
        ScaleIntensityRanged(IMAGE, a_min=low, a_max=high, b_min=-1.0, b_max=1.0, clip=True),
    ]
    brought = Compose(steps)(pair)
    if crop_to_bone and bool((brought[IMAGE] > 0).any()):
        brought = CropForegroundd(_KEYS, source_key=IMAGE, allow_smaller=True)(brought)
    image, label = brought[IMAGE], brought[LABEL]
    return Resampled(image[0].as_tensor().numpy(), label[0].as_tensor().to(torch.uint8).numpy(), image.affine.numpy())


def random_crops(image_HWD: Tensor, label_HWD: Tensor, protocol: Protocol, seed: int) -> tuple[Tensor, Tensor]:
    """The crops of one step, changed at random; the same for the same seed.

    A scan smaller than the window gets air around it, where the released code stops.

    Args:
        image_HWD: −1…1.
        label_HWD: classes.
        protocol: how many crops, and how they are changed.
        seed: of the step.

    Returns:
        (crops, 1, H, W, D) float32 and (crops, 1, H, W, D) int64.
    """
    steps = Compose(
        [
            SpatialPadd(IMAGE, protocol.window, constant_values=_AIR),
            SpatialPadd(LABEL, protocol.window),
            RandCropByPosNegLabeld(
                _KEYS, label_key=LABEL, spatial_size=protocol.window, pos=1, neg=1, num_samples=protocol.crops,
                image_key=IMAGE if protocol.crop_to_bone else None, image_threshold=0.0,
            ),
            *(RandFlipd(_KEYS, prob=0.2, spatial_axis=axis) for axis in protocol.flip_axes),
            RandScaleIntensityd(IMAGE, factors=0.1, prob=0.1),
            RandShiftIntensityd(IMAGE, offsets=0.1, prob=0.1),
        ]
    )  # fmt: skip
    steps.set_random_state(seed)
    crops = steps({IMAGE: image_HWD[None], LABEL: label_HWD[None]})
    images, labels = (torch.stack([torch.as_tensor(crop[key]) for crop in crops]) for key in _KEYS)
    return _plain(images).float(), _plain(labels).long()


def _plain(tensor: Tensor) -> Tensor:
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
