"""The clean probe: a penalised linear model on features computed once, its penalty chosen on patients set apart."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from simcrop_training.datasets.labelled import UNKNOWN
from simcrop_training.evaluate.probing.scored import Floats, Ints, by_label, score

Features = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class CleanSettings:
    """How the clean probe is fitted.

    Attributes:
        strengths: inverse weights of the squared penalty that are tried, rising.
        valid_share: of the training patients that are set apart to choose among them.
        iterations: at most, of one fit.
    """

    strengths: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    valid_share: float = 0.2
    iterations: int = 2000


@dataclass(frozen=True, slots=True, eq=False)
class CleanProbe:
    """A fitted probe.

    Attributes:
        models: one a label, None where the training scans were all alike; of classes, one for all.
        classes: whether scans have one class.
        outputs: labels, or classes.
        strength: that was chosen.
        validation: what each strength scored on the patients set apart; NaN where nothing could be measured.
        thresholds: of each label's probability, the corner of its ROC curve on those patients; NaN where it has none.
        unfinished: fits that the iterations did not suffice for.
    """

    models: tuple[Pipeline | None, ...]
    classes: bool
    outputs: int
    strength: float
    validation: dict[float, float]
    thresholds: tuple[float, ...]
    unfinished: int

    def predict(self, features_BC: Features) -> Floats:
        """(B, L) probabilities; NaN for a label without a model, 0 for a class that no training scan had."""
        return _predicted(self.models, features_BC, self.outputs, classes=self.classes)


def set_apart(patients: Sequence[str], share: float, seed: int) -> NDArray[np.bool_]:
    """(B,) the scans of a random share of the patients: at least one patient's, and never all.

    All False where there are fewer than two patients.
    """
    names, patient_B = np.unique(np.asarray(patients), return_inverse=True)
    if len(names) < 2:
        return np.zeros(len(patients), dtype=bool)
    count = min(max(round(share * len(names)), 1), len(names) - 1)
    chosen = np.random.default_rng(seed).permutation(len(names))[:count]
    apart_B: NDArray[np.bool_] = np.isin(patient_B, chosen)
    return apart_B


def fit_clean(
    features_BC: Features,
    truth_BL: Ints,
    patients: Sequence[str],
    *,
    classes: int | None,
    settings: CleanSettings,
    seed: int,
) -> CleanProbe:
    """Choose the penalty on a share of the patients, then fit all training scans with it.

    Features are brought to mean 0 and deviation 1 on the scans that are fitted. Unknown labels are left out label by
    label. The stronger penalty wins a tie; where the patients set apart show nothing, the middle one is taken.

    Args:
        features_BC: of the training scans.
        truth_BL: 0, 1 or −1 (unknown) by label; (B, 1) class indices.
        patients: whose each scan is.
        classes: how many, where scans have one each; None for labels.
        settings: penalties and shares.
        seed: of the choice of patients.
    """
    outputs, has_classes = (truth_BL.shape[1], False) if classes is None else (classes, True)
    apart_B = set_apart(patients, settings.valid_share, seed)
    answers: dict[float, Floats] = {}
    for strength in settings.strengths:
        models, _ = _fitted(features_BC[~apart_B], truth_BL[~apart_B], strength, settings, classes=has_classes)
        answers[strength] = _predicted(models, features_BC[apart_B], outputs, classes=has_classes)
    found = {strength: score(answers[strength], truth_BL[apart_B], classes=has_classes) for strength in answers}
    measured = {strength: value for strength, value in found.items() if not math.isnan(value)}
    middle = settings.strengths[len(settings.strengths) // 2]
    chosen = max(measured, key=lambda strength: measured[strength]) if measured else middle
    thresholds = _thresholds(answers[chosen], truth_BL[apart_B], classes=has_classes)
    models, unfinished = _fitted(features_BC, truth_BL, chosen, settings, classes=has_classes)
    return CleanProbe(models, has_classes, outputs, chosen, found, thresholds, unfinished)


def _thresholds(answers_BL: Floats, truth_BL: Ints, *, classes: bool) -> tuple[float, ...]:
    truth_BL = by_label(truth_BL, answers_BL.shape[1]) if classes else truth_BL
    known_BL = (truth_BL != UNKNOWN) & np.isfinite(answers_BL)
    return tuple(
        _corner(answers_B[known_B], truth_B[known_B])
        for answers_B, truth_B, known_B in zip(answers_BL.T, truth_BL.T, known_BL.T, strict=True)
    )


def _corner(answers_B: Floats, truth_B: Ints) -> float:
    """Of all probabilities that occur the one whose point of the ROC curve is nearest to no error."""
    if len(np.unique(truth_B)) < 2:
        return math.nan
    alarms, found, thresholds = roc_curve(truth_B, answers_B)
    # The first is infinite: nothing is found there.
    return float(thresholds[1:][np.argmin(alarms[1:] ** 2 + (1 - found[1:]) ** 2)])


def _fitted(
    features_BC: Features, truth_BL: Ints, strength: float, settings: CleanSettings, *, classes: bool
) -> tuple[tuple[Pipeline | None, ...], int]:
    """The models, and how many were not finished."""
    models: list[Pipeline | None] = []
    unfinished = 0
    for truth_B in truth_BL.T:
        known_B = np.full(len(truth_B), True) if classes else truth_B != UNKNOWN
        if len(np.unique(truth_B[known_B])) < 2:
            models.append(None)
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=settings.iterations))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", ConvergenceWarning)
            model.fit(features_BC[known_B], truth_B[known_B])
        unfinished += any(issubclass(warning.category, ConvergenceWarning) for warning in said)
        models.append(model)
    return tuple(models), unfinished


def _predicted(models: Sequence[Pipeline | None], features_BC: Features, outputs: int, *, classes: bool) -> Floats:
    answers_BL = np.full((len(features_BC), outputs), 0.0 if classes and models[0] is not None else np.nan)
    if len(features_BC) == 0:
        return answers_BL
    for index, model in enumerate(models):
        if model is None:
            continue
        columns = list(model.classes_) if classes else [index]
        answers_BL[:, columns] = model.predict_proba(features_BC)[:, (0 if classes else 1) :]
    return answers_BL
