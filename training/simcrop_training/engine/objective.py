"""What a method brings to the loop: micro-batches, loss sums and the counts they are divided by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

Batch = TypeVar("Batch")
Batch_contra = TypeVar("Batch_contra", contravariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A look at what is being learned.

    Attributes:
        figures: by name.
        picture: (rows, columns, 3) uint8, or None.
    """

    figures: Mapping[str, float] = field(default_factory=dict)
    picture: NDArray[np.uint8] | None = None


class Objective(Protocol[Batch]):
    """A method whose step is made of micro-batches that know nothing of each other.

    A micro-batch is the same whichever rank computes it: its samples, crops, masks and dropout follow from its index.
    Losses come as sums. What they are divided by is known from the data alone, so that the counts of all micro-batches
    of a step are added up before the first of them is computed.

    Attributes:
        module: what is trained, with what is frozen inside.
        micro_batches: of a step.
        samples: of a step, for the rate in the log.
        sample_bytes: read for a sample, for the rate in the log.
        sample_flops: computed for a sample, for the utilisation in the log; 0 where that is not counted.
        weights: of the losses in the sum that is minimised.
    """

    module: nn.Module
    micro_batches: int
    samples: int
    sample_bytes: int
    sample_flops: float
    weights: Mapping[str, float]

    def batch(self, index: int) -> Batch:
        """Micro-batch `index` of the run; called in other threads, the same for the same index."""

    def counts(self, batch: Batch, /) -> dict[str, int]:
        """What the totals of a micro-batch are divided by, summed over the step; those not named by micro-batches."""

    def totals(self, batch: Batch, /) -> dict[str, Tensor]:
        """The losses of a micro-batch, by name, before the division; names without weight are only logged."""

    def measure(self) -> dict[str, float]:
        """Figures on held-out data."""

    def view(self) -> View | None:
        """A look at held-out data, or None."""


Rows = Mapping[str, Tensor]


@runtime_checkable
class Contrast(Protocol[Batch_contra]):
    """What an `Objective` has besides where it compares samples of different micro-batches of a step.

    The loop encodes the whole step once without gradient, compares the rows of all micro-batches and ranks, and takes
    the gradient of each row back through its own micro-batch, encoded again. So memory does not grow with the number
    of samples that are compared (gradient caching: Gao et al. 2021, arXiv:2101.06983), and every rank computes the same
    comparison. Parameters that take part in the comparison itself, such as a temperature, travel as rows.
    """

    micro_batches: int
    weights: Mapping[str, float]

    def rows(self, batch: Batch_contra, /) -> Rows:
        """What is compared, without gradient: the same tensors as in `totals_and_rows`."""

    def totals_and_rows(self, batch: Batch_contra, /) -> tuple[dict[str, Tensor], Rows]:
        """`Objective.totals`, and what of the micro-batch is compared with the others'."""

    def compared(self, rows: Sequence[Rows], /) -> dict[str, Tensor]:
        """The losses of the comparison, by name and already means, from the rows of all micro-batches in order."""


class WholeBatches(Protocol[Batch]):
    """A method that needs all samples of a step at once."""

    module: nn.Module

    def batch(self, step: int) -> Batch:
        """The batch of a step; called in another thread, the same for the same step."""

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        """Scalars to log; the one named "loss" is minimised."""

    def measure(self) -> dict[str, float]:
        """Figures on held-out data."""


class InOnePiece(Generic[Batch]):
    """An `Objective` whose step is one micro-batch: for methods that contrast all samples of a step. One rank only."""

    def __init__(self, whole: WholeBatches[Batch]) -> None:
        self.module = whole.module
        self.micro_batches, self.samples, self.sample_bytes, self.sample_flops = 1, 1, 0, 0.0
        self.weights: Mapping[str, float] = {"loss": 1.0}
        self._whole = whole

    def batch(self, index: int) -> Batch:
        """The batch of step `index`."""
        return self._whole.batch(index)

    def counts(self, _batch: Batch, /) -> dict[str, int]:
        """Nothing to divide by."""
        return {"loss": 1}

    def totals(self, batch: Batch, /) -> dict[str, Tensor]:
        """The method's losses."""
        return dict(self._whole.losses(batch))

    def measure(self) -> dict[str, float]:
        """The method's figures."""
        return self._whole.measure()

    def view(self) -> View | None:
        """None."""
        return None


def in_pieces(objective: Objective[Any] | WholeBatches[Any]) -> Objective[Any]:
    """Any method as the loop wants it."""
    return InOnePiece(objective) if hasattr(objective, "losses") else objective  # type: ignore[arg-type]
