"""Which scans train, validate and test: by the lists of the released code, from a folder of the user's, or by seed.

This project ships no list. Seeded ones have the sizes of the released ones, keep a patient's scans together, and are
nested: a smaller share of the training scans is within every larger one.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from simcrop_core.errors import UnknownDataSet, UnreadableFile
from simcrop_training.datasets.labelled import LabelledScan, LabelledSet, Split, first_named
from simcrop_training.datasets.study import LeftOut
from simcrop_training.datasets.tables import read_json_object, read_table

Task = Literal["CT-Rate", "RadChestCT", "CC-CCII", "LUNA16"]
Percent = Literal[1, 10, 100]
# Column with the scans' names in the released lists; all others are labels.
_KEYS: Mapping[Task, str] = {
    "CT-Rate": "VolumeName",
    "RadChestCT": "NoteAcc_DEID",
    "CC-CCII": "img_list",
    "LUNA16": "image_id",
}
_TRAIN: Mapping[Percent, str] = {1: "train_list_1.csv", 10: "train_list_10.csv", 100: "train_list.csv"}
_PLACES = ("{task}", "datasets/{task}", "Classification_Linear/datasets/{task}",
           "Down-stream/Classification_Linear/datasets/{task}", ".")  # fmt: skip
_SPELLINGS = {"hietal hernia": "hiatal hernia"}


@dataclass(frozen=True, slots=True)
class SplitLists:
    """Names of scans by split.

    Attributes:
        train: to train on.
        valid: to choose by; may be the same as `test`, or a part of it, as in the released lists.
        test: to measure on.
        source: where the lists are from.
        labels: what the lists say of a scan, by scan and label in lower case; empty where they name scans only.
    """

    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    source: str
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def read_lists(folder: Path, task: Task, percent: Percent = 100) -> SplitLists:
    """The released lists of a classification task.

    Args:
        folder: a checkout of the released code, or any of its folders down to the task's own.
        task: as its folder is called there.
        percent: of the training scans.

    Raises:
        UnknownDataSet: there is no such list, or it lacks a column.
        UnreadableFile: a list is no text.
    """
    places = [folder / place.format(task=task) for place in _PLACES]
    place = next((p for p in places if (p / _TRAIN[percent]).is_file()), None)
    if place is None:
        raise UnknownDataSet(
            f"{folder} holds no {task}/{_TRAIN[percent]}.",
            hint="Give a checkout of the released code, or the folder of the task's lists; without, lists are seeded.",
        )
    labels: dict[str, Mapping[str, int]] = {}
    train, valid, test = (
        _read_list(place / name, _KEYS[task], labels) for name in (_TRAIN[percent], "val_list.csv", "test_list.csv")
    )
    return SplitLists(train, valid, test, str(place), labels)


def read_json_lists(path: Path) -> SplitLists:
    """The lists of a segmentation task: a JSON in the Medical Decathlon's form; scans are named by their files.

    The released ones call their test scans `testing`, or leave the key out.

    Raises:
        UnreadableFile: it is no JSON.
        UnknownDataSet: it has no `training`.
    """
    document = read_json_object(path)
    names = {key: _image_names(document.get(key, []), path) for key in ("training", "validation", "testing")}
    if not names["training"]:
        raise UnknownDataSet(
            f"{path} lists no scans under `training`.",
            hint='Each entry is {"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}.',
        )
    return SplitLists(names["training"], names["validation"], names["testing"] or names["validation"], str(path))


def by_lists(data: LabelledSet, lists: SplitLists, *, absent: Literal["refuse", "leave out"] = "refuse") -> LabelledSet:
    """The scans that lists name, in their order; a scan that is both validated and tested on is for testing.

    Args:
        data: the set.
        lists: of its scans.
        absent: what to do where the set has no scan of a name that is listed.

    Raises:
        UnreadableFile: scans are absent; the first ten are named.
    """
    have = {scan.name: scan for scan in data.scans}
    splits: dict[str, Split] = {}
    by_rank: dict[Split, tuple[str, ...]] = {"train": lists.train, "test": lists.test, "valid": lists.valid}
    for split, names in by_rank.items():
        for name in names:
            splits.setdefault(name, split)
    missing = [name for name in splits if name not in have]
    if missing and absent == "refuse":
        raise UnreadableFile(
            f"{len(missing)} of {len(splits)} scans of {lists.source} are not in {data.name}: {first_named(missing)}.",
            hint="Fetch them, or say that absent scans are left out.",
        )
    scans = tuple(dataclasses.replace(have[name], split=split) for name, split in splits.items() if name in have)
    left_out = [note for note in data.left_out if note.name in splits]
    known = {note.name for note in left_out}
    left_out += [
        LeftOut(name, "no-file", "A list names it, but the set has no such scan.")
        for name in missing
        if name not in known
    ]
    remarks = [*data.remarks, f"Lists of {lists.source}."]
    remarks += [*_shared(lists), *_disagreements(data, scans, lists)]
    return dataclasses.replace(data, scans=scans, left_out=tuple(left_out), remarks=tuple(remarks))


def share_by_seed(data: LabelledSet, percent: Percent, seed: int = 0) -> LabelledSet:
    """A share of the training scans, as many as the released list of that share; the other splits stay.

    Patients are taken one after the other in an order drawn by the seed, each with all scans until there are enough:
    the same order for every share.

    Args:
        data: the set.
        percent: of its training scans.
        seed: of the order.
    """
    if percent == 100:
        return data
    train = _in_order(data.of("train"), seed)
    kept = {scan.name for scan in train[: round(len(train) * percent / 100)]}
    scans = tuple(scan for scan in data.scans if scan.split != "train" or scan.name in kept)
    remark = f"{percent} % of the training scans, by seed {seed}: {len(kept)} of {len(train)}."
    return dataclasses.replace(data, scans=scans, remarks=(*data.remarks, remark))


def split_by_seed(data: LabelledSet, share: float, seed: int = 0, *, into: Split = "test") -> LabelledSet:
    """Move a share of the training scans, whole patients, into another split.

    Args:
        data: the set.
        share: of the training scans; at least so many, rounded up, are moved.
        seed: of the order of patients.
        into: the split that they go to.
    """
    train = _in_order(data.of("train"), seed)
    wanted = math.ceil(len(train) * share)
    moved = {scan.patient for scan in train[:wanted]}
    scans = tuple(
        dataclasses.replace(scan, split=into) if scan.split == "train" and scan.patient in moved else scan
        for scan in data.scans
    )
    return dataclasses.replace(data, scans=scans)


def _in_order(scans: Sequence[LabelledScan], seed: int) -> list[LabelledScan]:
    """Patient by patient, in an order that depends on the seed and on who there is, not on the order of the scans."""
    by_patient: dict[str, list[LabelledScan]] = {}
    for scan in sorted(scans, key=lambda scan: scan.name):
        by_patient.setdefault(scan.patient, []).append(scan)
    patients = sorted(by_patient)
    random.Random(seed).shuffle(patients)
    return [scan for patient in patients for scan in by_patient[patient]]


def _read_list(path: Path, key: str, labels: dict[str, Mapping[str, int]]) -> tuple[str, ...]:
    """A list's names in its order; what it says of them goes into `labels`."""
    names = []
    for row in read_table(path, (key,)):
        name = _bare(row.pop(key))
        names.append(name)
        said = {_SPELLINGS.get(column.casefold(), column.casefold()): value.strip() for column, value in row.items()}
        labels[name] = {column: int(value) for column, value in said.items() if column and value.isdecimal()}
    if len(set(names)) < len(names) or not names:
        raise UnknownDataSet(
            f"{path} names {'a scan twice' if names else 'no scan'}.", hint="Take the list again as published."
        )
    return tuple(names)


