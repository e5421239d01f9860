"""The demo: fetch, ground, segment, measure, and write one page."""

from __future__ import annotations

import time
from pathlib import Path

from simcrop_core.demo.case import DemoCase, real_case, synthetic_case
from simcrop_core.demo.measure import dice, distance_mm
from simcrop_core.demo.result import DemoPeak, DemoResult
from simcrop_core.errors import DownloadFailed
from simcrop_core.export.folder import write_grounding
from simcrop_core.export.nifti import write_labelmap
from simcrop_core.export.provenance import facts_of
from simcrop_core.imaging.passport import check
from simcrop_core.inference.baselines import LUNG_NAMES, lung_centre_ras_mm, threshold_lungs
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.segmentation import Labelmap
from simcrop_core.inference.session import Session
from simcrop_core.progress import Job
from simcrop_core.results import DeviceName, SentenceResult
from simcrop_core.text.report import parse_sentence


def run_demo(folder: Path, *, synthetic: bool, device: DeviceName, job: Job) -> DemoResult:
    """Run the main job on a scan whose truth is known.

    Args:
        folder: for the results; made if it is not there.
        synthetic: use the drawn chest even where the real one could be had.
        device: where to compute.
        job: told of every stage.
    """
    warnings: list[str] = []
    case = synthetic_case() if synthetic else _real_if_in_reach(job, warnings)
    start = time.perf_counter()
    volume, passport = check(case.volume)
    session = Session(volume, passport, Engine(device=device))
    session.warnings += warnings
    grounded = session.ground([parse_sentence(sentence.text) for sentence in case.sentences], job)
    labels = session.segment("chest", job)
    output = folder / "chest.nii.gz"
    segmentation = session.segment_result(labels, output)
    write_labelmap(output, labels.voxels, labels.affine, labels.names, facts=facts_of(segmentation))
    written = write_grounding(
        folder,
        session.volume,
        grounded.result,
        grounded.heatmaps,
        session.engine.colour_scale,
        segmentation=segmentation,
        attribution=case.attribution,
        job=job,
    )
    seconds = time.perf_counter() - start
    return DemoResult(
        scan=session.volume.name,
        synthetic=case.synthetic,
        grounding=written,
        segmentation=segmentation,
        peaks=_peaks(case, session, written.sentences),
        dice=_dice(case, labels),
        attribution=case.attribution,
        page=str(folder / "report.html"),
        seconds=round(seconds, 1),
    )


def _real_if_in_reach(job: Job, warnings: list[str]) -> DemoCase:
    try:
        return real_case(job)
    except DownloadFailed as fault:
        warnings.append(f"{fault.message} {fault.hint} A synthetic chest is used instead.")
        return synthetic_case()


def _peaks(case: DemoCase, session: Session, sentences: list[SentenceResult]) -> list[DemoPeak]:
    lungs = session.frame.lungs
    assert lungs is not None, "a scan without lungs was refused before it was encoded"
    guess = lung_centre_ras_mm(lungs)
    rows = []
    for asked, found in zip(case.sentences, sentences, strict=True):
        distance = prior = None
        if asked.target is not None:
            mask = case.masks[asked.target]
            prior = round(distance_mm(guess, mask, case.volume.affine), 1)
            if found.peak_ras_mm is not None:
                distance = round(distance_mm(found.peak_ras_mm, mask, case.volume.affine), 1)
        rows.append(DemoPeak(asked.text, asked.target, found.evidence, distance, prior))
    return rows


def _dice(case: DemoCase, labels: Labelmap) -> dict[str, dict[str, float]]:
    """Dice a label, and of the threshold baseline where it has the label too."""
    overlaps = {
        name: {"simcrop": round(dice(labels.voxels == value, case.masks[name]), 3)}
        for value, name in labels.names.items()
        if name in case.masks
    }
    threshold = threshold_lungs(case.volume)
    if threshold is not None:
        for value, name in LUNG_NAMES.items():
            overlaps[name]["threshold"] = round(dice(threshold.voxels == value, case.masks[name]), 3)
    return overlaps
