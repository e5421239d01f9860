"""The record of one written scan: everything about it that is not a voxel, and the mark that it is complete."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcrop_core.errors import UnreadableFile
from simcrop_core.phantom.layouts.settings import Split
from simcrop_core.phantom.layouts.tables import write_json_file
from simcrop_core.phantom.truth import LABELS, LOBES, Person, PhantomReport, Polarity, Size, Style

RECORD_SCHEMA = "simcrop.phantom-scan/2"
TRUTH_FOLDER = "truth"


@dataclass(frozen=True, slots=True)
class SentenceRecord:
    """One sentence and which mask it has.

    Attributes:
        text: the sentence.
        polarity: as of `simcrop_core.phantom.truth.Statement`, as are topic, side, lobe and size_mm.
        topic: see polarity.
        side: see polarity.
        lobe: see polarity.
        size_mm: see polarity.
        mask: number of its mask in the sentence file; None where there is nothing to point at.
        voxels: of that mask.
        centre_ras_mm: the middle of that mask.
    """

    text: str
    polarity: Polarity
    topic: str
    side: str
    lobe: str
    size_mm: float
    mask: int | None
    voxels: int
    centre_ras_mm: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class ScanRecord:
    """One scan of a folder of phantoms.

    Attributes:
        scan: its name, without folder and suffix.
        split: of the data set.
        seed: draws it again, with `style` and `size`.
        style: the generator.
        size: of the scan.
        person: who was drawn.
        shape: voxels of the truth's grid, axes LPS.
        spacing_mm: of that grid.
        affine: (4, 4) voxel of that grid → RAS, mm.
        present: CT-RATE's labels that were drawn, in CT-RATE's order.
        report: what is said of it.
        statements: what can be said of it, true and untrue.
        row: what the layout's tables need to know besides.
        files: every file of the scan, relative to the folder, with "/".
    """

    scan: str
    split: Split
    seed: int
    style: Style
    size: Size
    person: Person
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    affine: list[list[float]]
    present: tuple[str, ...]
    report: PhantomReport
    statements: tuple[SentenceRecord, ...]
    row: dict[str, Any]
    files: tuple[str, ...]


def write_record(folder: Path, record: ScanRecord) -> None:
    """Write the record, the last file of a scan.

    Raises:
        CannotWrite: the file cannot be written.
    """
    head = {"schema": RECORD_SCHEMA, "synthetic": True, "labels": LABELS, "lobes": LOBES}
    write_json_file(folder / TRUTH_FOLDER / f"{record.scan}.json", head | dataclasses.asdict(record))


def read_record(path: Path) -> ScanRecord:
    """Read what `write_record` wrote.

    Raises:
        UnreadableFile: missing, or not a record of this version.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["schema"] != RECORD_SCHEMA:
            raise ValueError(f"its schema is {stored['schema']}")
        fields = {field.name: stored[field.name] for field in dataclasses.fields(ScanRecord)}
        return ScanRecord(**fields | _typed(fields))
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise UnreadableFile(
            f"{path} is not the record of a phantom: {fault}.", hint="Delete it: the scan is then drawn again."
        ) from fault


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    statements = [
        SentenceRecord(**said | {"centre_ras_mm": said["centre_ras_mm"] and tuple(said["centre_ras_mm"])})
        for said in fields["statements"]
    ]
    lists = {name: tuple(fields[name]) for name in ("shape", "spacing_mm", "present", "files")}
    person, report = Person(**fields["person"]), PhantomReport(**fields["report"])
    return lists | {"person": person, "report": report, "statements": tuple(statements)}


def read_records(folder: Path) -> list[ScanRecord]:
    """All records of a folder, by seed.

    Raises:
        UnreadableFile: one of them is damaged.
    """
    records = [read_record(path) for path in (folder / TRUTH_FOLDER).glob("[!.]*.json")]
    return sorted(records, key=lambda record: record.seed)
