"""From a set of weights to its models, ready to run; everything about weights files is imported from here."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn

from simcrop_core.errors import IncompatibleWeights, TaskNotSupported
from simcrop_core.models.checksum import sha256_of
from simcrop_core.models.config import ModelConfig, SegmentationConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.registry import STARTER, WeightsFolder, list_weights, resolve_weights, weights_home
from simcrop_core.models.unetr import UNETR
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


def load_grounding_model(folder: WeightsFolder) -> tuple[GroundingModel, WeightsMetadata, Tensor | None]:
    """The grounding model on the CPU, in float32, in eval mode and without gradients.

    Returns:
        The model; the file's metadata; and the (R, C) embeddings of the reference sentences, already projected, where
        the file has them.

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
    reference_RC = tensors.pop(REFERENCE_KEY, None)
    try:
        model = GroundingModel(config)
    except (TypeError, ValueError) as fault:
        raise _impossible(folder, fault) from fault
    if reference_RC is not None and (reference_RC.ndim != 2 or reference_RC.shape[1] != model.width):
        raise IncompatibleWeights(
            f"The reference sentences of {folder.name} are {tuple(reference_RC.shape)}, not (R, {model.width}).",
            hint="Embed the reference sentences again with these weights.",
        )
    model.load_flat_state_dict(tensors)
    # A copy, for the file stays locked on Windows as long as a tensor of it lives.
    return _frozen(model), metadata, None if reference_RC is None else reference_RC.clone()


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


_Model = TypeVar("_Model", bound=nn.Module)


def _frozen(model: _Model) -> _Model:
    return model.eval().requires_grad_(False)


def _wrong_kind(folder: WeightsFolder, metadata: WeightsMetadata) -> IncompatibleWeights:
    return IncompatibleWeights(
        f"A file of {folder.name} holds a {metadata.kind} model under the name of the other kind.",
        hint="grounding.safetensors and segmentation.safetensors were swapped; rename them.",
    )


def _impossible(folder: WeightsFolder, fault: Exception) -> IncompatibleWeights:
    return IncompatibleWeights(
        f"The configuration in {folder.name} is of no possible model: {fault}.", hint="Fetch or write the file again."
    )
