"""Sentences and the masks of what they mean: ReXGroundingCT, or a table of one's own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from simcrop_core.errors import UnknownDataSet, UnreadableFile
from simcrop_core.models.checksum import sha256_of
from simcrop_core.phantom.layouts.settings import NOTICE
from simcrop_training.datasets.ct_rate import is_ct_rate, read_ct_rate
from simcrop_training.datasets.ct_rate_names import parse_scan_name
from simcrop_training.datasets.rexgrounding import INDEX, finding_masks, is_rexgrounding
from simcrop_training.datasets.study import DataSet, FindingMasks, LeftOut, SourceVolume
from simcrop_training.datasets.tables import read_table

COLUMNS = ("scan", "sentence", "mask")
Wanted = Literal["train", "valid", "test", "all"]
_SPLITS = {"": "valid", "train": "train", "valid": "valid", "val": "valid", "test": "test"}
_NAMED = 10


@dataclass(frozen=True, slots=True)
class MaskedSentence:
    """A sentence and where its mask is.

    Attributes:
        text: the sentence.
        kind: of finding; "" where the data do not say.
        mask: NIfTI file.
        number: 4D: which finding, from 0; 3D: which label. None: 3D, everything above 0.
    """

    text: str
    kind: str
    mask: Path
    number: int | None


@dataclass(frozen=True, slots=True)
class MaskedScan:
    """A scan with its sentences.

    Attributes:
        name: unique in the set.
        patient: who was scanned.
        source: how the scan is read.
        sentences: in the order of the data.
        findings: how many a 4D mask file must hold; None where any number will do.
    """

    name: str
    patient: str
    source: SourceVolume
    sentences: tuple[MaskedSentence, ...]
    findings: int | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The scan, then its masks."""
        return self.source.path, *dict.fromkeys(sentence.mask for sentence in self.sentences)


@dataclass(frozen=True, slots=True)
class MaskedSet:
    """What is asked of models; no scan and no mask was opened.

    Attributes:
        name: of the set.
        table: the file that lists it.
        scans: by name.
        left_out: scans that are not used.
        notice: what a reader of figures must know; "" where there is nothing.
    """

    name: str
    table: Path
    scans: tuple[MaskedScan, ...]
    left_out: tuple[LeftOut, ...] = ()
    notice: str = ""

    def identity(self) -> dict[str, object]:
        """Counts, and hashes of the table and of the names, texts and file sizes of all that is asked."""
        told = [
            [scan.name, [path.stat().st_size for path in scan.files if path.is_file()]]
            + [[s.text, s.kind, s.number] for s in scan.sentences]
            for scan in self.scans
        ]
        return {
            "name": self.name,
            "scans": len(self.scans),
            "sentences": sum(len(scan.sentences) for scan in self.scans),
            "left_out": len(self.left_out),
            "table_sha256": sha256_of(self.table),
            "sha256": hashlib.sha256(json.dumps(told).encode()).hexdigest(),
        }


def read_masked(source: Path, split: Wanted = "valid", limit: int | None = None) -> MaskedSet:
    """What is to be asked, by the tables alone.

    Args:
        source: a folder with ReXGroundingCT's `dataset.json` and `segmentations` and CT-RATE's `dataset`; or a CSV file
            with the columns scan, sentence, mask, and optionally index, kind, patient, split.
        split: which scans; a table without that column is all "valid".
        limit: the first so many.

    Raises:
        UnknownDataSet: it is neither, or a row makes no sense.
        UnreadableFile: a table cannot be read.
    """
    if source.is_dir() and is_rexgrounding(source) and is_ct_rate(source):
        data = read_ct_rate(source)
        name, table, notice = f"ReXGroundingCT on {data.name}", source / INDEX, NOTICE if data.terms == NOTICE else ""
        scans, left_out = _of_rexgrounding(source, data, split)
    elif source.is_file():
        name, table, notice, left_out = source.stem, source, "", []
        scans = _of_table(source, split)
    else:
        raise UnknownDataSet(
            f"{source} holds no sentences with masks.",
            hint="Give a folder with dataset.json, segmentations and CT-RATE's dataset, or a CSV file "
            f"with the columns {', '.join(COLUMNS)}.",
        )
    if not scans:
        raise UnknownDataSet(f"{source} has no scan with masks in the split {split}.", hint="Choose another --split.")
    return MaskedSet(name, table, tuple(scans[:limit]), tuple(left_out), notice)


