"""One model over all scans, one small file a scan: stopped anywhere, the same call goes on at the scan it was at."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simcrop_core.errors import SimCroPError
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.session import Session
from simcrop_training.datasets.study import LeftOut
from simcrop_training.evaluate.grounding_benchmark.audit import Moved, audited
from simcrop_training.evaluate.grounding_benchmark.audit_tables import Move
from simcrop_training.evaluate.grounding_benchmark.cases import MaskedScan, MaskedSet
from simcrop_training.evaluate.grounding_benchmark.controls import Others, partners
from simcrop_training.evaluate.grounding_benchmark.encoded import encoded, is_encoded, load_encoded, save_encoded
from simcrop_training.evaluate.grounding_benchmark.masks import read_regions
from simcrop_training.evaluate.grounding_benchmark.measure import Measured, measured
from simcrop_training.evaluate.grounding_benchmark.tables import Asked
from simcrop_training.evaluate.written import write_json
from simcrop_training.prepare.volume import checked_scan

# What is kept of the same files and weights changes with it.
VERSION = 1
SCANS = "scans"
_HASH = 12
_log = logging.getLogger("simcrop_training")


@dataclass(frozen=True, slots=True)
class Work:
    """One model and where its files are.

    Attributes:
        engine: the model.
        sha256: of its weights.
        folder: of what is kept, by scan.
    """

    engine: Engine
    sha256: str
    folder: Path

    @classmethod
    def of(cls, engine: Engine, hashes: Mapping[str, str], output: Path) -> Work:
        """In a folder of their own below `output`; image and text encoder are loaded.

        Raises:
            SimCroPError: they cannot be, whichever scan they would be asked about.
        """
        engine.embed(["Lung."])
        sha256 = hashlib.sha256(json.dumps(dict(sorted(hashes.items()))).encode()).hexdigest()
        return cls(engine, sha256, output / SCANS / sha256[:_HASH])

    def path(self, scan: MaskedScan, what: str) -> Path:
        """Of one scan's file."""
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", scan.name).strip("-")[-80:]
        return self.folder / f"{plain}-{hashlib.sha256(scan.name.encode()).hexdigest()[:8]}.{what}"

    def fingerprint(self, scan: MaskedScan, *more: str) -> str:
        """What decides a file's content: weights, sentences, and size and time of scan and masks."""
        files = [(path.stat().st_size, path.stat().st_mtime_ns) for path in scan.files]
        asked = [(s.text, s.kind, s.number) for s in scan.sentences]
        told = json.dumps([VERSION, self.sha256, scan.name, scan.patient, files, asked, more])
        return hashlib.sha256(told.encode()).hexdigest()


def grounded(work: Work, data: MaskedSet) -> tuple[list[Asked], list[LeftOut]]:
    """Every sentence measured, and the scans that could not be read.

    Scans are encoded first, since every one is a control of the others.

    Raises:
        CannotWrite: what is kept cannot be written.
    """
    skipped: list[LeftOut] = []
    kept = [scan for number, scan in enumerate(data.scans, start=1) if _encoded(work, scan, number, data, skipped)]
    others = Others({scan.name: work.path(scan, "npz") for scan in kept}, {scan.name: scan.patient for scan in kept})
    everyone = hashlib.sha256("".join(work.fingerprint(scan) for scan in kept).encode()).hexdigest()
    asked: list[Asked] = []
    for number, scan in enumerate(kept, start=1):
        path, fingerprint = work.path(scan, "ground.json"), work.fingerprint(scan, everyone)
        rows = _read(path, fingerprint)
        if rows is None:
            try:
                rows = [asdict(row) for row in _measured(work, scan, others)]
            except SimCroPError as fault:
                _skip(scan, fault, skipped)
                continue
            _write(path, fingerprint, rows)
        asked += [Asked(scan.name, scan.patient, _sentence(row)) for row in rows]
        _log.info("%d of %d measured: %s", number, len(kept), scan.name)
    return asked, skipped


