"""What a probe answered about test scans, written once, and how well it did."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcrop_core.export.atomic import replacing
from simcrop_training.datasets.labelled import UNKNOWN, LabelledScan
from simcrop_training.datasets.study import LeftOut
from simcrop_training.evaluate.identity import AnotherRun, differences
from simcrop_training.evaluate.statistics import weighted_aurocs
from simcrop_training.evaluate.written import write_json

PROTOCOL, PREDICTIONS = "protocol.json", "predictions.npz"
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Probabilities for test scans beside the truth.

    Attributes:
        names: of the scans.
        patients: whose each is.
        probabilities_BL: of labels, or of classes; NaN where nothing could be learned of a label.
        truth_BL: 0, 1 or −1 by label; (B, 1) class indices.
        skipped: test scans that could not be read.
    """

    names: tuple[str, ...]
    patients: tuple[str, ...]
    probabilities_BL: Floats
    truth_BL: Ints
    skipped: tuple[LeftOut, ...] = ()


def truth_of(scans: Sequence[LabelledScan]) -> Ints:
    """(B, L) labels of scans, or (B, 1) classes."""
    return np.array([scan.labels for scan in scans], dtype=np.int64).reshape(len(scans), -1)


def by_label(classes_B1: Ints, count: int) -> Ints:
    """(B, L) 1 in the column of each scan's class."""
    columns_BL: Ints = (classes_B1 == np.arange(count)).astype(np.int64)
    return columns_BL


def score(probabilities_BL: Floats, truth_BL: Ints, *, classes: bool) -> float:
    """What a probe is chosen by: accuracy of classes, or the mean area under the ROC curve over labels that have one.

    NaN where there is nothing to measure it on.
    """
    if classes:
        measurable = len(truth_BL) > 0 and bool(np.isfinite(probabilities_BL).all())
        return float((probabilities_BL.argmax(axis=1) == truth_BL[:, 0]).mean()) if measurable else float("nan")
    areas = []
    for scores_B, truth_B in zip(probabilities_BL.T, truth_BL.T, strict=True):
        known_B = (truth_B != UNKNOWN) & np.isfinite(scores_B)
        ones_1B = np.ones((1, int(known_B.sum())))
        areas.append(float(weighted_aurocs(scores_B[known_B], truth_B[known_B] == 1, ones_1B)[0]))
    measured = [area for area in areas if np.isfinite(area)]
    return float(np.mean(measured)) if measured else float("nan")


def on_common_scans(answers: Mapping[str, Predictions], labels: int) -> tuple[dict[str, Floats], Ints]:
    """(B, L) probabilities of each model about the scans that all of them were asked about, and (B, L) their truth.

    Args:
        answers: by model; at least one.
        labels: how many, or how many classes, each of which is set against all others.
    """
    first = next(iter(answers.values()))
    everywhere = set.intersection(*(set(its.names) for its in answers.values()))
    names = [name for name in first.names if name in everywhere]

    def rows(its: Predictions) -> list[int]:
        places = {name: place for place, name in enumerate(its.names)}
        return [places[name] for name in names]

    truth_BL = first.truth_BL[rows(first)]
    if truth_BL.shape[1] != labels:
        truth_BL = by_label(truth_BL, labels)
    return {model: its.probabilities_BL[rows(its)] for model, its in answers.items()}, truth_BL


def listed(scans: Sequence[LabelledScan]) -> str:
    """How many scans, and a hash of their names and labels in order: what says in a protocol which they were."""
    digest = hashlib.sha256(json.dumps([(scan.name, scan.patient, scan.labels) for scan in scans]).encode())
    return f"{len(scans)} scans ({digest.hexdigest()[:12]})"


def require_protocol(folder: Path, protocol: Mapping[str, Any]) -> None:
    """See that a folder holds nothing of another protocol, and write this one down.

    Raises:
        AnotherRun: it does: other weights, scans, settings or seed.
        CannotWrite: the folder is not writable.
    """
    path = folder / PROTOCOL
    asked = json.loads(json.dumps(protocol))
    if path.is_file():
        differing = differences(json.loads(path.read_text(encoding="utf-8")), asked)
        if differing:
            raise _refused(folder, "; ".join(differing))
        return
    write_json(path, asked)


def predicted_once(folder: Path, protocol: Mapping[str, Any], predict: Callable[[], Predictions]) -> Predictions:
    """The test predictions of a protocol: made the first time, read ever after.

    Args:
        folder: of this protocol alone.
        protocol: everything that the predictions follow from.
        predict: looks at the test scans.

    Raises:
        AnotherRun: the folder holds those of another protocol.
        CannotWrite: the folder is not writable.
    """
    require_protocol(folder, protocol)
    path, key = folder / PREDICTIONS, _key(protocol)
    if path.is_file():
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["protocol"]) != key:
                raise _refused(folder, f"{PREDICTIONS} follow from another protocol")
            skipped = tuple(LeftOut(*note) for note in kept["skipped"].tolist())
            names, patients = (tuple(kept[key].tolist()) for key in ("names", "patients"))
            return Predictions(names, patients, kept["probabilities"], kept["truth"], skipped)
    made = predict()
    with replacing(path) as temporary:
        np.savez(
            temporary,
            protocol=np.array(key),
            names=np.array(made.names, dtype=np.str_),
            patients=np.array(made.patients, dtype=np.str_),
            probabilities=made.probabilities_BL,
            truth=made.truth_BL,
            skipped=np.array([(n.name, n.code, n.reason) for n in made.skipped], dtype=np.str_).reshape(-1, 3),
        )
    return made


def _key(protocol: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()


def _refused(folder: Path, why: str) -> AnotherRun:
    return AnotherRun(
        f"The test scans were looked at once with the protocol in {folder}: {why}.",
        hint="Give another --output: a protocol changed after looking would be chosen by the test scans.",
    )
