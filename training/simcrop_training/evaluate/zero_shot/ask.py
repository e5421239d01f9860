"""How likely each finding is in a scan, by how much nearer the scan is to its prompts than to their denials."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simcrop_training.evaluate.trained import Trained
from simcrop_training.evaluate.zero_shot.prompts import Prompts


class Asker:
    """A trained method with the prompts of every label.

    Args:
        trained: that compares scans with words.
        prompts: by label.

    Raises:
        ValueError: the method learned no words.
    """

    def __init__(self, trained: Trained, prompts: Mapping[str, Prompts]) -> None:
        if not trained.zero_shot:
            raise ValueError("This method has learned no words.")
        self._trained = trained
        # Once for all scans.
        self._words_TC = trained.words([text for p in prompts.values() for text in (*p.positive, *p.negative)])
        self._counts = [(len(asked.positive), len(asked.negative)) for asked in prompts.values()]

    def probabilities(self, frames_B1HWD: Tensor) -> NDArray[np.float64]:
        """(B, L) softmax over the pair, in the order of the prompts.

        Args:
            frames_B1HWD: intensities in −1…1.
        """
        similarities_BT = self._trained.similarities(frames_B1HWD, self._words_TC).double()
        gains, start = [], 0
        for positive, negative in self._counts:
            middle, end = start + positive, start + positive + negative
            gains.append(similarities_BT[:, start:middle].mean(dim=1) - similarities_BT[:, middle:end].mean(dim=1))
            start = end
        probabilities: NDArray[np.float64] = torch.sigmoid(self._trained.scale * torch.stack(gains, dim=1)).numpy()
        return probabilities
