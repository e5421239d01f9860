"""A probe of either preset, fitted to a set's training scans and ready to be asked once about its test scans."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from simcrop_core.results import DeviceName
from simcrop_training.datasets.labelled import LabelledScan, LabelledSet
from simcrop_training.datasets.study import LeftOut
from simcrop_training.engine.errors import NothingToLearnFrom
from simcrop_training.evaluate.features import Features, scan_features
from simcrop_training.evaluate.manifest import weights_sha256
from simcrop_training.evaluate.origin import Origin, origin_of
from simcrop_training.evaluate.probing.clean import CleanSettings, fit_clean
from simcrop_training.evaluate.probing.encoded import released_eye
from simcrop_training.evaluate.probing.official import OfficialRun, fit_official, predicted
from simcrop_training.evaluate.probing.presets import OfficialSettings
from simcrop_training.evaluate.probing.scored import Predictions, listed, truth_of
from simcrop_training.evaluate.written import plain

Preset = Literal["official", "clean"]
Settings = OfficialSettings | CleanSettings
_log = logging.getLogger("simcrop_training")
# From which probability on the released script calls a label.
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """One probe: whose features, of which scans, by which protocol.

    Attributes:
        weights: name, folder or file.
        data: the set whose training scans are learned.
        settings: of the preset; their type says which.
        seed: of all that is drawn.
        device: where the encoder computes.
        readers: threads that read scans.
    """

    weights: str
    data: LabelledSet
    settings: Settings
    seed: int
    device: DeviceName = "auto"
    readers: int = 2

    @property
    def preset(self) -> Preset:
        """By the type of the settings."""
        return "official" if isinstance(self.settings, OfficialSettings) else "clean"

    @property
    def model(self) -> str:
        """The row's name in tables."""
        return self.origin.model

    @property
    def origin(self) -> Origin:
        """Of the weights."""
        return origin_of(self.weights, released=self.preset == "official")

    @property
    def valid(self) -> tuple[LabelledScan, ...]:
        """What the official preset chooses by: the validation scans; where the lists have no others, the test scans."""
        return self.data.of("valid") or self.data.of("test")

    @property
    def classes(self) -> int | None:
        """How many, where scans have one each."""
        return len(self.data.labels) if self.data.classes else None

    def place(self, output: Path) -> Path:
        """The folder of this probe alone, below an output folder."""
        weights = "".join(weights_sha256(self.weights).values())
        short = hashlib.sha256(weights.encode()).hexdigest()[:8]
        return output / f"{self.model}-{short}" / f"seed-{self.seed}" / self.preset

    def protocol(self, tested: Sequence[LabelledScan], more: dict[str, Any]) -> dict[str, Any]:
        """Everything that the predictions follow from."""
        return {
            "preset": self.preset,
            "settings": dataclasses.asdict(self.settings),
            "seed": self.seed,
            "weights": weights_sha256(self.weights),
            "labels": list(self.data.labels),
            "train": listed(self.data.of("train")),
            "valid": listed(self.valid) if self.preset == "official" else "a share of the training patients",
            "test": listed(tested),
            **more,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted probe.

    Attributes:
        predict: looks at test scans.
        notes: how it came about.
        thresholds: of each label's or class's probability, from no scan that is tested on; NaN where there is none.
        skipped: scans that could not be read so far, by name.
    """

    predict: Callable[[Sequence[LabelledScan]], Predictions]
    notes: dict[str, object]
    thresholds: tuple[float, ...]
    skipped: dict[str, LeftOut]


def fitted(run: ProbeRun, folder: Path, cache: Path) -> Fitted:
    """Fit a probe; a fit that was cut short goes on.

    Args:
        run: which.
        folder: of this probe alone.
        cache: folder of features, which others may share.

    Raises:
        NothingToLearnFrom: no training scan can be read.
        TaskNotSupported: the preset is not for this encoder.
        CannotWrite: the folder is not writable.
    """
    if isinstance(run.settings, OfficialSettings):
        return _official(run, run.settings, folder, cache)
    return _clean(run, run.settings, cache)


def _official(run: ProbeRun, settings: OfficialSettings, folder: Path, cache: Path) -> Fitted:
    eye = released_eye(run.weights, cache, run.device, run.readers)
    official = OfficialRun(eye, settings, run.data.of("train"), run.valid, run.classes, run.seed, folder)
    probe = fit_official(official)
    notes: dict[str, object] = {
        "steps": probe.step,
        "best_step": probe.best_step,
        "validation": plain(probe.best),
        "encoded_for_training": probe.encoded,
        "validated_on_test": not run.data.of("valid"),
    }
    return Fitted(lambda scans: predicted(official, probe, scans), notes, (_HALF,) * official.outputs, eye.skipped)


def _clean(run: ProbeRun, settings: CleanSettings, cache: Path) -> Fitted:
    train, found = _encoded(run, run.data.of("train"), cache)
    patients = [scan.patient for scan in train]
    probe = fit_clean(
        found.features_BC, truth_of(train), patients, classes=run.classes, settings=settings, seed=run.seed
    )
    if probe.unfinished:
        _log.warning("%d fits had not converged after %d iterations", probe.unfinished, settings.iterations)

    def predict(scans: Sequence[LabelledScan]) -> Predictions:
        seen, found = _encoded(run, scans, cache)
        names, patients = tuple(scan.name for scan in seen), tuple(scan.patient for scan in seen)
        return Predictions(names, patients, probe.predict(found.features_BC), truth_of(seen), found.skipped)

    notes: dict[str, object] = {
        "inverse_penalty": probe.strength,
        "validation": plain(probe.validation[probe.strength]),
        "validation_by_inverse_penalty": {f"{tried:g}": plain(value) for tried, value in probe.validation.items()},
        "fits_not_converged": probe.unfinished,
        "volumes_per_s": found.volumes_per_s,
    }
    return Fitted(predict, notes, probe.thresholds, {note.name: note for note in found.skipped})


def _encoded(run: ProbeRun, scans: Sequence[LabelledScan], cache: Path) -> tuple[list[LabelledScan], Features]:
    """The scans that can be read, and their features in that order."""
    found = scan_features(run.weights, scans, cache, device=run.device, readers=run.readers)
    if not found.names:
        raise NothingToLearnFrom("No scan can be read.", hint="The log says what is wrong with each.")
    by_name = {scan.name: scan for scan in scans}
    return [by_name[name] for name in found.names], found
