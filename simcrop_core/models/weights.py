"""From a set of weights to its models, ready to run; everything about weights files is imported from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from simcrop_core.errors import IncompatibleWeights, TaskNotSupported
from simcrop_core.models.checksum import sha256_of
from simcrop_core.models.config import EncoderConfig, M3dConfig, ModelConfig, SegmentationConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.m3d import M3dEncoder
from simcrop_core.models.registry import STARTER, WeightsFolder, list_weights, resolve_weights, weights_home
from simcrop_core.models.state import load_exactly
from simcrop_core.models.unetr import UNETR
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights_file import load_weights, save_weights
from simcrop_core.models.weights_metadata import (
    Provenance,
    Thresholds,
    WeightsMetadata,
    read_metadata,
)

__all__ = [
    "REFERENCE_KEY",
    "STARTER",
    "Provenance",
    "Thresholds",
    "WeightsFolder",
    "WeightsMetadata",
    "list_weights",
    "load_encoder",
    "load_grounding_model",
    "load_segmentation_model",
    "load_weights",
    "read_metadata",
    "resolve_weights",
    "save_weights",
    "sha256_of",
    "weights_home",
]

REFERENCE_KEY = "reference.embeddings"
USUAL_KEYS = ("usual.embeddings", "usual.scores")


@dataclass(frozen=True, slots=True, eq=False)
class StoredSentences:
    """Sentences that a weights file keeps beside its model, embedded in the patch space.

    Attributes:
        reference_RC: the reference sentences; None where the file has none.
        usual_MC: sentences whose score on chests in general was measured; None where that was not done.
        usual_M: those scores.
    """

    reference_RC: Tensor | None
    usual_MC: Tensor | None
    usual_M: Tensor | None


def load_grounding_model(folder: WeightsFolder) -> tuple[GroundingModel, WeightsMetadata, StoredSentences]:
    """The grounding model on the CPU, in float32, in eval mode and without gradients.

    Returns:
        The model; the file's metadata; and the sentences that it keeps.

    Raises:
        TaskNotSupported: the set has no grounding model.
        UnknownWeights: the file is not a whole weights file.
        IncompatibleWeights: the tensors are not those of the file's configuration.
    """
    if folder.grounding is None:
        raise TaskNotSupported(
            f"The weights {folder.name} cannot ground sentences.", hint=f"Use others, such as --weights {STARTER}."
        )
    tensors, metadata = load_weights(folder.grounding)
    config = metadata.config
    if not isinstance(config, ModelConfig):
        raise _wrong_kind(folder, metadata)
    # Copies, for the file stays locked on Windows as long as a tensor of it lives.
    stored = {key: tensors.pop(key).clone() for key in (REFERENCE_KEY, *USUAL_KEYS) if key in tensors}
    try:
        model = GroundingModel(config)
    except (TypeError, ValueError) as fault:
        raise _impossible(folder, fault) from fault
    sentences = _checked(folder, StoredSentences(*map(stored.get, (REFERENCE_KEY, *USUAL_KEYS))), model.width)
    model.load_flat_state_dict(tensors)
    return _frozen(model), metadata, sentences


def _checked(folder: WeightsFolder, sentences: StoredSentences, width: int) -> StoredSentences:
    """The sentences, if all are as wide as the patches and each usual score has its sentence."""
    for rows in (sentences.reference_RC, sentences.usual_MC):
        if rows is not None and (rows.ndim != 2 or rows.shape[1] != width):
            raise IncompatibleWeights(
                f"The reference sentences of {folder.name} are {tuple(rows.shape)}, not (R, {width}).",
                hint="Embed the reference sentences again with these weights.",
            )
    embedded, scored = (0 if rows is None else len(rows) for rows in (sentences.usual_MC, sentences.usual_M))
    if embedded != scored:
        raise IncompatibleWeights(
            f"{folder.name} has {scored} usual scores of {embedded} sentences.",
            hint="Calibrate the weights again (simcrop-train calibrate).",
        )
    return sentences


def load_segmentation_model(folder: WeightsFolder) -> tuple[UNETR, WeightsMetadata]:
    """The segmentation model on the CPU, in float32, in eval mode and without gradients.

    Raises:
        TaskNotSupported: the set has no segmentation model.
        UnknownWeights: the file is not a whole weights file.
        IncompatibleWeights: the tensors are not those of the file's configuration.
    """
    if folder.segmentation is None:
        raise TaskNotSupported(
            f"The weights {folder.name} cannot segment.", hint=f"Use others, such as --weights {STARTER}."
        )
    tensors, metadata = load_weights(folder.segmentation)
    config = metadata.config
    if not isinstance(config, SegmentationConfig):
        raise _wrong_kind(folder, metadata)
    try:
        model = UNETR(config)
    except (TypeError, ValueError) as fault:
        raise _impossible(folder, fault) from fault
    model.load_tensors(tensors)
    return _frozen(model), metadata


def load_encoder(folder: WeightsFolder) -> tuple[VisionTransformer | M3dEncoder, WeightsMetadata]:
    """The image encoder alone, on the CPU, in float32, in eval mode and without gradients.

    What a pre-training method left beside its encoder is passed over. A position table that the file does not hold
    follows from its configuration.

    Raises:
        TaskNotSupported: the set has no such encoder.
        UnknownWeights: the file is not a whole weights file.
        IncompatibleWeights: the tensors are not those of the file's configuration.
    """
    if folder.encoder is None:
        raise TaskNotSupported(f"The weights {folder.name} have no image encoder of their own.", hint="Use others.")
    tensors, metadata = load_weights(folder.encoder)
    config = metadata.config
    if not isinstance(config, EncoderConfig | M3dConfig):
        raise _wrong_kind(folder, metadata)
    shared = isinstance(config, EncoderConfig)
    try:
        encoder = VisionTransformer(config.vision) if isinstance(config, EncoderConfig) else M3dEncoder(config)
    except (TypeError, ValueError) as fault:
        raise _impossible(folder, fault) from fault
    own = encoder.state_dict().keys()
    load_exactly(
        encoder,
        {key: tensor for key, tensor in tensors.items() if key in own},
        optional=("pos_embed",) if shared else (),
    )
    return _frozen(encoder), metadata


_Model = TypeVar("_Model", bound=nn.Module)


def _frozen(model: _Model) -> _Model:
    return model.eval().requires_grad_(False)


def _wrong_kind(folder: WeightsFolder, metadata: WeightsMetadata) -> IncompatibleWeights:
    return IncompatibleWeights(
        f"A file of {folder.name} holds a {metadata.kind} model under the name of the other kind.",
        hint="Files such as grounding.safetensors and segmentation.safetensors were swapped; rename them.",
    )


def _impossible(folder: WeightsFolder, fault: Exception) -> IncompatibleWeights:
    return IncompatibleWeights(
        f"The configuration in {folder.name} is of no possible model: {fault}.", hint="Fetch or write the file again."
    )
