"""Whether a report finds its own scan among others, and a scan its report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEAREST = 5


def recall(similarities_BB: NDArray[np.float64], nearest: int = NEAREST) -> float:
    """Share of rows whose own column is among the `nearest` highest; chance is `nearest` of the columns.

    A tie counts against it, so that a method that gives all the same finds nothing.

    Args:
        similarities_BB: what looks in rows, what is found in columns; own ones on the diagonal.
        nearest: so many are looked at.

    Raises:
        ValueError: the matrix is not square, or a number is not finite.
    """
    rows, columns = similarities_BB.shape
    if rows != columns or not np.isfinite(similarities_BB).all():
        raise ValueError(f"Similarities of pairs are a square of finite numbers, not {similarities_BB.shape}.")
    own_B1 = np.diagonal(similarities_BB)[:, None]
    as_near_B = (similarities_BB >= own_B1).sum(axis=1)
    return float((as_near_B <= nearest).mean())