def _encoded(work: Work, scan: MaskedScan, number: int, data: MaskedSet, skipped: list[LeftOut]) -> bool:
    path, fingerprint = work.path(scan, "npz"), work.fingerprint(scan)
    if not is_encoded(path, fingerprint):
        try:
            known = encoded(_session(work, scan), [s.text for s in scan.sentences])
        except SimCroPError as fault:
            _skip(scan, fault, skipped)
            return False
        save_encoded(path, known, fingerprint)
    _log.info("%d of %d encoded: %s", number, len(data.scans), scan.name)
    return True


def _measured(work: Work, scan: MaskedScan, others: Others) -> list[Measured]:
    known = load_encoded(work.path(scan, "npz"))
    regions = read_regions(scan, checked_scan(scan.source)[0])
    kinds = [sentence.kind for sentence in scan.sentences]
    return measured(known, regions, kinds, others.guesses(scan.name, known), work.engine.colour_scale.low)


def all_audited(work: Work, data: MaskedSet) -> tuple[list[Move], list[LeftOut]]:
    """Every change to every sentence, and the scans that could not be read.

    Raises:
        CannotWrite: what is kept cannot be written.
    """
    skipped: list[LeftOut] = []
    opened = _Opened(work, skipped)
    scans = {scan.name: scan for scan in data.scans}
    next_of = partners(list(scans), {name: scan.patient for name, scan in scans.items()})
    moved: list[Move] = []
    for number, scan in enumerate(data.scans, start=1):
        partner = next_of[scan.name]
        other = () if partner is None else (work.fingerprint(scans[partner]),)
        path, fingerprint = work.path(scan, "audit.json"), work.fingerprint(scan, *other)
        rows = _read(path, fingerprint)
        if rows is None:
            session = opened.session(scan)
            if session is None:
                continue
            beside = None if partner is None else opened.session(scans[partner])
            try:
                regions = read_regions(scan, session.volume)
                rows = [
                    asdict(m) for m in audited(scan.name, session, [s.text for s in scan.sentences], regions, beside)
                ]
            except SimCroPError as fault:
                _skip(scan, fault, skipped)
                continue
            _write(path, fingerprint, rows)
        moved += [Move(scan.name, scan.patient, Moved(**_numbers(row))) for row in rows]
        _log.info("%d of %d audited: %s", number, len(data.scans), scan.name)
    return moved, skipped


class _Opened:
    """The last two scans, since each is the next one's neighbour; those that cannot be read are noted once."""

    def __init__(self, work: Work, skipped: list[LeftOut]) -> None:
        self._work, self._skipped = work, skipped
        self._sessions: dict[str, Session | None] = {}

    def session(self, scan: MaskedScan) -> Session | None:
        if scan.name not in self._sessions and not any(note.name == scan.name for note in self._skipped):
            while len(self._sessions) > 1:
                self._sessions.pop(next(iter(self._sessions)))
            try:
                session = _session(self._work, scan)
                session.encode()
                self._sessions[scan.name] = session
            except SimCroPError as fault:
                _skip(scan, fault, self._skipped)
        return self._sessions.get(scan.name)


def _session(work: Work, scan: MaskedScan) -> Session:
    volume, passport = checked_scan(scan.source)
    return Session(volume, list(passport), work.engine)


def _skip(scan: MaskedScan, fault: SimCroPError, skipped: list[LeftOut]) -> None:
    skipped.append(LeftOut(scan.name, fault.code, fault.message))
    _log.warning("%s is skipped: %s (%s)", scan.name, fault.message, fault.code)


def _read(path: Path, fingerprint: str) -> list[dict[str, Any]] | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        rows: list[dict[str, Any]] = kept["rows"]
        return rows if kept["fingerprint"] == fingerprint else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, fingerprint: str, rows: Sequence[Mapping[str, Any]]) -> None:
    write_json(path, {"fingerprint": fingerprint, "rows": list(rows)})


def _sentence(row: Mapping[str, Any]) -> Measured:
    rows = {name: _numbers(figures) for name, figures in row["rows"].items()}
    return Measured(**{**row, "rows": rows})


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """NaN again where there was none."""
    return {key: math.nan if value is None else value for key, value in row.items()}