def without_missing(data: MaskedSet, *, skip: bool) -> MaskedSet:
    """The scans of which every file is there.

    Args:
        data: what is asked.
        skip: leave the others out, instead of stopping before anything is computed.

    Raises:
        UnreadableFile: files are missing and are not to be skipped; the first ten are named.
    """
    absent = [(scan, path) for scan in data.scans for path in scan.files if not path.exists()]
    if absent and not skip:
        named = ", ".join(str(path) for _, path in absent[:_NAMED])
        more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
        raise UnreadableFile(
            f"{len(absent)} files are not there: {named}{more}.",
            hint="Fetch them, or go on without their scans: --missing skip.",
        )
    gone = {scan.name: path for scan, path in reversed(absent)}
    kept = tuple(scan for scan in data.scans if scan.name not in gone)
    if not kept:
        raise UnreadableFile("Of every scan a file is missing.", hint="Fetch scans and masks first.")
    notes = [LeftOut(name, "no-file", f"There is no {path}.") for name, path in gone.items()]
    return dataclasses.replace(data, scans=kept, left_out=(*data.left_out, *notes))


def _of_rexgrounding(folder: Path, data: DataSet, split: Wanted) -> tuple[list[MaskedScan], list[LeftOut]]:
    volumes = {volume.name: (study, volume) for study in data.studies for volume in study.volumes}
    ruled_out = {note.name: note for note in data.left_out}
    scans, left_out = [], []
    for name, masks in sorted(finding_masks(folder).items()):
        if split not in ("all", masks.split):
            continue
        if name in volumes:
            study, volume = volumes[name]
            scans.append(MaskedScan(name, study.patient, volume, _sentences(masks), len(masks.texts)))
        elif name in ruled_out and ruled_out[name].code != "no-file":
            left_out.append(ruled_out[name])
        else:
            # Where it would be: so that it is named with the other missing files.
            scans.append(_absent(folder, name, masks))
    return scans, left_out


def _sentences(masks: FindingMasks) -> tuple[MaskedSentence, ...]:
    told = zip(masks.texts, masks.topics, strict=True)
    return tuple(MaskedSentence(text, kind, masks.path, number) for number, (text, kind) in enumerate(told))


def _absent(folder: Path, name: str, masks: FindingMasks) -> MaskedScan:
    scan = parse_scan_name(f"{name}.nii.gz")
    assert scan is not None, "the index's names were parsed"
    path = folder / "dataset" / f"{scan.split}_fixed" / scan.folders[0] / scan.file_name
    return MaskedScan(name, scan.patient_key, SourceVolume(name, path), _sentences(masks), len(masks.texts))


def _of_table(table: Path, split: Wanted) -> list[MaskedScan]:
    rows: dict[str, list[Mapping[str, str]]] = {}
    for number, row in enumerate(read_table(table, COLUMNS), start=1):
        row = {column: value.strip() for column, value in row.items()}
        where = f"Row {number} of {table}"
        empty = [column for column in COLUMNS if not row[column]]
        if empty:
            raise UnknownDataSet(f"{where} has no {', '.join(empty)}.", hint="Every row needs all three.")
        if row.get("split", "") not in _SPLITS:
            raise UnknownDataSet(f"{where} has the split {row['split']!r}.", hint="It is train, valid or test.")
        if not (row.get("index") or "0").isdecimal():
            raise UnknownDataSet(f"{where} has the index {row['index']!r}.", hint="Give a whole number, from 0.")
        if split in ("all", _SPLITS[row.get("split", "")]):
            rows.setdefault(row["scan"], []).append(row)
    return list(_grouped(table.parent, rows))


def _grouped(folder: Path, rows: Mapping[str, Sequence[Mapping[str, str]]]) -> Iterator[MaskedScan]:
    for name in sorted(rows):
        sentences = tuple(
            MaskedSentence(
                row["sentence"],
                row.get("kind", ""),
                folder / row["mask"],
                int(row["index"]) if row.get("index") else None,
            )
            for row in rows[name]
        )
        yield MaskedScan(name, rows[name][0].get("patient") or name, SourceVolume(name, folder / name), sentences)
