"""Zero-shot scores of findings from the organs they are in (docs/methods/fvlm.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simcrop_training.data.anatomies import Anatomy
from simcrop_training.data.frames import frames_of
from simcrop_training.data.organs import Organs, located
from simcrop_training.objectives.fvlm import Fvlm

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class OrganPrompt:
    """What is asked of an organ.

    Attributes:
        label: CT-RATE's name of the finding.
        organ: that it is looked for in.
        words: "Words." is compared with "Not words.".
    """

    label: str
    organ: str
    words: str


# fVLM's: 16 of CT-RATE's 18 labels; medical material and lymphadenopathy are in none of its organs.
PROMPTS = (
    OrganPrompt("Emphysema", "lung", "Emphysema"),
    OrganPrompt("Atelectasis", "lung", "Atelectatic"),
    OrganPrompt("Lung nodule", "lung", "Nodule"),
    OrganPrompt("Lung opacity", "lung", "Opacity"),
    OrganPrompt("Pulmonary fibrotic sequela", "lung", "Pulmonary fibrotic"),
    OrganPrompt("Pleural effusion", "lung", "Pleural effusion"),
    OrganPrompt("Mosaic attenuation pattern", "lung", "Mosaic attenuation pattern"),
    OrganPrompt("Peribronchial thickening", "lung", "Peribronchial thickening"),
    OrganPrompt("Consolidation", "lung", "Consolidation"),
    OrganPrompt("Bronchiectasis", "lung", "Bronchiectasis"),
    OrganPrompt("Interlobular septal thickening", "lung", "Interlobular septal thickening"),
    OrganPrompt("Cardiomegaly", "heart", "Cardiomegaly"),
    OrganPrompt("Pericardial effusion", "heart", "Pericardial effusion"),
    OrganPrompt("Coronary artery wall calcification", "heart", "Coronary artery wall calcification"),
    OrganPrompt("Hiatal hernia", "esophagus", "Hiatal hernia"),
    OrganPrompt("Arterial wall calcification", "aorta", "Arterial wall calcification"),
)


class OrganZeroShot:
    """Scores of findings in scans; the prompts are encoded once.

    Args:
        objective: with a trained network, which is put into evaluation mode.
        prompts: to ask; those of organs that the network was not trained on have no score.
    """

    def __init__(self, objective: Fvlm, prompts: Sequence[OrganPrompt] = PROMPTS) -> None:
        self._objective, self._prompts = objective, tuple(prompts)
        objective.network.eval()
        self._negative_PC, self._positive_PC = (
            self._encoded([form.format(prompt.words) for prompt in prompts]) for form in ("Not {}.", "{}.")
        )

    @torch.no_grad()
    def scores(self, voxels: NDArray[np.int16], organs: Organs) -> dict[str, float]:
        """The probability of each finding against its denial, by label; not a number where its organ is not there.

        Every organ is seen in a frame centred on it, whole or not: a scan is not left without an answer because an
        organ leaves it.

        Args:
            voxels: (x, y, z) HU on the model's grid, of any size; beyond it there is air.
            organs: a label map of the same voxels.
        """
        towers, settings = self._objective.network, self._objective.settings
        temperature = towers.divisor(*settings.temperature_range)
        vectors: dict[str, Tensor] = {}
        for number, anatomy in enumerate(self._objective.organs):
            if any(prompt.organ == anatomy.name for prompt in self._prompts):
                found = self._framed(voxels, organs, anatomy)
                if found is not None:
                    vectors[anatomy.name] = self._vector(*found, number)
        scores = {}
        for prompt, negative_C, positive_C in zip(self._prompts, self._negative_PC, self._positive_PC, strict=True):
            scores[prompt.label] = float("nan")
            if prompt.organ in vectors:
                pair = torch.stack([vectors[prompt.organ] @ negative_C, vectors[prompt.organ] @ positive_C])
                scores[prompt.label] = float((pair / temperature).softmax(dim=0)[1])
        return scores

    def _vector(self, frame: NDArray[np.int16], tokens_N: NDArray[np.bool_], number: int) -> Tensor:
        """(C,) of one organ."""
        objective = self._objective
        weight = objective.vision.patch_embed.proj.weight
        images_B1HWD = frames_of(
            torch.from_numpy(frame)[None], objective.data.frame.hu_window, objective.config.vision.image
        )
        tokens_BON = torch.zeros(1, len(objective.organs), len(tokens_N), dtype=torch.bool)
        tokens_BON[0, number] = torch.from_numpy(tokens_N)
        vectors_BOC = objective.network.organ_vectors(
            images_B1HWD.to(weight.device, weight.dtype), tokens_BON.to(weight.device)
        )
        return vectors_BOC[0, number]

    def _framed(
        self, voxels: NDArray[np.int16], organs: Organs, anatomy: Anatomy
    ) -> tuple[NDArray[np.int16], NDArray[np.bool_]] | None:
        """A frame centred on the organ's box, and the patches it lies in; None where the scan shows nothing of it."""
        shape = self._objective.data.frame.shape
        values = [value for value, name in enumerate(organs.names) if anatomy.covers(name)]
        inside = np.isin(organs.labels, values)
        if not inside.any():
            return None
        start = []
        for axis, size in enumerate(shape):
            along = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
            start.append((int(along[0]) + int(along[-1]) + 1 - size) // 2)
        air = round(self._objective.data.frame.hu_window[0])
        labels = _cut(organs.labels, start, shape, 0)
        grid = self._objective.config.vision.grid
        there = located(Organs.whole(labels, organs.names), [anatomy], grid, allow_border=True)
        return (_cut(voxels, start, shape, air), there.tokens_ON[0]) if there.present_O[0] else None

    @torch.no_grad()
    def _encoded(self, texts: list[str]) -> Tensor:
        device = self._objective.network.text_projection.weight.device
        ids_PL, known_PL = self._objective.pieces(texts)
        return self._objective.network.text_vectors(ids_PL.to(device), known_PL.to(device))


def _cut(array: NDArray[_T], start: Sequence[int], shape: Sequence[int], outside: int) -> NDArray[_T]:
    """A box out of an array; what reaches beyond it is `outside`."""
    low = [min(max(s, 0), n) for s, n in zip(start, array.shape, strict=True)]
    high = [min(max(s + w, 0), n) for s, w, n in zip(start, shape, array.shape, strict=True)]
    crop = np.full(tuple(shape), outside, dtype=array.dtype)
    place = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
    crop[place] = array[tuple(map(slice, low, high))]
    return crop
