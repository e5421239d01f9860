"""What frozen features know: a logistic regression a label, and how well scores rank scans."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# Inverse strength of the penalty: features are standardised, and there are more of them than scans may bear.
_STRENGTH = 0.1

Features = NDArray[np.floating[Any]]


def probe_scores(train_BC: Features, present_BL: NDArray[np.bool_], test_BC: Features) -> NDArray[np.float64]:
    """(B, L) scores of test scans by one logistic regression a label; NaN where the training scans are all alike.

    Args:
        train_BC: features of the training scans.
        present_BL: their labels.
        test_BC: features of the test scans.
    """
    scores = np.full((len(test_BC), present_BL.shape[1]), np.nan)
    for label, present_B in enumerate(present_BL.T):
        if present_B.any() and not present_B.all():
            classifier = make_pipeline(StandardScaler(), LogisticRegression(C=_STRENGTH, max_iter=2000))
            scores[:, label] = classifier.fit(train_BC, present_B).decision_function(test_BC)
    return scores


def auroc_by_label(scores_BL: NDArray[np.floating[Any]], present_BL: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(L,) area under the ROC curve; NaN for a label that all test scans or none have, or that has no score."""
    return np.array(
        [
            roc_auc_score(present_B, scores_B) if 0 < present_B.sum() < len(present_B) and np.isfinite(scores_B).all()
            else np.nan
            for scores_B, present_B in zip(scores_BL.T, present_BL.T, strict=True)
        ]
    )  # fmt: skip
