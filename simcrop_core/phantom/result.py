"""The contract of `simcrop phantom` (docs/schema/phantom.json)."""

from __future__ import annotations

from dataclasses import dataclass

PHANTOM_SCHEMA = "simcrop.phantom/1"


@dataclass(frozen=True, slots=True)
class PhantomScan:
    """One synthetic scan in a folder of phantoms.

    Attributes:
        scan: its name.
        seed: draws it again.
        split: "train", or "valid" where it is held out.
        present: CT-RATE's labels that were drawn in it.
        files: its files, relative to the folder, with "/".
    """

    scan: str
    seed: int
    split: str
    present: list[str]
    files: list[str]


@dataclass(frozen=True, slots=True)
class PhantomResult:
    """What `simcrop phantom --json` prints.

    Attributes:
        folder: as it was given.
        layout: the data set whose form was written.
        style: the generator.
        size: "frame" or "full".
        drawn: scans that this run drew.
        skipped: scans of this run that were complete already.
        held: scans that the folder holds, which are those in its tables.
        labels: CT-RATE's labels → how many of these scans have it drawn.
        scans: those of this run, by seed.
        tables: tables and lists of the folder, relative to it.
        seconds: of the whole run.
        synthetic: always true: nothing of it was scanned.
    """

    folder: str
    layout: str
    style: str
    size: str
    drawn: int
    skipped: int
    held: int
    labels: dict[str, int]
    scans: list[PhantomScan]
    tables: list[str]
    seconds: float
    synthetic: bool = True
    schema: str = PHANTOM_SCHEMA
