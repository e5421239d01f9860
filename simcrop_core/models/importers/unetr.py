"""The released UNETR, fine-tuned (`model.pt`), as segmentation weights."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.models.config import SegmentationConfig, VisionConfig
from simcrop_core.models.importers.checkpoint import Checkpoint
from simcrop_core.models.importers.encoder_keys import cubic_grid, encoder_size
from simcrop_core.models.importers.report import ImportedModel, fit, provenance_of, report_of, shapes_of
from simcrop_core.models.presets import BTCV_LABELS, segmentation_window
from simcrop_core.models.structures import each_alone
from simcrop_core.models.unetr import UNETR
from simcrop_core.models.weights_metadata import WeightsMetadata

_ENCODER, _TABLE = "vit.", "vit.pos_embed"
_CODE_GRID = (6, 6, 6)
_SKIPS = (3, 6, 9)
LUNA16_LABELS = ("background", "left lung", "right lung", "trachea")


def import_unetr(checkpoint: Checkpoint, *, name: str) -> ImportedModel:
    """Segmentation weights from a fine-tuned UNETR of the released layout (docs/weights.md).

    Its class token, and the three convolutions that older MONAI versions created and no forward pass reads, are left
    aside. The labels are told by their number: 14 are BTCV's, 4 the lungs and trachea of LUNA16.

    Args:
        checkpoint: its tensors have the released names, the encoder's behind `vit.`.
        name: of the set of weights.

    Raises:
        IncompatibleWeights: a tensor is missing or has another shape, or the file is of another kind.
    """
    config = _config(checkpoint.tensors)
    fitted = fit(checkpoint.tensors, shapes_of(UNETR(config).state_dict()), may_lack=(_TABLE,))
    report = report_of(
        checkpoint,
        "unetr",
        loaded=fitted.tensors.keys(),
        missing=fitted.missing,
        notes=_notes(config, has_table=_TABLE in checkpoint.tensors),
    )
    provenance = provenance_of(report, trained_on=_trained_on(config.labels), data=None)
    metadata = WeightsMetadata(name, config, provenance, tasks=_tasks(config.labels))
    return ImportedModel(fitted.tensors, metadata, report)


def _config(tensors: dict[str, Tensor]) -> SegmentationConfig:
    size = encoder_size({key.removeprefix(_ENCODER): t for key, t in tensors.items() if key.startswith(_ENCODER)})
    head, image_block = tensors.get("out.conv.conv.weight"), tensors.get("encoder1.layer.conv1.conv.weight")
    if head is None or image_block is None or len(size.patch) != 3 or size.depth <= _SKIPS[-1]:
        raise IncompatibleWeights(
            f"The file is no whole UNETR of the released layout (an encoder of {size.depth} blocks and its decoder).",
            hint="Give the model.pt of a fine-tuning run; an encoder alone is imported with --format simcrop.",
        )
    table = tensors.get(_TABLE)
    # The released UNETR keeps a class token that its table has no row for.
    grid = _CODE_GRID if table is None else cubic_grid(table, cls_row=False)
    x, y, z = size.patch
    labels = _labels(len(head))
    window = segmentation_window((grid[0] * x, grid[1] * y, grid[2] * z), (x, y, z))
    vision = VisionConfig(
        image=window.shape,
        patch=window.patch,
        dim=size.dim,
        depth=size.depth,
        heads=size.heads,
        mlp_ratio=size.mlp_ratio,
        positions="simcrop_official" if table is None else "checkpoint",
        cls_token=False,
    )
    # The released recipes resample BTCV to the paper's spacing, LUNA16 to 1 mm.
    frame = dataclasses.replace(window, spacing_mm=(1.0, 1.0, 1.0)) if labels == LUNA16_LABELS else window
    return SegmentationConfig(vision, frame, labels, feature_size=len(image_block), skips=_SKIPS)


def _labels(count: int) -> tuple[str, ...]:
    known = {len(labels): labels for labels in (BTCV_LABELS, LUNA16_LABELS)}
    return known.get(count, ("background", *(f"label {value}" for value in range(1, count))))


def _tasks(labels: tuple[str, ...]) -> dict[str, dict[str, tuple[int, ...]]]:
    name = {LUNA16_LABELS: "lungs", BTCV_LABELS: "abdomen"}.get(labels, "all")
    return {name: each_alone(labels, range(1, len(labels)))}


def _trained_on(labels: tuple[str, ...]) -> str:
    data = {LUNA16_LABELS: "LUNA16 (lungs and trachea)", BTCV_LABELS: "BTCV (abdominal organs)"}.get(labels)
    return f"{data}, with the released fine-tuning code" if data else "an unknown data set"


def _notes(config: SegmentationConfig, *, has_table: bool) -> list[str]:
    count = len(config.labels)
    notes = [f"{count} labels, taken for those of {_trained_on(config.labels).partition(',')[0]}."]
    if config.labels not in (LUNA16_LABELS, BTCV_LABELS):
        notes = [f"Warning: {count} labels, of no data set the released code knows; they are numbered."]
    if not has_table:
        notes.append("The file has no position table; the released code's is used, for windows of 96 × 96 × 48 voxels.")
    return notes
