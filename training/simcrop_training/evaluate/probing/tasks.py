"""The labelled sets that are probed, by task, with the released lists or seeded ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from simcrop_core.phantom.layouts.settings import SETTINGS_FILE
from simcrop_training.datasets import lists as split_lists
from simcrop_training.datasets.cc_ccii import read_cc_ccii
from simcrop_training.datasets.ct_rate_labelled import read_ct_rate_labels
from simcrop_training.datasets.labelled import LabelledSet
from simcrop_training.datasets.luna16 import read_luna16
from simcrop_training.datasets.rad_chestct import HeldOut, LabelMap, read_rad_chestct
from simcrop_training.engine.errors import NothingToLearnFrom
from simcrop_training.evaluate.probing.presets import Share, Task

# The released lists' folders.
_FOLDERS: Mapping[Task, split_lists.Task] = {
    "ct-rate": "CT-Rate",
    "rad-chestct": "RadChestCT",
    "cc-ccii": "CC-CCII",
    "luna16": "LUNA16",
}
_HELD_OUT: Mapping[LabelMap, HeldOut] = {"corrected": "published", "simcrop_released": "simcrop_released"}


@dataclass(frozen=True, slots=True)
class TaskData:
    """Where a task's scans are, and which of them are used.

    Attributes:
        task: which set.
        folder: of the set.
        share: of the training list, in per cent.
        lists: a checkout of the released code, or a folder of its lists; None for lists drawn by seed.
        label_map: of RAD-ChestCT: with the released map also the released held-out parts.
        window_hu: of CC-CCII's 8-bit pictures; None where the files hold Hounsfield units.
        leave_out_absent: whether scans that a list names and the folder lacks are left out instead of refused.
    """

    task: Task
    folder: Path
    share: Share = 100
    lists: Path | None = None
    label_map: LabelMap = "corrected"
    window_hu: tuple[float, float] | None = None
    leave_out_absent: bool = False

    @property
    def column(self) -> str:
        """What a table calls it."""
        return f"{self.task} {self.share} %"

    @property
    def synthetic(self) -> bool:
        """Whether the scans are phantoms."""
        return (self.folder / SETTINGS_FILE).is_file()


def task_data(where: TaskData, *, learned: bool = True) -> LabelledSet:
    """Read the tables of a task; no scan is opened.

    Args:
        where: its scans are.
        learned: whether it is trained on; otherwise it is only tested on.

    Raises:
        UnknownDataSet: the folder is not the set's, or a list is missing.
        UnreadableFile: a table is no text, or scans of a list are absent.
        NothingToLearnFrom: no scan to train on, or none to test on.
    """
    if where.lists is None:
        found = split_lists.share_by_seed(_read(where, None), where.share)
    else:
        listed = split_lists.read_lists(where.lists, _FOLDERS[where.task], where.share)
        whole = _read(where, Path(listed.source))
        found = split_lists.by_lists(whole, listed, absent="leave out" if where.leave_out_absent else "refuse")
    train, test = len(found.of("train")), len(found.of("test"))
    if not test or (learned and not train):
        raise NothingToLearnFrom(
            f"{found.name} has {train} scans to train on and {test} to test on.",
            hint="Give a larger --share, or other lists.",
        )
    return found


def _read(where: TaskData, lists: Path | None) -> LabelledSet:
    match where.task:
        case "ct-rate":
            return read_ct_rate_labels(where.folder)
        case "rad-chestct":
            held_out = _HELD_OUT[where.label_map]
            return read_rad_chestct(where.folder, label_map=where.label_map, held_out=held_out)
        case "cc-ccii":
            return read_cc_ccii(where.folder, lists=lists, window_hu=where.window_hu)
        case "luna16":
            return read_luna16(where.folder)
