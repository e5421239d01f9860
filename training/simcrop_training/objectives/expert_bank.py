"""What an X-ray expert knows: texts of radiographs, and its vectors of their images (docs/methods/biud.md)."""

from __future__ import annotations

import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcrop_training.engine.errors import UnusableExpertBank

_log = logging.getLogger("simcrop_training")
_FORM = "It is an .npz file with the arrays text, (M, width of the text encoder), and image, (M, any width)."
# Shorter vectors have no direction.
_SHORTEST = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class ExpertBank:
    """Radiographs by what was written about them.

    Attributes:
        text_MC: embeddings of their reports by the text encoder of the run, length 1.
        image_MX: the expert's vectors of their images, length 1.
        centre_C: taken off every text embedding before its length is made 1.
        expert: where the bank comes from, or "no expert".
    """

    text_MC: NDArray[np.float32]
    image_MX: NDArray[np.float32]
    centre_C: NDArray[np.float32]
    expert: str

    def placed(self, texts_BC: NDArray[np.float32]) -> NDArray[np.float32]:
        """Text embeddings as the bank holds its own: centred, length 1."""
        return directions(texts_BC - self.centre_C)

    def nearest(self, placed_BC: NDArray[np.float32]) -> NDArray[np.float32]:
        """The image vectors, (B, X), of the radiographs whose texts are most alike in direction."""
        closest_B = (placed_BC @ self.text_MC.T).argmax(axis=1)
        images_BX: NDArray[np.float32] = self.image_MX[closest_B]
        return images_BX


def bank_of(
    text_MC: NDArray[np.float32], image_MX: NDArray[np.float32], *, centred: bool, expert: str = "no expert"
) -> ExpertBank:
    """A bank of embeddings and vectors of any length.

    Args:
        text_MC: of texts.
        image_MX: of images.
        centred: whether the mean text embedding is taken off all of them.
        expert: where they come from.
    """
    centre_C = text_MC.mean(axis=0) if centred else np.zeros(text_MC.shape[1], np.float32)
    return ExpertBank(directions(text_MC - centre_C), directions(image_MX), centre_C, expert)


def simulated_bank(sentences_MC: NDArray[np.float32], *, centred: bool) -> ExpertBank:
    """Sentence embeddings in the place of both a radiograph's text and its image: nothing of any expert is in it."""
    _log.info("biud: no expert; %d sentence embeddings stand in for its bank.", len(sentences_MC))
    return bank_of(sentences_MC, sentences_MC, centred=centred)


def read_bank(path: Path, *, width: int, centred: bool) -> ExpertBank:
    """Read a bank.

    Args:
        path: of an .npz file with `text`, (M, width), and `image`, (M, X).
        width: of the run's text encoder.
        centred: as in `bank_of`.

    Raises:
        UnusableExpertBank: the file is missing or damaged, lacks an array, or holds arrays of other shapes, nothing,
            or numbers that are not finite or all 0.
    """
    text, image = _arrays(path)
    if text.ndim != 2 or image.ndim != 2 or len(text) != len(image) or not text.size or not image.size:
        raise UnusableExpertBank(f"{path} holds text of {text.shape} and image of {image.shape}.", hint=_FORM)
    if text.shape[1] != width:
        raise UnusableExpertBank(
            f"The texts in {path} are {text.shape[1]} wide, those of the run's text encoder {width}.",
            hint="Embed the radiographs' reports with the text encoder that the recipe names.",
        )
    for name, rows in (("text", text), ("image", image)):
        lengths = np.linalg.norm(rows, axis=1)
        if bad := int((~(np.isfinite(lengths) & (lengths > _SHORTEST))).sum()):
            raise UnusableExpertBank(f"{bad} rows of {name} in {path} are 0 or not finite.", hint="Leave them out.")
    _log.info("biud: the expert is %s, %d radiographs.", path, len(text))
    return bank_of(text, image, centred=centred, expert=path.name)


def directions(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; those without direction stay as they are."""
    unit: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _SHORTEST)
    return unit


def _arrays(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return stored["text"].astype(np.float32), stored["image"].astype(np.float32)
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as fault:
        raise UnusableExpertBank(f"{path} is no expert bank: {fault}", hint=_FORM) from fault
