"""What a training run left behind, ready to be measured: any method's weights file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from simcrop_core.errors import IncompatibleWeights, UnknownWeights
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.inference.embed import embed
from simcrop_core.models.config import EncoderConfig, ModelConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights import REFERENCE_KEY, USUAL_KEYS
from simcrop_core.models.weights_file import load_weights
from simcrop_core.text.encoder import load_text_encoder
from simcrop_training.data.source import Pair
from simcrop_training.methods import METHODS
from simcrop_training.objectives.fvlm import Fvlm
from simcrop_training.objectives.masked_reports import ReportMasker
from simcrop_training.objectives.pairs import PairData, PairObjective
from simcrop_training.objectives.simcrop_plus import SimCroPPlus
from simcrop_training.recipe import recipe_of

GROUNDING, ENCODER = "grounding.safetensors", "encoder.safetensors"
# One over the paper's temperature.
_REGION_SCALE = 1 / 0.07
# What calibrated weights hold besides the network.
_SENTENCES = (REFERENCE_KEY, *USUAL_KEYS)


class NothingToRead:
    """A source for a method that is not trained any more.

    Args:
        width: of its text tower.
    """

    pairs, pair_bytes = 0, 0

    def __init__(self, width: int) -> None:
        self._width = width

    def pair(self, ordinal: int) -> Pair:
        """None.

        Raises:
            IndexError: always.
        """
        raise IndexError(ordinal)

    def sentence_embeddings(self, _limit: int, /) -> NDArray[np.float32]:
        """(0, C)."""
        return np.zeros((0, self._width), np.float32)


@runtime_checkable
class Vectors(Protocol):
    """A method with one space of whole scans and texts."""

    masker: ReportMasker

    def image_vectors(self, images_B1HWD: Tensor, /) -> Tensor:
        """(B, C) of length 1."""

    def text_vectors(self, ids_BT: Tensor, attended_BT: Tensor, /) -> Tensor:
        """(B, C) of length 1."""

    def similarity_scale(self) -> float:
        """What cosines of a scan with texts are multiplied by."""


def _compares_scans(objective: Vectors) -> bool:
    """Whether it was trained with its contrast of whole scans, which `simcrop_plus` can do without."""
    return not isinstance(objective, SimCroPPlus) or objective.settings.instance > 0


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The result of a run.

    Attributes:
        vision: the image encoder.
        frame: what it sees of a scan.
        grounding: where sentences can be asked for their place, the network that answers.
        objective: where the method learned anything else, with all of it.
    """

    vision: VisionTransformer
    frame: FrameConfig
    grounding: GroundingModel | None = None
    objective: PairObjective | None = None

    @torch.no_grad()
    def features(self, frames_B1HWD: Tensor) -> Tensor:
        """(B, C) mean of the patch features, which a linear probe reads; the same for every method."""
        tokens_BNC: Tensor = self.vision(frames_B1HWD)
        return tokens_BNC[:, int(self.vision.config.cls_token) :].mean(dim=1)

    def to(self, device: torch.device) -> Trained:
        """Itself, with its networks on a device."""
        for module in (self.vision, self.grounding, self.objective.module if self.objective else None):
            if module is not None:
                module.to(device)
        return self

    @property
    def zero_shot(self) -> bool:
        """Whether scans and words can be compared without training anything on labels."""
        return self.grounding is not None or isinstance(self.objective, Fvlm | Vectors)

    @property
    def retrieves(self) -> bool:
        """Whether whole scans and whole reports have one space."""
        return self._whole is not None

    @property
    def _whole(self) -> Vectors | None:
        """The method, where it was trained to compare whole scans with whole texts."""
        objective = self.objective
        return objective if isinstance(objective, Vectors) and _compares_scans(objective) else None

    @property
    def scale(self) -> float:
        """What `similarities` are multiplied by before a softmax over prompts: learned, or 1/0.07."""
        whole = self._whole
        return _REGION_SCALE if whole is None else whole.similarity_scale()

    @torch.no_grad()
    def words(self, texts: Sequence[str]) -> Tensor:
        """(S, C) texts in the space where scans are compared with them, of length 1; the same for every scan.

        Raises:
            ValueError: the method learned no words.
        """
        device, objective = self.vision.pos_embed.device, self._whole
        if objective is not None:
            pieces = [objective.masker.pieces(text, "")[0] for text in texts]
            widest = max(map(len, pieces))
            ids_ST = torch.tensor([ids + [0] * (widest - len(ids)) for ids in pieces])
            attended_ST = torch.arange(widest)[None] < torch.tensor([len(ids) for ids in pieces])[:, None]
            return objective.text_vectors(ids_ST.to(device), attended_ST.to(device))
        model = self._regions()
        words_SC = embed(model, load_text_encoder(model.config.text), texts)
        return F.normalize(words_SC.to(device).float(), dim=-1)

    @torch.no_grad()
    def similarities(self, frames_B1HWD: Tensor, words_SC: Tensor) -> Tensor:
        """(B, S) on the CPU, cosine of scans with `words`: of whole vectors, or of a text with its nearest patches.

        Raises:
            ValueError: the method learned no words.
        """
        frames_B1HWD = frames_B1HWD.to(self.vision.pos_embed.device)
        if self._whole is not None:
            return (self._whole.image_vectors(frames_B1HWD) @ words_SC.T).cpu()
        model = self._regions()
        patches_BNC = F.normalize(model.encode(frames_B1HWD).float(), dim=-1)
        nearest_BSK = (words_SC @ patches_BNC.mT).topk(model.config.top_k, dim=-1).values
        return nearest_BSK.mean(dim=-1).cpu()

    def _regions(self) -> GroundingModel:
        if self.grounding is None:
            raise ValueError("This method has learned no words.")
        return self.grounding


