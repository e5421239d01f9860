"""A phantom's truth as files: organ and lobe label maps, and one file with the mask of every sentence.

All of them are on the phantom's own grid, axes LPS, whatever the data set does with the image:

    truth/<scan>.json              the record, with every sentence and the number of its mask
    truth/<scan>_organs.nii.gz     uint8, indices of `LABELS`
    truth/<scan>_lobes.nii.gz      uint8, indices of `LOBES`
    truth/<scan>_sentences.npz     masks as runs: `starts`, `lengths` of all of them, `ends` of each in that list
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from simcrop_core.errors import UnreadableFile
from simcrop_core.export.atomic import replacing
from simcrop_core.export.nifti import write_labelmap
from simcrop_core.imaging.affine import Affine
from simcrop_core.phantom.layouts.orientation import oriented
from simcrop_core.phantom.layouts.record import TRUTH_FOLDER, ScanRecord, SentenceRecord, read_record
from simcrop_core.phantom.layouts.runs import Runs, centre_mm, runs_of, turned
from simcrop_core.phantom.layouts.settings import NOTICE
from simcrop_core.phantom.truth import LABELS, LOBES, Phantom, Statement


@dataclass(frozen=True, slots=True, eq=False)
class ScanTruth:
    """What is known of one written scan.

    Attributes:
        record: all but the voxels.
        affine: (4, 4) voxel → RAS, mm; the axes of the arrays are LPS.
        labels: (x, y, z) uint8, indices of `LABELS`.
        lobes: (x, y, z) uint8, indices of `LOBES`.
        statements: their `voxels` are flat indices (C order) of these arrays.
    """

    record: ScanRecord
    affine: Affine
    labels: NDArray[np.uint8]
    lobes: NDArray[np.uint8]
    statements: tuple[Statement, ...]


def write_truth(folder: Path, scan: str, phantom: Phantom) -> tuple[list[SentenceRecord], list[Path]]:
    """Write a phantom's label maps and masks.

    Returns:
        Its sentences for the record, and the files.

    Raises:
        CannotWrite: a file cannot be written.
    """
    stem = folder / TRUTH_FOLDER / scan
    organs, lobes = stem.with_name(f"{scan}_organs.nii.gz"), stem.with_name(f"{scan}_lobes.nii.gz")
    labels, affine = oriented(phantom.labels, phantom.affine, "LPS")
    write_labelmap(organs, labels, affine, dict(enumerate(LABELS)), description=NOTICE)
    write_labelmap(
        lobes, oriented(phantom.lobes, phantom.affine, "LPS")[0], affine, dict(enumerate(LOBES)), description=NOTICE
    )
    sentences, masks = _masks_of(phantom, affine)
    path = stem.with_name(f"{scan}_sentences.npz")
    _write_masks(path, masks)
    return sentences, [organs, lobes, path]


def read_truth(folder: Path, scan: str) -> ScanTruth:
    """Read the truth of one scan of a folder that `simcrop phantom` made.

    Args:
        folder: its top.
        scan: such as "train_7_a_1".

    Raises:
        UnreadableFile: a file is missing or damaged.
    """
    stem = folder / TRUTH_FOLDER / scan
    record = read_record(stem.with_name(f"{scan}.json"))
    try:
        labels, lobes = (_read_labels(stem.with_name(f"{scan}_{name}.nii.gz")) for name in ("organs", "lobes"))
        masks = _read_masks(stem.with_name(f"{scan}_sentences.npz"))
    except (OSError, ValueError, KeyError, EOFError, nibabel.filebasedimages.ImageFileError) as fault:
        raise UnreadableFile(f"The truth of {scan} cannot be read: {fault}.", hint="Draw it again.") from fault
    nothing = np.zeros(0, dtype=np.int32)
    statements = tuple(
        Statement(
            s.text, s.polarity, s.topic, s.side, s.lobe, nothing if s.mask is None else masks[s.mask].voxels, s.size_mm
        )
        for s in record.statements
    )
    return ScanTruth(record, np.array(record.affine), labels, lobes, statements)


def _masks_of(phantom: Phantom, affine: Affine) -> tuple[list[SentenceRecord], list[Runs]]:
    """Several phrasings of one finding share its mask."""
    x, y, z = phantom.image.shape
    masks: list[Runs] = []
    numbers: dict[bytes, int] = {}
    sentences = []
    for s in phantom.statements:
        mask: int | None = None
        if s.voxels.size:
            mask = numbers.setdefault(s.voxels.tobytes(), len(masks))
            if mask == len(masks):
                masks.append(turned(runs_of(s.voxels, (x, y, z)), (x, y, z)))
        centre = None if mask is None else centre_mm(masks[mask], (x, y, z), affine)
        count = 0 if mask is None else int(masks[mask].lengths.sum())
        sentences.append(
            SentenceRecord(s.text, s.polarity, s.topic, s.side, s.lobe, round(s.size_mm, 1), mask, count, centre)
        )
    return sentences, masks


def _write_masks(path: Path, masks: Sequence[Runs]) -> None:
    empty = np.zeros(0, dtype=np.int32)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            starts=np.concatenate([empty, *(mask.starts for mask in masks)]),
            lengths=np.concatenate([empty, *(mask.lengths for mask in masks)]),
            ends=np.cumsum([mask.starts.size for mask in masks], dtype=np.int64),
        )


def _read_labels(path: Path) -> NDArray[np.uint8]:
    image = nibabel.nifti1.Nifti1Image.from_filename(path)
    return np.asarray(image.dataobj, dtype=np.uint8)


def _read_masks(path: Path) -> list[Runs]:
    with np.load(path) as stored:
        ends = stored["ends"][:-1]
        starts, lengths = np.split(stored["starts"], ends), np.split(stored["lengths"], ends)
    return [Runs(s, n) for s, n in zip(starts, lengths, strict=True)]
