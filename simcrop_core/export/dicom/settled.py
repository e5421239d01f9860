"""When a DICOM object was made, and UIDs that follow from what is in it: the same content is the same bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from io import BytesIO

from highdicom import UID
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import generate_uid
from pydicom.valuerep import DA, DT, TM

from simcrop_core.errors import CannotWrite

EPOCH = "SOURCE_DATE_EPOCH"  # reproducible-builds.org: seconds since 1970, UTC
# The root below which highdicom makes up UIDs.
_ROOT = UID().rsplit(".", 1)[0] + "."
_DATES = ("InstanceCreationDate", "ContentDate")
_TIMES = ("InstanceCreationTime", "ContentTime")


def settle(made: Dataset, *, refers_to: Iterable[Dataset]) -> None:
    """Give a new object its time of making, then UIDs of its own that are a sum of everything in it.

    So two objects have the same UID where they are the same in every byte, and nowhere else. The time is now, and with
    it the UIDs are new each run; or it is that of SOURCE_DATE_EPOCH, and then the same run makes the same bytes.

    Args:
        made: by highdicom, with UIDs that it made up: its own series and instance, its segments' and dimensions'.
        refers_to: images and objects whose UIDs it must go on naming.

    Raises:
        CannotWrite: SOURCE_DATE_EPOCH is no time.
    """
    _date(made, time_of_making())
    foreign = {uid for dataset in refers_to for uid in _uids(dataset)}
    own = [uid for uid in dict.fromkeys(_uids(made)) if uid.startswith(_ROOT) and uid not in foreign]
    # Numbered first, so that what highdicom made up does not go into the sum.
    numbered = {uid: f"{_ROOT}{number}" for number, uid in enumerate(own)}
    _rename(made, numbered)
    content = BytesIO()
    made.save_as(content)
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    _rename(made, {uid: generate_uid(prefix=_ROOT, entropy_srcs=[digest, uid]) for uid in numbered.values()})


def time_of_making() -> datetime:
    """Now, in local time; or in UTC the time that SOURCE_DATE_EPOCH names.

    Raises:
        CannotWrite: it names none.
    """
    stated = os.environ.get(EPOCH, "")
    if not stated:
        return datetime.now()
    try:
        return datetime.fromtimestamp(int(stated), UTC)
    except (ValueError, OverflowError, OSError) as fault:
        raise CannotWrite(
            f"{EPOCH} is {stated!r}, which is no time.", hint="Set it to seconds since 1970, or unset it."
        ) from fault


def _date(made: Dataset, moment: datetime) -> None:
    """Write the time of making wherever highdicom wrote it, which names itself as equipment that contributed."""
    for keywords, value in ((_DATES, DA(moment.date())), (_TIMES, TM(moment.time()))):
        for keyword in keywords:
            if keyword in made:
                setattr(made, keyword, value)
    for equipment in made.get("ContributingEquipmentSequence", ()):
        if equipment.get("ManufacturerModelName") == "highdicom":
            equipment.ContributionDateTime = DT(moment)


def _uids(dataset: Dataset) -> Iterator[str]:
    """Every UID in a dataset, at any depth, in order."""
    for element in dataset.iterall():
        if element.VR == "UI" and element.value:
            yield from map(str, element.value if isinstance(element.value, MultiValue | list) else [element.value])


def _rename(made: Dataset, names: Mapping[str, str]) -> None:
    """Replace UIDs wherever they stand."""
    for element in made.iterall():
        if element.VR == "UI" and element.value in names:
            element.value = names[element.value]
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
