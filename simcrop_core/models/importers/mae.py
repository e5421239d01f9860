"""A 2D masked auto-encoder's ViT as the start of a 3D one (docs/methods/simcrop.md, A23)."""

from __future__ import annotations

from torch import Tensor

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.models.config import ModelConfig, TextConfig, VisionConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.importers.checkpoint import Checkpoint
from simcrop_core.models.importers.encoder_keys import encoder_size
from simcrop_core.models.importers.report import (
    ImportedModel,
    fit,
    provenance_of,
    report_of,
    require_one_width,
    shapes_of,
)
from simcrop_core.models.weights_metadata import WeightsMetadata

_PATCH_WEIGHT, _TABLE = "patch_embed.proj.weight", "pos_embed"


def inflate(weight_CRHW: Tensor, depth: int) -> Tensor:
    """A 2D patch embedding of colours as a 3D one of Hounsfield units.

    The colours are summed and every slice of the patch gets an equal share, so a volume that is the same in all slices
    is embedded as the grey image of one slice is.

    Args:
        weight_CRHW: (width, colours, patch, patch).
        depth: voxels of a patch along z.

    Returns:
        (width, 1, patch, patch, depth).
    """
    return (weight_CRHW.sum(dim=1, keepdim=True) / depth).unsqueeze(-1).repeat(1, 1, 1, 1, depth)


def import_mae(checkpoint: Checkpoint, *, name: str, text: TextConfig) -> ImportedModel:
    """Grounding weights from an encoder pre-trained on photographs (MAE, ECAMP and MRM have one layout).

    Blocks, final LayerNorm and class token are copied, the patch embedding is inflated, and the position table is the
    project's own for three axes.

    Args:
        checkpoint: its tensors have timm's names.
        name: of the set of weights.
        text: the sentence encoder; sentences and patches must have one width.

    Raises:
        IncompatibleWeights: a tensor of the patch embedding, of a block or of the final LayerNorm is missing or has
            another shape, or the file is of another kind.
    """
    size = encoder_size(checkpoint.tensors)
    frame = FrameConfig()
    if size.patch != frame.patch[:2]:
        raise IncompatibleWeights(
            f"The patch embedding is for patches of {' × '.join(map(str, size.patch))}, not of 16 × 16 pixels.",
            hint="Of the 2D encoders, those of patch size 16 are imported; 3D ones with --format simcrop.",
        )
    vision = VisionConfig(
        dim=size.dim, depth=size.depth, heads=size.heads, mlp_ratio=size.mlp_ratio, cls_token=size.cls_token
    )
    config = ModelConfig(vision=vision, text=text, frame=frame)
    require_one_width(config)
    tensors = {key: tensor for key, tensor in checkpoint.tensors.items() if key != _TABLE}
    tensors[_PATCH_WEIGHT] = inflate(tensors[_PATCH_WEIGHT].float(), frame.patch[2])
    fitted = fit(tensors, shapes_of(GroundingModel(config).flat_state_dict()), may_lack=(_TABLE,))
    report = report_of(
        checkpoint,
        "mae",
        loaded=fitted.tensors.keys(),
        missing=fitted.missing,
        mismatched=[_TABLE] if _TABLE in checkpoint.tensors else [],
        notes=[
            "Warning: these weights have seen neither a CT nor a sentence. They are a start for training; what they "
            "ground means nothing.",
            f"The patch embedding was inflated from {size.channels} colours to {frame.patch[2]} slices.",
            "The position table is the three-axis one; the file's is for images.",
        ],
    )
    provenance = provenance_of(
        report, trained_on="photographs, as a masked auto-encoder; no CT and no report", data="ImageNet-1k"
    )
    return ImportedModel(fitted.tensors, WeightsMetadata(name, config, provenance), report)
