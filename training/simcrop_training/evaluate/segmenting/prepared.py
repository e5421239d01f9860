"""Scans on the model's grid, kept on disk: made once, by whichever run needs them first, and gone on with."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from simcrop_core.errors import CannotWrite, SimCroPError
from simcrop_core.export.atomic import replacing
from simcrop_training.datasets.labelled import LabelledScan
from simcrop_training.datasets.study import LeftOut
from simcrop_training.evaluate.segmenting.presets import Protocol
from simcrop_training.evaluate.segmenting.transforms import read_pair, resampled

_log = logging.getLogger("simcrop_training")
# −1…1 as int16: within 0.02 HU, at half the size.
_STEPS = 32767
_SAID_EVERY = 10


@dataclass(frozen=True, slots=True)
class Prepared:
    """A scan on the model's grid.

    Attributes:
        scan: whose it is.
        file: with its voxels.
    """

    scan: LabelledScan
    file: Path

    def load(self) -> tuple[Tensor, Tensor]:
        """(H, W, D) float32 intensities, −1…1, and (H, W, D) uint8 classes."""
        with np.load(self.file) as stored:
            image_HWD = torch.from_numpy(stored["image"].astype(np.float32) / _STEPS)
            return image_HWD, torch.from_numpy(stored["label"])


class NothingLabelled(SimCroPError):
    """A label map is empty."""

    code = "nothing-labelled"


def prepare(
    scans: Sequence[LabelledScan], classes: int, protocol: Protocol, folder: Path
) -> tuple[list[Prepared], list[LeftOut]]:
    """Bring scans to the model's grid; those in the folder are not made again.

    A file's name says what it was made from and how, so that other settings never meet it.

    Args:
        scans: with label maps.
        classes: how many, the background included.
        protocol: spacing, intensities and crop.
        folder: where they are kept.

    Returns:
        Those that can be used, in the order of `scans`, and those that cannot, with the reason.

    Raises:
        CannotWrite: the folder is not writable or the disk is full.
    """
    ready, left_out = [], []
    for done, scan in enumerate(scans, start=1):
        file = folder / f"{scan.name}-{_key(scan, protocol)}.npz"
        try:
            if not _whole(file):
                _make(scan, classes, protocol, file)
            ready.append(Prepared(scan, file))
        except CannotWrite:
            raise
        except SimCroPError as fault:
            _log.warning("%s is left out: %s", scan.name, fault.message)
            left_out.append(LeftOut(scan.name, fault.code, fault.message))
        if done % _SAID_EVERY == 0 or done == len(scans):
            _log.info("Prepared %d of %d scans, %d left out.", done, len(scans), len(left_out))
    return ready, left_out


def _make(scan: LabelledScan, classes: int, protocol: Protocol, file: Path) -> None:
    volume, labels = read_pair(scan, classes)
    made = resampled(
        volume, labels, spacing_mm=protocol.spacing_mm, hu_window=protocol.hu_window, crop_to_bone=protocol.crop_to_bone
    )
    if not made.label_HWD.any():
        raise NothingLabelled(f"The label map of {scan.name} holds no label.")
    image = np.rint(made.image_HWD * _STEPS).astype(np.int16)
    with replacing(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, image=image, label=made.label_HWD, affine=made.affine)


def _key(scan: LabelledScan, protocol: Protocol) -> str:
    """Of the files' places, sizes and times, and of every setting that the result depends on."""
    assert scan.mask is not None
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in (scan.path, scan.mask)]
    how = (protocol.spacing_mm, protocol.hu_window, protocol.crop_to_bone, scan.mask_values)
    return hashlib.sha256(json.dumps([stats, how]).encode()).hexdigest()[:16]


def _whole(file: Path) -> bool:
    return file.is_file() and zipfile.is_zipfile(file)
