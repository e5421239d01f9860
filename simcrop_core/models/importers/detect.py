"""Which importer a checkpoint is for, told from its keys."""

from __future__ import annotations

from simcrop_core.errors import UnknownWeights
from simcrop_core.models.importers.checkpoint import Checkpoint
from simcrop_core.models.importers.licences import WeightsFormat

_PATCH_WEIGHT = "patch_embed.proj.weight"
_M3D_TABLES = tuple(prefix + "patch_embedding.position_embeddings" for prefix in ("", "vision_encoder."))
_SHOWN = 5


def detect_format(checkpoint: Checkpoint) -> WeightsFormat:
    """The importer for a checkpoint, told by the prefix of its encoder and the kind of its patch embedding.

    Raises:
        UnknownWeights: no importer knows these keys.
    """
    keys = checkpoint.tensors.keys()
    if _PATCH_WEIGHT in keys:
        return "mae" if checkpoint.tensors[_PATCH_WEIGHT].ndim == 4 else "simcrop"
    if "vit." + _PATCH_WEIGHT in keys:
        return "unetr"
    # Before the sentence encoders: M3D-CLIP's file holds one beside its image encoder.
    if any(table in keys for table in _M3D_TABLES):
        return "m3d"
    if any(key.endswith("embeddings.word_embeddings.weight") for key in keys):
        raise UnknownWeights(
            f"{checkpoint.source.name} holds a sentence encoder.",
            hint="Give the folder it is in, with config.json and vocab.txt beside it.",
        )
    shown = ", ".join(sorted(keys)[:_SHOWN])
    raise UnknownWeights(
        f"No importer knows the tensors of {checkpoint.source.name} ({len(keys)}: {shown} …).",
        hint="Imported are the released SimCroP encoder and UNETR, MAE-style ViTs, M3D-CLIP's encoder, and BERT "
        "folders (docs/weights.md).",
    )
