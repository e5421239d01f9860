"""Phantoms into a folder: drawn, written and tabled; the same call goes on where it was stopped."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from simcrop_core.phantom.draw import draw_phantom
from simcrop_core.phantom.layouts.catalogue import LAYOUTS
from simcrop_core.phantom.layouts.orientation import oriented
from simcrop_core.phantom.layouts.record import TRUTH_FOLDER, ScanRecord, read_records, write_record
from simcrop_core.phantom.layouts.settings import SETTINGS_FILE, Settings, claim_folder
from simcrop_core.phantom.layouts.truth_files import write_truth
from simcrop_core.phantom.result import PhantomResult, PhantomScan
from simcrop_core.phantom.truth import Phantom
from simcrop_core.processes import over_processes
from simcrop_core.progress import Job
from simcrop_core.text.ct_rate import CT_RATE_LABELS

STAGE = "Drawing phantoms"
# No scan takes as long to write: what is older was left by a run that was killed.
_ABANDONED_S = 3600.0
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}(\..+)?")


def write_phantoms(
    folder: Path, settings: Settings, seeds: Sequence[int], *, workers: int = 1, job: Job | None = None
) -> PhantomResult:
    """Draw phantoms into a folder, in the form of a data set, and write its tables about all that it holds.

    A scan whose record and files are all there is not drawn again.

    Args:
        folder: new, or made by an earlier call with the same settings.
        settings: layout, style and size.
        seeds: which phantoms.
        workers: processes side by side.
        job: told of every scan.

    Returns:
        What is there now, by seed.

    Raises:
        CannotWrite: the folder is not one of ours, or a file cannot be written; no half file is left.
        UnreadableFile: a record is damaged.
        OutOfMemory: a worker was ended by the system.
        Cancelled: `job` was asked to stop; what was written stays.
    """
    job = job or Job()
    began = time.perf_counter()
    claim_folder(folder, settings)
    _remove_abandoned(folder)
    complete = {r.seed for r in read_records(folder) if all((folder / file).is_file() for file in r.files)}
    missing = [seed for seed in seeds if seed not in complete]
    job.step(STAGE, 0, len(missing))
    # Closed here and now, so that a stop does not leave workers drawing.
    with contextlib.closing(over_processes(partial(write_phantom, folder, settings), missing, workers)) as written:
        for done, _ in enumerate(written, start=1):
            job.step(STAGE, done, len(missing))
    records = read_records(folder)
    tables = LAYOUTS[settings.layout].write_tables(folder, settings, records)
    return PhantomResult(
        folder=str(folder),
        layout=settings.layout,
        style=settings.style,
        size=settings.size,
        drawn=len(missing),
        skipped=len(seeds) - len(missing),
        held=len(records),
        labels={label: sum(label in record.present for record in records) for label in CT_RATE_LABELS},
        scans=[_summary(record) for record in records if record.seed in set(seeds)],
        tables=[SETTINGS_FILE, *(path.relative_to(folder).as_posix() for path in tables)],
        seconds=round(time.perf_counter() - began, 2),
    )


def write_phantom(folder: Path, settings: Settings, seed: int) -> ScanRecord:
    """Draw one phantom and write it.

    Raises:
        CannotWrite: a file cannot be written.
    """
    return write_drawn(folder, settings, draw_phantom(seed, style=settings.style, size=settings.size))


def write_drawn(folder: Path, settings: Settings, phantom: Phantom) -> ScanRecord:
    """Write a phantom: scan, truth, and last the record.

    Raises:
        CannotWrite: a file cannot be written.
    """
    layout = LAYOUTS[settings.layout]
    scan = layout.scan_name(settings, phantom.seed)
    written = layout.write_scan(folder, scan, phantom)
    statements, truth = write_truth(folder, scan, phantom)
    files = [path.relative_to(folder).as_posix() for path in (*written.files, *truth)]
    files.append(f"{TRUTH_FOLDER}/{scan}.json")
    x, y, z = phantom.image.shape
    record = ScanRecord(
        scan=scan,
        split=settings.split(phantom.seed),
        seed=phantom.seed,
        style=settings.style,
        size=settings.size,
        person=phantom.person,
        shape=(x, y, z),
        spacing_mm=phantom.spacing_mm,
        affine=_stored_affine(phantom),
        present=tuple(label for label in CT_RATE_LABELS if label in phantom.present),
        report=phantom.report,
        statements=tuple(statements),
        row=written.row,
        files=tuple(files),
    )
    write_record(folder, record)
    return record


def _stored_affine(phantom: Phantom) -> list[list[float]]:
    affine: list[list[float]] = oriented(phantom.labels, phantom.affine, "LPS")[1].tolist()
    return affine


def _remove_abandoned(folder: Path) -> None:
    """Delete what a killed run was writing, so that nobody's search for scans finds half a file."""
    for path in [p for p in folder.rglob(".*") if _TEMPORARY.fullmatch(p.name)]:
        if time.time() - path.stat().st_mtime > _ABANDONED_S:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _summary(record: ScanRecord) -> PhantomScan:
    return PhantomScan(record.scan, record.seed, record.split, list(record.present), list(record.files))
