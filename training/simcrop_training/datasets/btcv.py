"""BTCV, and any other set in the Medical Decathlon's form: images, label maps, and a JSON that lists both."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from simcrop_core.errors import UnknownDataSet
from simcrop_core.models.presets import BTCV_LABELS
from simcrop_training.datasets.labelled import LabelledScan, LabelledSet, Split
from simcrop_training.datasets.study import LeftOut
from simcrop_training.datasets.tables import read_json_object

NAME, LISTS = "BTCV", "dataset.json"
# Synapse gives the set to registered users; no public licence of it is known here.
TERMS = "no public licence of BTCV is known: the conditions of synapse.org (syn3193805), agreed to on download, hold"
# The scans that the released code trains on, and those that it both validates and reports on.
TRAIN_IDS = (*range(1, 11), *range(21, 35))
TEST_IDS = tuple(range(35, 41))
_NUMBER = re.compile(r"(\d+)\.nii(\.gz)?$")
_SPLITS: Mapping[str, Split] = {"training": "train", "validation": "valid", "testing": "test", "test": "test"}


def read_btcv(folder: Path) -> LabelledSet:
    """Scans with label maps of 13 organs; no file is opened but the list.

    The list is followed where there is one. Without, scans are split by their numbers, as the released code does:
    001–010 and 021–034 train, 035–040 test. Either way the validation scans are for testing where no others are.

    Args:
        folder: with `imagesTr`, `labelsTr`, and `dataset.json` if there is one.

    Raises:
        UnknownDataSet: there are no scans, or the list is none.
        UnreadableFile: the list is no JSON.
    """
    if (folder / LISTS).is_file():
        data = read_decathlon(folder / LISTS, name=NAME, labels=BTCV_LABELS)
        data = dataclasses.replace(data, terms=TERMS)
        return data if data.of("test") else _tested_on_validation(data)
    scans = []
    for path in sorted((folder / "imagesTr").glob("*.nii.gz")):
        number = _NUMBER.search(path.name)
        if number is not None and int(number[1]) in (*TRAIN_IDS, *TEST_IDS):
            split: Split = "train" if int(number[1]) in TRAIN_IDS else "test"
            label = folder / "labelsTr" / path.name.replace("img", "label")
            scans.append(_scan(path, label, split))
    if not scans:
        raise UnknownDataSet(
            f"{folder} does not hold BTCV: there is neither {LISTS} nor imagesTr/btcv_001.nii.gz in it.",
            hint="Give the folder with imagesTr and labelsTr.",
        )
    return _gathered(NAME, BTCV_LABELS, scans, TERMS)


def read_decathlon(
    path: Path, *, name: str = "", labels: tuple[str, ...] = (), data: Path | None = None
) -> LabelledSet:
    """The scans and label maps that a JSON lists under `training`, `validation` and `testing`.

    A scan that is listed several times counts where it is first, in that order, and is named as a duplicate besides.
    Entries of `testing` or `test` without a label map, as the Decathlon has them, are left out. What the JSON calls its
    `licence`, or `license`, is taken for the set's terms.

    Args:
        path: of the JSON.
        name: of the set; the JSON's own if empty.
        labels: by value, background first; the JSON's own if empty.
        data: the folder that paths are relative to; the JSON's own if None.

    Raises:
        UnreadableFile: it is no JSON.
        UnknownDataSet: it lists no training scans, an entry has no image, or nobody says what the labels are.
    """
    document = read_json_object(path)
    top = path.parent if data is None else data
    try:
        scans = []
        for key, split in _SPLITS.items():
            for entry in document.get(key, []):
                image = entry if isinstance(entry, str) else entry["image"]
                label = None if isinstance(entry, str) else entry.get("label")
                scans.append(_scan(top / image, None if label is None else top / label, split))
        named = labels or tuple(text for _, text in sorted((int(n), t) for n, t in document["labels"].items()))
        called = name or str(document.get("name", path.stem))
        terms = str(document.get("licence") or document.get("license") or "").strip()
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise UnknownDataSet(
            f"{path} is no list in the Medical Decathlon's form: {fault!r}.",
            hint='It has `labels`, and entries such as {"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}.',
        ) from fault
    if not any(scan.split == "train" for scan in scans):
        raise UnknownDataSet(f"{path} lists no scans under `training`.", hint="Give the list of a training set.")
    return _gathered(called, named, scans, terms)


def _scan(image: Path, label: Path | None, split: Split) -> LabelledScan:
    name = image.name.removesuffix(".gz").removesuffix(".nii")
    return LabelledScan(name, name, image, split, (), mask=label)


def _gathered(name: str, labels: tuple[str, ...], scans: list[LabelledScan], terms: str) -> LabelledSet:
    """Those with label maps, each where it is listed first."""
    kept: dict[str, LabelledScan] = {}
    left_out = []
    for scan in scans:
        if scan.mask is None:
            left_out.append(LeftOut(scan.name, "no-labels", "It is listed without a label map."))
        elif scan.name in kept:
            first = kept[scan.name].split
            left_out.append(LeftOut(scan.name, "duplicate", f"It is listed to {first} already, and to {scan.split}."))
        else:
            kept[scan.name] = scan
    return LabelledSet(name, labels, False, tuple(kept.values()), tuple(left_out), terms=terms)


def _tested_on_validation(data: LabelledSet) -> LabelledSet:
    scans = tuple(dataclasses.replace(s, split="test") if s.split == "valid" else s for s in data.scans)
    remark = "There is no other held-out scan: what is called validation is tested on, as in the released code."
    return dataclasses.replace(data, scans=scans, remarks=(*data.remarks, remark))
