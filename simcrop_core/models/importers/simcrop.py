"""The released SimCroP encoder, or any file with its key names, as grounding weights."""

from __future__ import annotations

import datetime

import torch
from torch import Tensor

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.models.config import ModelConfig, TextConfig, VisionConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.importers.checkpoint import Checkpoint
from simcrop_core.models.importers.encoder_keys import EncoderSize, cubic_grid, encoder_size, is_depth_blind
from simcrop_core.models.importers.licences import LICENCES
from simcrop_core.models.importers.report import ImportedModel, ImportReport, fit
from simcrop_core.models.weights_metadata import Provenance, WeightsMetadata

_PAPER_GRID = (14, 14, 14)
_CODE_DEPTH, _PAPER_DEPTH = 12, 8
_NORM = ("norm.weight", "norm.bias")
_FC_NORM = ("fc_norm.weight", "fc_norm.bias")


def import_simcrop(checkpoint: Checkpoint, *, name: str, text: TextConfig) -> ImportedModel:
    """Grounding weights from an encoder with the released layout (docs/weights.md).

    The depth is that of the keys, patch and grid those of the shapes, and the position table is kept as it is. The
    frame is that of the released code: axes as stored, mirrored padding, centred on the volume.

    Args:
        checkpoint: its tensors have timm's names.
        name: of the set of weights.
        text: the sentence encoder; sentences and patches must have one width.

    Raises:
        IncompatibleWeights: a tensor of the patch embedding or of a block is missing or has another shape, or the
            file is of another kind.
    """
    size = encoder_size(checkpoint.tensors)
    tensors, notes = dict(checkpoint.tensors), [*_size_notes(size)]
    lacking: list[str] = []
    vision = _vision(size, tensors, notes)
    frame = FrameConfig(
        shape=vision.image, patch=vision.patch, axes="stored", padding="reflect", placement="volume"
    )
    config = ModelConfig(vision=vision, text=text, frame=frame)
    require_one_width(config)
    lacking += _settle_final_norm(tensors, size.dim, notes)
    fitted = fit(tensors, GroundingModel(config).flat_state_dict(), may_lack=("pos_embed",))
    loaded = tuple(key for key in checkpoint.tensors if key in fitted.tensors or _stands_for_norm(key, fitted.tensors, checkpoint))
    return None  # type: ignore


def _vision(size: EncoderSize, tensors: dict[str, Tensor], notes: list[str]) -> VisionConfig:
    ...
