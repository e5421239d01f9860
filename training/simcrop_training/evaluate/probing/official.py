"""The released linear probe: every step reads its scans anew, changes them at random and encodes them again.

Which of the released script's peculiarities are followed, and which are not: docs/benchmarks/probe.md.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from simcrop_core.export.atomic import replacing
from simcrop_training.datasets.labelled import LabelledScan
from simcrop_training.engine.errors import NothingToLearnFrom
from simcrop_training.evaluate.probing.encoded import Eye, Image, fixed_features
from simcrop_training.evaluate.probing.presets import OfficialSettings
from simcrop_training.evaluate.probing.released import head_loss, new_head, probabilities, set_drop_path
from simcrop_training.evaluate.probing.scored import Floats, Predictions, score, truth_of
from simcrop_training.evaluate.probing.views import training_view
from simcrop_training.evaluate.read_ahead import read_ahead

_log = logging.getLogger("simcrop_training")
_CHECKPOINT = "checkpoint.pt"
# What else is drawn with the seed, each from numbers of its own.
_ORDER, _VIEWS, _BRANCHES = 0, 1, 2
_PROGRESS = ("step", "best_step", "best", "worse", "validation", "encoded")

Head = dict[str, Tensor]
Views = Iterator[tuple[int, Image]]


@dataclass(frozen=True, slots=True, eq=False)
class OfficialRun:
    """One fit of the released probe.

    Attributes:
        eye: the encoder and how scans come before it.
        settings: of the task and share.
        train: scans to learn from.
        valid: scans to choose the step by; in three of the four released tasks the test scans.
        classes: how many, where scans have one each; None for labels.
        seed: of the head, the order, the views and the skipped branches.
        folder: of this fit's checkpoint.
        keep_every_s: seconds between checkpoints.
    """

    eye: Eye
    settings: OfficialSettings
    train: Sequence[LabelledScan]
    valid: Sequence[LabelledScan]
    classes: int | None
    seed: int
    folder: Path
    keep_every_s: float = 30.0

    @property
    def outputs(self) -> int:
        """Labels, or classes."""
        return len(self.train[0].labels) if self.classes is None else self.classes

    @property
    def batch(self) -> int:
        """Scans a step."""
        return min(self.settings.batch, len(self.train))

    @property
    def epoch_steps(self) -> int:
        """Steps in which every scan comes once; the last may have fewer scans."""
        return math.ceil(len(self.train) / self.batch)

    def batch_of(self, step: int) -> list[int]:
        """Which training scans a step, counted from 1, has; by the seed alone, so that a resumed run goes on alike."""
        epoch, place = divmod(step - 1, self.epoch_steps)
        order = np.random.default_rng((self.seed, _ORDER, epoch)).permutation(len(self.train))
        return [int(index) for index in order[place * self.batch : (place + 1) * self.batch]]

    def view_of(self, step: int, index: int) -> Image | None:
        """A training scan as that step sees it; None where it cannot be read."""
        rng = np.random.default_rng((self.seed, _VIEWS, step, index))
        return self.eye.view(self.train[index], lambda volume: training_view(volume, self.eye.frame, rng))

    def validates(self, step: int) -> bool:
        """Whether the head is measured after a step: at the end of each epoch once it begins, and of the run."""
        epochs, into = divmod(step, self.epoch_steps)
        return step == self.settings.steps or (into == 0 and epochs >= self.settings.first_validation)


@dataclass(slots=True, eq=False)
class OfficialProbe:
    """A head and how it came about.

    Attributes:
        head: of the best validation, or the present one while it is fitted.
        step: steps done.
        best_step: whose head is kept; 0 before the first validation.
        best: its validation score.
        worse: validations since then.
        validation: scores by step.
        encoded: views that were encoded for training.
    """

    head: nn.Linear
    step: int = 0
    best_step: int = 0
    best: float = math.nan
    worse: int = 0
    validation: dict[int, float] = field(default_factory=dict)
    encoded: int = 0

    def ended(self, settings: OfficialSettings) -> bool:
        """Whether all steps are done, or so many validations in a row were no better."""
        return self.step >= settings.steps or self.worse >= settings.patience

    def predict(self, features: Sequence[Image], *, classes: bool) -> Floats:
        """(B, L) probabilities from fixed views' features."""
        features_BC = torch.from_numpy(np.stack(features)).to(self.head.weight.device)
        return probabilities(self.head(features_BC), classes=classes)


