"""Which scans a protocol trains on, chooses by and tests on, from a Decathlon-style JSON or a data set's folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcrop_core.errors import UnknownDataSet
from simcrop_core.phantom.layouts.settings import SETTINGS_FILE
from simcrop_training.datasets import btcv, luna16
from simcrop_training.datasets.btcv import read_btcv, read_decathlon
from simcrop_training.datasets.labelled import LabelledScan, LabelledSet
from simcrop_training.datasets.lists import Percent, share_by_seed, split_by_seed
from simcrop_training.datasets.luna16 import read_luna16_lungs
from simcrop_training.datasets.study import LeftOut
from simcrop_training.evaluate.segmenting.presets import PresetName, TaskName

HELD_OUT = 0.2
_TERMS: Mapping[TaskName, str] = {"luna16": luna16.TERMS, "btcv": btcv.TERMS}
_LUNG_NAMES = ("background", "left lung", "right lung", "trachea")


@dataclass(frozen=True, slots=True)
class Splits:
    """The scans of a protocol.

    Attributes:
        name: of the set.
        labels: by class, background first.
        train: to train on.
        valid: to choose the checkpoint by; of `official` they may be the test scans, as in the released lists.
        test: to score.
        left_out: scans that are not used.
        remarks: what a reader of the figures has to know.
        synthetic: whether the scans are phantoms.
        terms: of the scans; empty where nobody says.
    """

    name: str
    labels: tuple[str, ...]
    train: tuple[LabelledScan, ...]
    valid: tuple[LabelledScan, ...]
    test: tuple[LabelledScan, ...]
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()
    synthetic: bool = False
    terms: str = ""

    def described(self) -> dict[str, object]:
        """For a manifest: counts, and a hash of the names by split and label."""
        by_split = {split: [s.name for s in getattr(self, split)] for split in ("train", "valid", "test")}
        said = json.dumps([self.labels, by_split]).encode()
        counts = {split: len(names) for split, names in by_split.items()}
        return {"name": self.name, "synthetic": self.synthetic, **counts, "sha256": hashlib.sha256(said).hexdigest()}


def read_scans(source: Path, task: TaskName | None, data: Path | None = None) -> tuple[LabelledSet, bool]:
    """A set with label maps, as its list tells; no scan is opened.

    Args:
        source: a JSON in the Medical Decathlon's form, or the folder of LUNA16 or BTCV as they are distributed.
        task: which of the two a folder is; of a JSON, what its labels are called where it does not say.
        data: the folder that a JSON's paths are relative to; its own if None.

    Returns:
        The set, and whether it holds phantoms.

    Raises:
        UnknownDataSet: it is none of them.
        UnreadableFile: the JSON cannot be read.
    """
    folder = source if source.is_dir() else data or source.parent
    synthetic = (folder / SETTINGS_FILE).is_file()
    if not source.is_dir():
        return _read_json(source, task, data), synthetic
    if task == "luna16":
        return read_luna16_lungs(source), synthetic
    if task == "btcv":
        return read_btcv(source), synthetic
    raise UnknownDataSet(
        f"{source} is a folder, and no task says of which set.", hint="Add --task luna16 or btcv, or give a JSON list."
    )


def splits_of(
    data: LabelledSet, preset: PresetName, *, percent: Percent = 100, seed: int = 0, synthetic: bool = False
) -> Splits:
    """The scans of a protocol.

    `official` keeps the lists as they are: where validation scans are listed as test scans too they are both, and
    where only one of the two is listed it serves as the other. `clean` never chooses by a test scan: without
    validation scans of its own it holds a fifth of the training patients out, and without test scans another fifth.

    Args:
        data: the set.
        preset: the protocol's name.
        percent: of the training scans.
        seed: of what is held out, and of the share.
        synthetic: whether the scans are phantoms.

    Raises:
        UnknownDataSet: `official`, of a list without any held-out scan.
    """
    twice = {note.name for note in data.left_out if note.code == "duplicate"}
    shared = tuple(scan for scan in data.of("valid") if scan.name in twice)
    known = tuple(note for note in data.left_out if note.name not in {scan.name for scan in shared})
    data = dataclasses.replace(data, left_out=known)
    if preset == "official":
        return _as_listed(share_by_seed(data, percent, seed), shared, synthetic)
    # Of the listed validation scans those that are test scans too are for testing, and all of them where no others are.
    tested = {scan.name for scan in (shared if data.of("test") else data.of("valid"))}
    scans = tuple(
        dataclasses.replace(scan, split="test") if scan.name in tested and scan.split == "valid" else scan
        for scan in data.scans
    )
    data, remarks = dataclasses.replace(data, scans=scans), list(data.remarks)
    if not data.of("test"):
        data = split_by_seed(data, HELD_OUT, seed, into="test")
        remarks.append(f"The list holds nothing out: a fifth of its scans are the test, by seed {seed}.")
    data = share_by_seed(data, percent, seed)
    if not data.of("valid"):
        data = split_by_seed(data, HELD_OUT, seed, into="valid")
        remarks.append(f"Validation scans are a fifth of the training scans, whole patients, by seed {seed}.")
    return _without_leaks(data, tuple(remarks), synthetic)


def _as_listed(data: LabelledSet, shared: Sequence[LabelledScan], synthetic: bool) -> Splits:
    valid = data.of("valid") or data.of("test")
    test = (*shared, *data.of("test")) or valid
    if not valid:
        raise UnknownDataSet(
            f"{data.name} lists no held-out scans, by which the official protocol chooses its checkpoint.",
            hint="Add `validation` to the list, or use --preset clean, which holds scans out itself.",
        )
    remarks = list(data.remarks)
    if both := {scan.name for scan in valid} & {scan.name for scan in test}:
        remarks.append(
            f"{len(both)} of {len(valid)} validation scans are test scans: the checkpoint is chosen by what it is "
            "tested on, as in the released lists."
        )
    return Splits(
        data.name, data.labels, data.of("train"), valid, test, data.left_out, tuple(remarks), synthetic, data.terms
    )


def _without_leaks(data: LabelledSet, remarks: tuple[str, ...], synthetic: bool) -> Splits:
    """The splits, training scans of held-out patients left out."""
    held_out = {scan.patient for split in ("valid", "test") for scan in data.of(split)}
    kept = tuple(scan for scan in data.of("train") if scan.patient not in held_out)
    tested = {scan.patient for scan in data.of("test")}
    valid = tuple(scan for scan in data.of("valid") if scan.patient not in tested)
    stay = {scan.name for scan in (*kept, *valid)}
    leaks = tuple(
        LeftOut(scan.name, "patient-held-out", "Another scan of its patient is held out.")
        for scan in (*data.of("train"), *data.of("valid"))
        if scan.name not in stay
    )
    left_out = (*data.left_out, *leaks)
    return Splits(data.name, data.labels, kept, valid, data.of("test"), left_out, remarks, synthetic, data.terms)


def _read_json(path: Path, task: TaskName | None, data: Path | None) -> LabelledSet:
    """A list whose labels may have any numbers, and whose entries may say whose scan each is."""
    names = _LUNG_NAMES if task == "luna16" else ()
    read = read_decathlon(path, labels=() if _labels_in(path) else names, data=data)
    document = json.loads(path.read_text(encoding="utf-8"))
    values = tuple(sorted(map(int, _labels_in(path)))) or tuple(range(len(read.labels)))
    numbered = values == tuple(range(len(values)))
    patients = _patients(document)
    scans = tuple(
        dataclasses.replace(
            scan, patient=patients.get(scan.path.name, scan.patient), mask_values=() if numbered else values
        )
        for scan in read.scans
    )
    return dataclasses.replace(read, scans=scans, terms=_TERMS[task] if task else read.terms)


def _labels_in(path: Path) -> Mapping[str, str]:
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))["labels"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return labels if isinstance(labels, dict) else {}


def _patients(document: Mapping[str, Any]) -> dict[str, str]:
    """Patients that entries name, by the image's file name."""
    entries = [e for key in ("training", "validation", "testing", "test") for e in document.get(key, [])]
    return {Path(e["image"]).name: str(e["patient"]) for e in entries if isinstance(e, dict) and "patient" in e}
