"""What every labelled set of CTs is read into: scans with their split and labels, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from simcrop_core.errors import UnreadableFile
from simcrop_training.datasets.study import LeftOut, SourceVolume

Split = Literal["train", "valid", "test"]
Form = Literal["file", "source", "preprocessed", "slices-first", "rad-chestct"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
UNKNOWN = -1
_NAMED = 10


@dataclass(frozen=True, slots=True)
class LabelledScan:
    """One scan with what is known of it.

    Attributes:
        name: unique in the set.
        patient: who was scanned; scans of one patient share it. The scan's own name where nobody is known.
        path: the file, or a DICOM folder.
        split: of the set.
        labels: multi-label: 0 or 1 for each label, −1 unknown; classes: the one class's index; empty where the set
            labels voxels instead.
        form: how the file is read (`evaluate.scan_volumes`): "file": as it states itself; "source": by `source`;
            "preprocessed": as the released down-stream code expects, 1.5 × 1.5 × 3.0 mm where the header says nothing;
            "slices-first": the same with the slices along the first axis; "rad-chestct": a bare array in an .npz.
        source: what the set's table says of the file; of "slices-first", the rescale alone.
        mask: label map on the scan's own voxels; None where there is none.
        mask_values: the number in the map of each label, by label; empty where they are numbered as the labels.
    """

    name: str
    patient: str
    path: Path
    split: Split
    labels: tuple[int, ...]
    form: Form = "file"
    source: SourceVolume | None = None
    mask: Path | None = None
    mask_values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """A labelled set as its tables tell; no scan was opened.

    Attributes:
        name: of the set.
        labels: their names; of `classes`, the classes'; of masks, the values', background first.
        classes: whether a scan has one class rather than any number of labels.
        scans: by split, in the order of the lists.
        left_out: scans that are not used.
        remarks: what its user should know: known defects, and what was assumed.
        terms: under which the scans, and whatever is trained on them, may be used, as far as is known; empty where
            neither the set's list nor this project knows.
    """

    name: str
    labels: tuple[str, ...]
    classes: bool
    scans: tuple[LabelledScan, ...]
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()
    terms: str = ""

    def of(self, split: Split) -> tuple[LabelledScan, ...]:
        """The scans of one split."""
        return tuple(scan for scan in self.scans if scan.split == split)


def require_files(scans: Sequence[LabelledScan]) -> None:
    """See that every scan, and every mask, is there, before hours are spent on the first of them.

    Raises:
        UnreadableFile: some are not; the first ten are named.
    """
    wanted = [path for scan in scans for path in (scan.path, scan.mask) if path is not None]
    absent = [path for path in wanted if not path.exists()]
    if absent:
        raise UnreadableFile(
            f"{len(absent)} of {len(wanted)} files are not there: {first_named(absent)}.",
            hint="Fetch them, or take their rows out of the list.",
        )


def first_named(names: Sequence[object]) -> str:
    """The first ten of some names in words, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(map(str, names[:_NAMED]))}{more}"