def fit_official(run: OfficialRun) -> OfficialProbe:
    """Fit the head, going on from a checkpoint where there is one, and give that of the best validation.

    Raises:
        NothingToLearnFrom: no training scan, or no validation scan, can be read.
        CannotWrite: the folder is not writable.
    """
    if not run.train or not run.valid:
        raise NothingToLearnFrom(
            f"{len(run.train)} training and {len(run.valid)} validation scans.", hint="Check the lists."
        )
    eye, settings = run.eye, run.settings
    valid = fixed_features(eye, run.valid)
    if not valid:
        raise NothingToLearnFrom("No validation scan can be read.", hint="The log says what is wrong with each.")
    probe = OfficialProbe(new_head(eye.encoder.config.dim, run.outputs, settings.head_std, run.seed).to(eye.device))
    optimiser = torch.optim.AdamW(
        probe.head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    best = _resumed(run, probe, optimiser)
    set_drop_path(eye.encoder, settings.drop_path)
    eye.encoder.train()
    with closing(_steps(run, probe.step + 1)) as steps:
        kept = time.monotonic()
        while not probe.ended(settings):
            _step(run, probe, optimiser, next(steps))
            if run.validates(probe.step):
                best = _validated(run, probe, valid, best)
            if probe.ended(settings) or time.monotonic() - kept >= run.keep_every_s:
                _keep(run, probe, optimiser, best)
                kept = time.monotonic()
                _log.info(
                    "step %d of %d, best %.4f, of step %d", probe.step, settings.steps, probe.best, probe.best_step
                )
    eye.encoder.eval()
    probe.head.load_state_dict(best)
    return probe


def predicted(run: OfficialRun, probe: OfficialProbe, scans: Sequence[LabelledScan]) -> Predictions:
    """What the probe answers about the scans that can be read.

    Raises:
        NothingToLearnFrom: none can.
    """
    features = fixed_features(run.eye, scans)
    seen = [scan for scan in scans if scan.name in features]
    if not seen:
        raise NothingToLearnFrom("No test scan can be read.", hint="The log says what is wrong with each.")
    found_BL = probe.predict([features[scan.name] for scan in seen], classes=run.classes is not None)
    names, patients = tuple(scan.name for scan in seen), tuple(scan.patient for scan in seen)
    skipped = tuple(run.eye.skipped[scan.name] for scan in scans if scan.name in run.eye.skipped)
    return Predictions(names, patients, found_BL, truth_of(seen), skipped)


def _steps(run: OfficialRun, first: int) -> Generator[Views, None, None]:
    """The readable scans of every step from `first` on, with their views; scans of later steps are read ahead."""
    wanted = ((step, index) for step in range(first, run.settings.steps + 1) for index in run.batch_of(step))
    views = read_ahead(lambda asked: run.view_of(*asked), wanted, run.eye.readers)
    try:
        for _, found in itertools.groupby(views, key=lambda view: view[0][0]):
            yield ((index, image) for (_, index), image in found if image is not None)
    finally:
        views.close()


def _step(run: OfficialRun, probe: OfficialProbe, optimiser: torch.optim.Optimizer, views: Views) -> None:
    """One update of the head; none where no scan of the step can be read."""
    probe.step += 1
    indices, features_BC = _encoded(run, probe.step, views)
    if features_BC is None:
        if len(run.eye.skipped) >= len(run.train):
            raise NothingToLearnFrom("No training scan can be read.", hint="The log says what is wrong with each.")
        return
    probe.encoded += len(indices)
    for group in optimiser.param_groups:
        group["lr"] = run.settings.rate(probe.step)
    truth_BL = torch.from_numpy(truth_of([run.train[index] for index in indices])).to(features_BC.device)
    optimiser.zero_grad()
    head_loss(probe.head(features_BC), truth_BL, classes=run.classes is not None).backward()
    nn.utils.clip_grad_norm_(probe.head.parameters(), run.settings.clip)
    optimiser.step()


def _encoded(run: OfficialRun, step: int, views: Views) -> tuple[list[int], Tensor | None]:
    """The readable scans of a step and their features; views are let go of as soon as they are encoded."""
    indices: list[int] = []
    features: list[Tensor] = []
    devices = [run.eye.device] if run.eye.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.SeedSequence((run.seed, _BRANCHES, step)).generate_state(1)[0]))
        while few := list(itertools.islice(views, run.eye.at_once)):
            indices += [index for index, _ in few]
            features.append(run.eye.encode([image for _, image in few]))
    return indices, torch.cat(features) if features else None


def _validated(run: OfficialRun, probe: OfficialProbe, valid: dict[str, Image], best: Head) -> Head:
    """The head to keep after a validation: this one where it is better; of areas, where it is no worse."""
    scans = [scan for scan in run.valid if scan.name in valid]
    answers_BL = probe.predict([valid[scan.name] for scan in scans], classes=run.classes is not None)
    reached = score(answers_BL, truth_of(scans), classes=run.classes is not None)
    probe.validation[probe.step] = reached
    tied = run.classes is None and reached == probe.best
    if math.isnan(probe.best) or reached > probe.best or tied:
        probe.best, probe.best_step, probe.worse = reached, probe.step, 0
        return _head_of(probe)
    probe.worse += 1
    return best


def _head_of(probe: OfficialProbe) -> Head:
    return {key: tensor.detach().cpu().clone() for key, tensor in probe.head.state_dict().items()}


def _keep(run: OfficialRun, probe: OfficialProbe, optimiser: torch.optim.Optimizer, best: Head) -> None:
    kept = {
        "head": _head_of(probe),
        "best_head": best,
        "optimiser": optimiser.state_dict(),
        "progress": {name: getattr(probe, name) for name in _PROGRESS},
    }
    with replacing(run.folder / _CHECKPOINT) as temporary:
        torch.save(kept, temporary)


def _resumed(run: OfficialRun, probe: OfficialProbe, optimiser: torch.optim.Optimizer) -> Head:
    """Take up a checkpoint, if there is one; gives the best head so far."""
    path = run.folder / _CHECKPOINT
    if not path.is_file():
        return _head_of(probe)
    kept = torch.load(path, map_location=run.eye.device, weights_only=True)
    probe.head.load_state_dict(kept["head"])
    optimiser.load_state_dict(kept["optimiser"])
    for name in _PROGRESS:
        setattr(probe, name, kept["progress"][name])
    best: Head = kept["best_head"]
    return best
