"""CC-CCII as SimCroP's released down-stream code reads it: one NIfTI a scan, slices first, and lists with a class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from simcrop_core.errors import UnknownDataSet
from simcrop_training.datasets.labelled import LabelledScan, LabelledSet, Split
from simcrop_training.datasets.study import LeftOut, Rescale, SourceVolume
from simcrop_training.datasets.tables import read_table

NAME, KEY = "CC-CCII", "img_list"
# The released lists do not say which class is which.
CLASSES = ("class 0", "class 1", "class 2")
_LISTS: dict[Split, str] = {"train": "train_list.csv", "test": "test_list.csv", "valid": "val_list.csv"}
_BRIGHTEST = 255


def read_cc_ccii(
    folder: Path, *, lists: Path | None = None, window_hu: tuple[float, float] | None = None
) -> LabelledSet:
    """Read the lists and look which scans are there; no scan is opened.

    Args:
        folder: with `images_resized/<number>.nii.gz`.
        lists: with `train_list.csv`, `val_list.csv`, `test_list.csv`, such as the task's folder in a checkout of the
            released code; `folder` itself if None.
        window_hu: the Hounsfield units that 0 and 255 stand for, where the scans hold the set's 8-bit pictures; None
            where they hold Hounsfield units.

    Raises:
        UnknownDataSet: there are no lists, a list lacks a column, or a class is none of 0, 1, 2.
        UnreadableFile: a list is no text.
    """
    place = folder if lists is None else lists
    if not (place / _LISTS["train"]).is_file():
        raise UnknownDataSet(
            f"{place} does not hold the lists of CC-CCII: there is no {_LISTS['train']}, {KEY} and class in it.",
            hint="Give the lists of the released code (Classification_Linear/datasets/CC-CCII), or your own.",
        )
    scans: dict[str, LabelledScan | LeftOut] = {}
    repeated = 0
    for split, name in _LISTS.items():
        if (place / name).is_file():
            for scan, number in _rows(place / name):
                # A scan that is validated and tested on is for testing.
                repeated += scan in scans
                scans.setdefault(scan, _scan(folder, scan, split, number, window_hu))
    kept = tuple(scan for scan in scans.values() if isinstance(scan, LabelledScan))
    left_out = tuple(scan for scan in scans.values() if isinstance(scan, LeftOut))
    remarks = (
        "The lists do not say what the classes mean, nor who was scanned: each scan counts as a patient of its own.",
        *((f"{repeated} scans of the validation list are in an earlier list, which counts.",) if repeated else ()),
    )
    return LabelledSet(NAME, CLASSES, True, kept, left_out, remarks)


def _rows(path: Path) -> Iterator[tuple[str, int]]:
    rows = read_table(path, (KEY,))
    for row in rows:
        others = [value.strip() for column, value in row.items() if column and column != KEY]
        if len(others) != 1 or others[0] not in ("0", "1", "2"):
            raise UnknownDataSet(
                f"{path} has {', '.join(others) or 'nothing'} where the class of {row[KEY]} should be.",
                hint=f"A list has two columns: {KEY}, and the class: 0, 1 or 2.",
            )
        yield row[KEY].strip(), int(others[0])


def _scan(
    folder: Path, file: str, split: Split, number: int, window_hu: tuple[float, float] | None
) -> LabelledScan | LeftOut:
    name = file.removesuffix(".nii.gz")
    path = next((p for p in (folder / "images_resized" / file, folder / file) if p.is_file()), None)
    if path is None:
        return LeftOut(name, "no-file", f"A list names it, but there is no images_resized/{file}.")
    rescale = None
    if window_hu is not None:
        rescale = Rescale((window_hu[1] - window_hu[0]) / _BRIGHTEST, window_hu[0])
    source = SourceVolume(name, path, rescale=rescale)
    return LabelledScan(name, name, path, split, (number,), "slices-first", source)