def _shared(lists: SplitLists) -> Iterator[str]:
    train, valid, test = map(set, (lists.train, lists.valid, lists.test))
    if valid & test:
        yield f"{len(valid & test)} of {len(valid)} validation scans are among the {len(test)} test scans."
    if (valid | test) & train:
        yield f"{len((valid | test) & train)} held-out scans are among the training scans, where they count."


def _disagreements(data: LabelledSet, scans: Sequence[LabelledScan], lists: SplitLists) -> list[str]:
    """Labels that lists and set tell differently; the set's hold."""
    said = []
    for column, label in enumerate(data.labels if not data.classes else ()):
        pairs = [
            (scan.labels[column], value)
            for scan in scans
            if scan.labels and (value := lists.labels.get(scan.name, {}).get(label.casefold())) is not None
        ]
        differing = sum(ours != theirs for ours, theirs in pairs)
        if differing:
            said.append(f"{label}: the lists differ from the set in {differing} of {len(pairs)} scans; the set's hold.")
    return said


def _bare(text: str) -> str:
    """A scan's name without folders and suffix."""
    return PurePosixPath(text.strip().replace("\\", "/")).name.removesuffix(".nii.gz")


def _image_names(entries: object, path: Path) -> tuple[str, ...]:
    try:
        return tuple(_bare(entry["image"]) for entry in entries)  # type: ignore[attr-defined]
    except (TypeError, KeyError, AttributeError) as fault:
        raise UnknownDataSet(
            f"{path} has entries without an image: {fault!r}.",
            hint='Each entry is {"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}.',
        ) from fault
