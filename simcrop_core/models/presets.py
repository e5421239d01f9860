"""The named networks: for grounding, segmentation and pre-training."""

from __future__ import annotations

from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.models.config import (
    ImageDecoderConfig,
    ModelConfig,
    PretrainingConfig,
    ReportDecoderConfig,
    SegmentationConfig,
    TextConfig,
    VisionConfig,
)
from simcrop_core.models.structures import CHEST_LABELS

_MINILM = TextConfig(encoder="minilm", dim=384, pooling="mean", max_tokens=64)

PRESETS: dict[str, ModelConfig] = {
    # The paper's network: ViT-B, CXR-BERT, no projection (docs/methods/simcrop.md, A1, A7).
    "base": ModelConfig(),
    # The embedded default, trained by this project and shipped as `starter`.
    "small": ModelConfig(vision=VisionConfig(dim=192, depth=6, heads=3), text=_MINILM, projection="mlp", top_k=8),
    # To compare methods with each other on a CPU: patches of 48 mm.
    "mini": ModelConfig(
        vision=VisionConfig(image=(56, 56, 28), patch=(8, 8, 4), dim=96, depth=4, heads=3),
        text=_MINILM,
        frame=FrameConfig(spacing_mm=(6.0, 6.0, 12.0), shape=(56, 56, 28), patch=(8, 8, 4)),
        projection="mlp",
        top_k=4,
    ),
    # For tests: the whole pipeline in milliseconds.
    "tiny": ModelConfig(
        vision=VisionConfig(image=(32, 32, 16), patch=(8, 8, 4), dim=48, depth=2, heads=2),
        text=TextConfig(encoder="minilm", dim=384, pooling="mean", max_tokens=32),
        frame=FrameConfig(spacing_mm=(10.5, 10.5, 21.0), shape=(32, 32, 16), patch=(8, 8, 4), tile_overlap=1),
        projection="linear",
        top_k=4,
    ),
}

BTCV_LABELS = (
    "background",
    "spleen",
    "right kidney",
    "left kidney",
    "gallbladder",
    "oesophagus",
    "liver",
    "stomach",
    "aorta",
    "inferior vena cava",
    "portal and splenic veins",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
)


def segmentation_window(shape: tuple[int, int, int], patch: tuple[int, int, int] = (16, 16, 8)) -> FrameConfig:
    """The frame of one sliding window of that many voxels, at 1.5 × 1.5 × 3.0 mm."""
    return FrameConfig(shape=shape, patch=patch, placement="volume")


SEGMENTATION_PRESETS: dict[str, SegmentationConfig] = {
    # The released UNETR, as fine-tuned on BTCV (docs/methods/simcrop.md).
    "base": SegmentationConfig(
        vision=VisionConfig(image=(96, 96, 48), positions="simcrop_official", cls_token=False),
        frame=segmentation_window((96, 96, 48)),
        labels=BTCV_LABELS,
    ),
    # The embedded default: the encoder, the patches and the whole frame of the grounding preset of that name, in voxels
    # of twice the edge. One window sees both lungs; labels are interpolated to the scan's own grid afterwards, and
    # the edge of the lungs is drawn there by density.
    "small": SegmentationConfig(
        vision=VisionConfig(image=(112, 112, 56), patch=(8, 8, 4), dim=192, depth=6, heads=3, cls_token=False),
        frame=FrameConfig(
            spacing_mm=(3.0, 3.0, 6.0), shape=(112, 112, 56), patch=(8, 8, 4), placement="volume", tile_overlap=0
        ),
        labels=CHEST_LABELS,
        feature_size=16,
        skips=(1, 3),
        lung_edges=True,
    ),
    # For tests: the whole pipeline in milliseconds.
    "tiny": SegmentationConfig(
        vision=VisionConfig(image=(32, 32, 16), patch=(8, 8, 4), dim=48, depth=4, heads=2, cls_token=False),
        frame=FrameConfig(spacing_mm=(6.0, 6.0, 12.0), shape=(32, 32, 16), patch=(8, 8, 4), placement="volume"),
        labels=CHEST_LABELS,
        feature_size=4,
        skips=(0, 1, 2),
    ),
}

PRETRAINING_PRESETS: dict[str, PretrainingConfig] = {
    "base": PretrainingConfig(),
    # The pre-training of the embedded default: its encoder, MiniLM, and decoders that a CPU can train.
    "small": PretrainingConfig(
        vision=PRESETS["small"].vision,
        text=_MINILM,
        report_dim=384,
        image_decoder=ImageDecoderConfig(dim=192, depth=2, heads=3),
        report_decoder=ReportDecoderConfig(dim=192, depth=2, heads=3, hidden=384),
        projection="mlp",
        top_k=8,
        fusion_heads=6,
        project_global=True,
    ),
    # To compare methods with each other on a CPU.
    "mini": PretrainingConfig(
        vision=PRESETS["mini"].vision,
        text=_MINILM,
        report_dim=384,
        image_decoder=ImageDecoderConfig(dim=96, depth=2, heads=3),
        report_decoder=ReportDecoderConfig(dim=96, depth=2, heads=3, hidden=192),
        projection="mlp",
        top_k=4,
        fusion_heads=6,
        project_global=True,
    ),
    # For tests: every part, in milliseconds.
    "tiny": PretrainingConfig(
        vision=PRESETS["tiny"].vision,
        text=PRESETS["tiny"].text,
        report_dim=384,
        image_decoder=ImageDecoderConfig(dim=48, depth=1, heads=2),
        report_decoder=ReportDecoderConfig(dim=48, depth=1, heads=2, hidden=96),
        projection="linear",
        top_k=4,
        fusion_heads=2,
        project_global=True,
    ),
}
