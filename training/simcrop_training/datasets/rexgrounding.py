"""ReXGroundingCT: masks of findings, over scans of CT-RATE (docs/phantoms.md has the form of its files)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from simcrop_core.errors import UnknownDataSet
from simcrop_core.phantom.layouts.rexgrounding import CATEGORIES
from simcrop_training.datasets.ct_rate_names import parse_scan_name
from simcrop_training.datasets.study import DataSet, FindingMasks, SourceStudy

INDEX, MASKS = "dataset.json", "segmentations"
# Several kinds share a category; it is called by the first.
_TOPICS = {code: kind for kind, code in reversed(CATEGORIES.items())}
_SPLITS = {"train": "train", "val": "valid"}


def with_finding_masks(data: DataSet, folder: Path) -> DataSet:
    """The same data set, its scans with the masks that `folder` has of them; itself where there are none.

    Entries without a mask file, such as those of the hidden test set, and of scans that are not there, are left out.

    Args:
        data: CT-RATE.
        folder: that holds `dataset.json` and `segmentations`.

    Raises:
        UnknownDataSet: `dataset.json` is not that of the set.
    """
    if not is_rexgrounding(folder):
        return data
    masks = {name: found for name, found in finding_masks(folder).items() if found.path.is_file()}
    studies = tuple(_with_masks(study, masks) for study in data.studies)
    held = {volume.name for study in data.studies for volume in study.volumes}
    absent = sorted(masks.keys() - held)
    remark = (f"{len(absent)} scans with masks are not among the scans, {absent[0]} for one.",) if absent else ()
    return dataclasses.replace(data, studies=studies, remarks=(*data.remarks, *remark))


def is_rexgrounding(folder: Path) -> bool:
    """Whether a folder holds the set's index and masks."""
    return (folder / INDEX).is_file() and (folder / MASKS).is_dir()


def finding_masks(folder: Path) -> dict[str, FindingMasks]:
    """What the index says of every scan of the open splits, whether its mask file is there or not.

    Args:
        folder: that holds `dataset.json` and `segmentations`.

    Raises:
        UnknownDataSet: `dataset.json` is not that of the set.
    """
    index = folder / INDEX
    try:
        splits = json.loads(index.read_text(encoding="utf-8"))
        entries = [(ours, entry) for theirs, ours in _SPLITS.items() for entry in splits.get(theirs, [])]
        found = {}
        for split, entry in entries:
            name = parse_scan_name(entry["name"])
            if name is not None:
                numbers = sorted(entry["findings"], key=int)
                texts = tuple(entry["findings"][number] for number in numbers)
                codes = [entry["categories"][number] for number in numbers]
                topics = tuple(_TOPICS.get(code, code) for code in codes)
                found[str(name)] = FindingMasks(folder / MASKS / entry["name"], split, texts, topics)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise UnknownDataSet(
            f"{index} is not the index of ReXGroundingCT: {fault!r}.",
            hint="Take the file again from the data set, or remove it: its masks are then not used.",
        ) from fault
    return found


def _with_masks(study: SourceStudy, masks: dict[str, FindingMasks]) -> SourceStudy:
    volumes = tuple(dataclasses.replace(v, masks=masks.get(v.name)) for v in study.volumes)
    return dataclasses.replace(study, volumes=volumes)
