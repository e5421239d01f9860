"""Any segmentation model against label maps, scan by scan: on the model's grid and on the scan's own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from simcrop_core.errors import CannotWrite, SimCroPError, TaskNotSupported, UnreadableFile
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.device import prepared, resolve_device
from simcrop_core.inference.segmentation import segment_volume
from simcrop_core.models.registry import WeightsFolder, resolve_weights
from simcrop_core.models.structures import Structures, each_alone
from simcrop_core.models.unetr import UNETR
from simcrop_core.models.weights import load_segmentation_model, sha256_of
from simcrop_core.phantom.layouts.tables import write_json_file
from simcrop_core.progress import Job
from simcrop_core.results import DeviceName
from simcrop_training.datasets.labelled import LabelledScan, require_files
from simcrop_training.datasets.study import LeftOut
from simcrop_training.evaluate.segmenting.datalist import Splits
from simcrop_training.evaluate.segmenting.metrics import ClassScore, class_scores, mean_dice
from simcrop_training.evaluate.segmenting.presets import Protocol
from simcrop_training.evaluate.segmenting.transforms import read_pair, resampled
from simcrop_training.evaluate.segmenting.windows import labelled_grid

_log = logging.getLogger("simcrop_training")
Labels = NDArray[np.uint8]
UNKNOWN_LABEL = "unknown-label"


@dataclass(frozen=True, slots=True)
class ScanScores:
    """One scan.

    Attributes:
        name: of the scan.
        patient: whose it is.
        classes: in the order of the labels, the background first.
    """

    name: str
    patient: str
    classes: tuple[ClassScore, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """A model on a split.

    Attributes:
        labels: that both the model and the truth have, the background first.
        scans: those that could be scored.
        left_out: those that could not, and labels that only one side knows.
    """

    labels: tuple[str, ...]
    scans: tuple[ScanScores, ...]
    left_out: tuple[LeftOut, ...]


class Scorer:
    """A segmentation model, ready to be scored by a protocol.

    Args:
        weights: name, folder or file.
        labels: of the truth, by class, background first.
        protocol: `official` labels the model's own grid, in float32; `clean` is what `simcrop segment` does.
        device: where it runs.

    Raises:
        UnknownWeights: there are none.
        TaskNotSupported: they cannot segment, or none of the labels.
        DeviceUnavailable: the machine has no such device.
    """

    def __init__(self, weights: Path | str, labels: Sequence[str], protocol: Protocol, device: DeviceName) -> None:
        folder = resolve_weights(str(weights))
        self._model, offered, self.sha256 = _loaded(folder, protocol, device)
        self._protocol = protocol
        self._common = (0, *(index for index, label in enumerate(labels) if index and label in offered))
        if len(self._common) == 1:
            raise TaskNotSupported(
                f"The weights {folder.name} know none of the labels {', '.join(labels[1:])}.",
                hint=f"They know {', '.join(offered)}; labels go by their names.",
            )
        self.labels = tuple(labels[index] for index in self._common)
        self.unknown = tuple(label for label in labels[1:] if label not in offered)
        self._count = len(labels)
        self._of_model = np.zeros(len(self._model.config.labels), np.uint8)
        self._of_truth = np.zeros(len(labels), np.uint8)
        self._of_truth[list(self._common)] = range(len(self._common))
        # A structure over its parts, then the parts: where the truth has both, a part is itself.
        for label in sorted(self.labels[1:], key=lambda label: len(offered[label]), reverse=True):
            self._of_model[list(offered[label])] = self.labels.index(label)

    def score(self, scan: LabelledScan, *, surfaces: bool) -> ScanScores:
        """One scan.

        Raises:
            SimCroPError: it cannot be read, or its label map is not its own.
            OutOfMemory: one window does not fit.
        """
        volume, truth = read_pair(scan, self._count)
        on_grid = self._on_model_grid if self._protocol.name == "official" else self._on_own_grid
        found, truth, spacing_mm = on_grid(volume, self._of_truth[truth])
        scores = class_scores(self._of_model[found], truth, len(self.labels), spacing_mm, surfaces=surfaces)
        return ScanScores(scan.name, scan.patient, scores)

    def _on_model_grid(self, volume: Volume, truth: Labels) -> tuple[Labels, Labels, tuple[float, ...]]:
        """Both on the model's grid, cropped to what is above 0 HU: where the released code measures."""
        frame = self._model.config.frame
        pair = resampled(
            volume, truth, spacing_mm=frame.spacing_mm, hu_window=frame.hu_window,
            crop_to_bone=self._protocol.crop_to_bone,
        )  # fmt: skip
        found = labelled_grid(self._model, torch.from_numpy(pair.image_HWD), self._protocol)
        return found, pair.label_HWD, frame.spacing_mm

    def _on_own_grid(self, volume: Volume, truth: Labels) -> tuple[Labels, Labels, tuple[float, ...]]:
        """Both on the scan's own voxels, by the engine."""
        labels = self._model.config.labels
        everything = each_alone(labels, range(1, len(labels)))
        found = segment_volume(self._model, volume, everything, job=Job(), warn=_log.warning)
        return found.voxels, truth, volume.spacing_mm