def load_trained(folder: Path) -> Trained:
    """Read what a run exported into its folder.

    Raises:
        UnknownWeights: there is nothing.
        IncompatibleWeights: it is something else, or tensors do not fit.
    """
    model, objective = _grounding(folder / GROUNDING), _objective(folder / ENCODER)
    if objective is not None:
        return Trained(objective.vision, objective.data.frame, model, objective)
    if model is not None:
        return Trained(model.vision, model.config.frame, model)
    raise UnknownWeights(f"{folder} holds no trained weights.", hint="Give the --output folder of simcrop-train run.")


def _grounding(path: Path) -> GroundingModel | None:
    if not path.is_file():
        return None
    tensors, metadata = load_weights(path)
    assert isinstance(metadata.config, ModelConfig), "a file of this name"
    model = GroundingModel(metadata.config)
    model.load_flat_state_dict({key: t.float() for key, t in tensors.items() if key not in _SENTENCES})
    return model.eval()


def _objective(path: Path) -> PairObjective | None:
    if not path.is_file():
        return None
    tensors, metadata = load_weights(path)
    if not isinstance(metadata.config, EncoderConfig):
        raise IncompatibleWeights(
            f"{path} holds weights of the kind {metadata.kind}.", hint="Give what simcrop-train run exported."
        )
    try:
        recipe = recipe_of(metadata.config.recipe)
    except ValueError as fault:
        raise IncompatibleWeights(
            f"{path} was trained by a recipe that this version cannot read: {fault}",
            hint="Measure it with the version that trained it, or train it again.",
        ) from fault
    method = METHODS[recipe.objective].objective
    assert method is not None
    objective = method(
        recipe.pretraining(),
        PairData(metadata.config.frame, NothingToRead(recipe.pretraining().text.dim)),
        recipe.method,
        recipe.seed,
    )
    objective.load_flat_state_dict({key: t.float() for key, t in tensors.items()})
    objective.module.eval()
    return objective
