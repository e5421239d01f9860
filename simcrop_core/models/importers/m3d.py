"""M3D-CLIP's image encoder, out of the whole model or as its bare ViT (docs/methods/m3d.md)."""

from __future__ import annotations

import re

from torch import Tensor

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.models.config import M3dConfig
from simcrop_core.models.importers.checkpoint import Checkpoint
from simcrop_core.models.importers.report import ImportedModel, fit, provenance_of, report_of, shapes_of
from simcrop_core.models.m3d import M3dEncoder
from simcrop_core.models.weights_metadata import WeightsMetadata

_PREFIX = "vision_encoder."
_HEAD_WIDTH = 64
# MONAI's names and ours. Of a perceptron the linear layer is the second part, behind the cutting into patches.
_RENAMED = (
    (re.compile(r"^patch_embedding\.position_embeddings$"), "pos_embed"),
    (re.compile(r"^patch_embedding\.patch_embeddings\.(1\.)?(?=weight$|bias$)"), "patch_embed.proj."),
    (re.compile(r"(?<=\.mlp\.)linear([12])(?=\.)"), r"fc\1"),
    (re.compile(r"(?<=\.attn\.)out_proj(?=\.)"), "proj"),
)
_PATCH_WEIGHT, _TABLE = "patch_embed.proj.weight", "pos_embed"
_BLOCK = re.compile(r"blocks\.(\d+)\.")


def import_m3d(checkpoint: Checkpoint, *, name: str) -> ImportedModel:
    """Image encoder weights from M3D-CLIP (`vision_encoder.*`), or from a file of the bare ViT (`pretrained_ViT.bin`).

    Everything beside the image encoder is left out. A row of the linear patch embedding holds the voxels of a patch by
    slice, row and column, which is a convolution's kernel laid out flat.

    Args:
        checkpoint: its tensors have MONAI's names.
        name: of the set of weights.

    Raises:
        IncompatibleWeights: a tensor of the encoder is missing or has another shape, or the file is of another kind.
    """
    prefixed = any(key.startswith(_PREFIX) for key in checkpoint.tensors)
    stored = [key for key in checkpoint.tensors if not prefixed or key.startswith(_PREFIX)]
    names = {_ours(key.removeprefix(_PREFIX)): key for key in stored}
    tensors = {ours: checkpoint.tensors[theirs] for ours, theirs in names.items()}
    config = _config(tensors)
    weight = tensors[_PATCH_WEIGHT]
    tensors[_PATCH_WEIGHT] = weight.reshape(config.dim, 1, *config.patch)
    fitted = fit(tensors, shapes_of(M3dEncoder(config).state_dict()))
    report = report_of(
        checkpoint,
        "m3d",
        loaded=[names[key] for key in fitted.tensors],
        missing=fitted.missing,
        notes=[
            f"{config.depth} blocks for inputs of {' × '.join(map(str, config.image))}, slices first: the body, "
            "resized whatever its size.",
            "Its makers trained on windowed pictures. How Hounsfield units are shown is this project's choice: "
            "−1000…1000 as 0…1.",
        ],
    )
    provenance = provenance_of(
        report, trained_on="CTs of all body regions and their descriptions, by the authors of M3D", data="M3D-Cap"
    )
    return ImportedModel(fitted.tensors, WeightsMetadata(name, config, provenance), report)


def _ours(key: str) -> str:
    for theirs, ours in _RENAMED:
        key = theirs.sub(ours, key)
    return key


def _config(tensors: dict[str, Tensor]) -> M3dConfig:
    """Width and depth of the file; its patch and its grid are M3D's or it is another network.

    Raises:
        IncompatibleWeights: it is another network.
    """
    released = M3dConfig()
    weight, table = tensors.get(_PATCH_WEIGHT), tensors.get(_TABLE)
    blocks = {int(found[1]) for key in tensors if (found := _BLOCK.match(key))}
    slices, rows, columns = released.patch
    voxels = slices * rows * columns
    if weight is None or table is None or not blocks or tuple(weight.shape[1:]) != (voxels,):
        raise IncompatibleWeights(
            f"The file holds no ViT with a linear embedding of patches of {slices} × {rows} × {columns} voxels.",
            hint="Of MONAI's ViTs only M3D-CLIP's image encoder is imported.",
        )
    if weight.shape[0] % _HEAD_WIDTH or tuple(table.shape) != (1, released.tokens, weight.shape[0]):
        raise IncompatibleWeights(
            f"The position table {tuple(table.shape)} is not of {released.tokens} patches of width {weight.shape[0]}.",
            hint="Of MONAI's ViTs only M3D-CLIP's image encoder is imported.",
        )
    dim = weight.shape[0]
    hidden = tensors.get("blocks.0.mlp.fc1.bias")
    return M3dConfig(
        dim=dim,
        depth=max(blocks) + 1,
        heads=dim // _HEAD_WIDTH,
        mlp_ratio=4 if hidden is None else len(hidden) // dim,
    )
