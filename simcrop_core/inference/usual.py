"""What a sentence scores on chests in general, foretold from what other sentences score there."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Of the kernel exp(w·(cos − 1)) and of the ridge; chosen on phantoms (docs/methods/grounding.md).
_WIDTH, _RIDGE = 3.0, 0.03


class UsualScores:
    """The score that a sentence about a finding has on chests in general, whether they have it or not.

    Some sentences score higher than others wherever they are asked, so a score alone says little about a scan. What
    many sentences score on many chests is kept with the weights; that of any other follows from theirs by kernel ridge
    regression on the embeddings (docs/methods/grounding.md).

    Args:
        known_MC: embeddings of sentences in the patch space.
        scores_M: mean score of each over many chests.

    Attributes:
        mean: of those scores: usual for any sentence.
    """

    def __init__(self, known_MC: Tensor, scores_M: Tensor) -> None:
        self._known_MC = F.normalize(known_MC.double(), dim=1)
        self.mean = float(scores_M.double().mean())
        kernel_MM = self._kernel(self._known_MC)
        kernel_MM.diagonal().add_(_RIDGE)
        self._weights_M: Tensor = torch.linalg.solve(kernel_MM, scores_M.double() - self.mean)

    def of(self, sentences_SC: Tensor) -> Tensor:
        """(S,) usual score of each sentence, from its embedding in the patch space."""
        kernel_SM = self._kernel(F.normalize(sentences_SC.double(), dim=1))
        return (kernel_SM @ self._weights_M + self.mean).float()

    def shift(self, sentences_SC: Tensor, scores_S: Tensor) -> float:
        """By how much sentences in general score above their usual on one scan: the median over sentences of all kinds.

        Another scanner or kernel moves all scores of a scan alike, and says nothing about any one sentence.

        Args:
            sentences_SC: embeddings of many sentences in the patch space.
            scores_S: what they score on the scan.
        """
        return float((scores_S - self.of(sentences_SC)).median())

    def _kernel(self, sentences_SC: Tensor) -> Tensor:
        return torch.exp(_WIDTH * (sentences_SC @ self._known_MC.T - 1))
