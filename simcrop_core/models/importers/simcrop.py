"""The released SimCroP encoder, or any file with its key names, as grounding weights."""

from __future__ import annotations

import torch
from torch import Tensor

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.models.config import ModelConfig, TextConfig, VisionConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.importers.checkpoint import Checkpoint
from simcrop_core.models.importers.encoder_keys import EncoderSize, cubic_grid, encoder_size, is_depth_blind
from simcrop_core.models.importers.report import (
    ImportedModel,
    fit,
    provenance_of,
    report_of,
    require_one_width,
    shapes_of,
)
from simcrop_core.models.weights_metadata import WeightsMetadata

_PAPER_GRID = (14, 14, 14)
_CODE_DEPTH, _PAPER_DEPTH = 12, 8
_NORM = ("norm.weight", "norm.bias")
_FC_NORM = ("fc_norm.weight", "fc_norm.bias")


def import_simcrop(checkpoint: Checkpoint, *, name: str, text: TextConfig) -> ImportedModel:
    """Grounding weights from an encoder with the released layout (docs/weights.md).

    The depth is that of the keys, patch and grid are those of the shapes, and the position table is kept as it is. The
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
    vision = _vision(size, checkpoint.tensors.get("pos_embed"))
    frame = FrameConfig(shape=vision.image, patch=vision.patch, axes="stored", padding="reflect", placement="volume")
    config = ModelConfig(vision=vision, text=text, frame=frame)
    require_one_width(config)
    norm_keys, norm = _final_norm(checkpoint.tensors, size.dim)
    fitted = fit(
        {**checkpoint.tensors, **norm}, shapes_of(GroundingModel(config).flat_state_dict()), may_lack=("pos_embed",)
    )
    report = report_of(
        checkpoint,
        "simcrop",
        loaded=(fitted.tensors.keys() - norm.keys()) | set(norm_keys),
        missing=fitted.missing if norm_keys else (*fitted.missing, *_NORM),
        notes=[
            _depth_note(size.depth),
            _norm_note(norm_keys),
            _table_note(vision, checkpoint.tensors.get("pos_embed")),
        ],
    )
    provenance = provenance_of(
        report, trained_on="CT-RATE chest CTs and their reports, by the authors of SimCroP", data="CT-RATE"
    )
    return ImportedModel(fitted.tensors, WeightsMetadata(name, config, provenance), report)


def _vision(size: EncoderSize, table_1NC: Tensor | None) -> VisionConfig:
    if size.channels != 1 or len(size.patch) != 3:
        raise IncompatibleWeights(
            f"The patch embedding takes {size.channels} channels in {len(size.patch)} dimensions, not one volume.",
            hint="2D encoders pre-trained as masked auto-encoders are imported with --format mae.",
        )
    grid = _PAPER_GRID if table_1NC is None else cubic_grid(table_1NC, cls_row=size.cls_token)
    x, y, z = size.patch
    return VisionConfig(
        image=(grid[0] * x, grid[1] * y, grid[2] * z),
        patch=(x, y, z),
        dim=size.dim,
        depth=size.depth,
        heads=size.heads,
        mlp_ratio=size.mlp_ratio,
        positions="simcrop_official" if table_1NC is None else "checkpoint",
        cls_token=size.cls_token,
    )


def _final_norm(tensors: dict[str, Tensor], dim: int) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """The last LayerNorm: the keys it has in the file (none: it only normalises), and its two tensors."""
    for keys in (_NORM, _FC_NORM):
        if all(key in tensors for key in keys):
            return keys, {ours: tensors[theirs] for ours, theirs in zip(_NORM, keys, strict=True)}
    return (), {"norm.weight": torch.ones(dim), "norm.bias": torch.zeros(dim)}


def _depth_note(depth: int) -> str:
    if depth == _CODE_DEPTH:
        return f"{depth} blocks, as in the released code (the paper says {_PAPER_DEPTH})."
    if depth == _PAPER_DEPTH:
        return (
            f"{depth} blocks, as the paper says. The released code would put {_CODE_DEPTH - depth} random ones on top."
        )
    return f"{depth} blocks: the paper says {_PAPER_DEPTH} and the released code has {_CODE_DEPTH}."


def _norm_note(keys: tuple[str, ...]) -> str:
    if keys == _NORM:
        return "The final LayerNorm is the file's norm, which the released down-stream code leaves out."
    if keys == _FC_NORM:
        return "The final LayerNorm of the patches is the file's fc_norm, as in the released segmentation code."
    return "The file has no final LayerNorm: patches are normalised without scale and shift."


def _table_note(vision: VisionConfig, table_1NC: Tensor | None) -> str:
    if table_1NC is None:
        return (
            "Warning: the file has no position table. The released code's is used, for 14 × 14 × 14 patches; "
            "it does not tell slices apart."
        )
    if is_depth_blind(table_1NC, vision.grid, cls_row=vision.cls_token):
        return (
            "Warning: the position table is the same for all patches above one another, so the encoder does not know "
            "where along the body a patch lies. It is kept, since the weights were trained with it."
        )
    return f"The position table is the file's own, for {' × '.join(map(str, vision.grid))} patches."