def score(
    weights: Path | str,
    splits: Splits,
    protocol: Protocol,
    output: Path,
    *,
    device: DeviceName = "auto",
    surfaces: bool = True,
) -> Scored:
    """Score the test scans; those with a file in the folder are not scored again.

    Args:
        weights: name, folder or file.
        splits: whose test scans.
        protocol: how they are labelled.
        output: a JSON a scan goes into its folder `scans`.
        device: where the model runs.
        surfaces: whether surfaces are measured.

    Raises:
        UnreadableFile: files are missing; no scan was opened.
        UnknownWeights, TaskNotSupported, DeviceUnavailable: as `Scorer`.
        CannotWrite: the folder is not writable or the disk is full.
    """
    require_files(splits.test)
    scorer = Scorer(weights, splits.labels, protocol, device)
    scans: list[ScanScores] = []
    left_out = [LeftOut(label, UNKNOWN_LABEL, "The weights do not give this label.") for label in scorer.unknown]
    for done, scan in enumerate(splits.test, start=1):
        file = output / "scans" / protocol.name / f"{scan.name}.json"
        key = _key(scan, scorer, protocol, surfaces)
        try:
            scored = _stored(file, key)
            if scored is None:
                scored = scorer.score(scan, surfaces=surfaces)
                write_json_file(file, {"key": key, "labels": list(scorer.labels), **as_plain(scored)})
            scans.append(scored)
            _log.info(
                "%d of %d: %s, Dice %.3f",
                done,
                len(splits.test),
                scan.name,
                mean_dice(scored.classes, background=False),
            )
        except CannotWrite:
            raise
        except SimCroPError as fault:
            _log.warning("%d of %d: %s is left out: %s", done, len(splits.test), scan.name, fault.message)
            left_out.append(LeftOut(scan.name, fault.code, fault.message))
    return Scored(scorer.labels, tuple(scans), (*splits.left_out, *left_out))


def read_scores(output: Path, protocol: Protocol) -> Scored:
    """What an earlier call of `score` wrote into a folder; nothing where it wrote nothing.

    Raises:
        UnreadableFile: a file there is damaged, or two are of different labels.
    """
    labels, scans = set(), []
    for file in sorted((output / "scans" / protocol.name).glob("*.json")):
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            labels.add(tuple(document["labels"]))
            scans.append(_read(document))
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise UnreadableFile(f"{file} is damaged.", hint="Remove it and score those weights again.") from fault
    if len(labels) > 1:
        raise UnreadableFile(
            f"{output} holds scans scored with different labels.", hint="Score those weights into a new folder."
        )
    return Scored(labels.pop() if labels else (), tuple(scans), ())


def as_plain(value: ScanScores) -> dict[str, Any]:
    """For JSON, which has no NaN."""
    return {
        "name": value.name,
        "patient": value.patient,
        "classes": [
            {key: None if math.isnan(figure) else figure for key, figure in dataclasses.asdict(score).items()}
            for score in value.classes
        ],
    }


def _stored(file: Path, key: str) -> ScanScores | None:
    """What an earlier call found; None where there is nothing, or it is of other weights, files or settings."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return _read(document) if document["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(document: Mapping[str, Any]) -> ScanScores:
    classes = [
        ClassScore(**{name: math.nan if figure is None else figure for name, figure in row.items()})
        for row in document["classes"]
    ]
    return ScanScores(document["name"], document["patient"], tuple(classes))


def _loaded(folder: WeightsFolder, protocol: Protocol, device: DeviceName) -> tuple[UNETR, Structures, str]:
    """The model; the structures of its tasks, for what it was not found to have learned is in none; its hash."""
    chosen = resolve_device(device)
    model, metadata = load_segmentation_model(folder)
    assert folder.segmentation is not None, "the model was loaded from it"
    model = model.to(chosen) if protocol.name == "official" else prepared(model, chosen)
    offered = {name: values for task in metadata.tasks.values() for name, values in task.items()}
    return model, offered, sha256_of(folder.segmentation)


def _key(scan: LabelledScan, scorer: Scorer, protocol: Protocol, surfaces: bool) -> str:
    """Of everything that a scan's figures depend on."""
    assert scan.mask is not None
    files = [[str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns] for p in (scan.path, scan.mask)]
    said = [files, scan.mask_values, scan.patient, scorer.sha256, scorer.labels, protocol.to_dict(), surfaces]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
