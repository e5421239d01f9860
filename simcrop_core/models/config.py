"""The numbers that define a model for grounding, segmentation or pre-training, and the named presets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from simcrop_core.imaging.frame_config import FrameConfig

PositionMode = Literal["sincos3d", "simcrop_official", "checkpoint"]
Projection = Literal["none", "linear", "mlp", "two-sided"]


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """The 3D ViT (docs/methods/simcrop.md).

    Attributes:
        image: voxels of one frame along x, y, z.
        patch: voxels of one patch along x, y, z.
        positions: how the fixed position table is filled; "checkpoint" takes the one in the weights file.
        cls_token: whether a class token stands before the patch tokens.
    """

    image: tuple[int, int, int] = (224, 224, 112)
    patch: tuple[int, int, int] = (16, 16, 8)
    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: int = 4
    positions: PositionMode = "sincos3d"
    cls_token: bool = True

    @property
    def grid(self) -> tuple[int, int, int]:
        """Patches of one frame along x, y, z."""
        x, y, z = (i // p for i, p in zip(self.image, self.patch, strict=True))
        return x, y, z

    @property
    def tokens(self) -> int:
        """Patches of one frame."""
        x, y, z = self.grid
        return x * y * z


@dataclass(frozen=True, slots=True)
class TextConfig:
    """The frozen sentence encoder.

    Attributes:
        encoder: "minilm" (inside the package), a Hugging Face directory, or a Hub id.
        dim: width of its embeddings.
        pooling: "cls" (last layer's [CLS]) or "mean" over the sentence's tokens.
        max_tokens: longer sentences are cut.
        short_forms: whether a sentence is read together with its short form (docs/text.md).
    """

    encoder: str = "microsoft/BiomedVLP-CXR-BERT-specialized"
    dim: int = 768
    pooling: Literal["cls", "mean"] = "cls"
    max_tokens: int = 64
    short_forms: bool = False


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One grounding model: what it sees, how it encodes images and sentences, how the two are compared.

    Attributes:
        projection: of the sentence embedding into the patch space: "none" where both have one width (the paper),
            "linear", "mlp", or "two-sided": one linear map each, of sentences and of patches.
        projection_dim: width both sides meet in, with "two-sided".
        top_k: patches that make a sentence's region at inference, all patches visible.
    """

    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    frame: FrameConfig = field(default_factory=FrameConfig)
    projection: Projection = "none"
    projection_dim: int = 256
    top_k: int = 256

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, as stored in a weights file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> ModelConfig:
        """The inverse of `to_dict`."""
        return cls(
            vision=_build(VisionConfig, stored["vision"]),
            text=_build(TextConfig, stored["text"]),
            frame=_build(FrameConfig, stored["frame"]),
            projection=stored["projection"],
            projection_dim=stored["projection_dim"],
            top_k=stored["top_k"],
        )


@dataclass(frozen=True, slots=True)
class SegmentationConfig:
    """One UNETR: an encoder over windows of a scan, and a decoder to one label a voxel.

    Attributes:
        vision: the encoder, one window an image, without class token.
        frame: spacing and HU window of what it sees; `frame.shape` is one window of the sliding window.
        labels: names by value, the background first.
        feature_size: channels of the decoder at full resolution.
        skips: indices of the encoder blocks whose output goes to encoder2, encoder3 and encoder4. Two, without
            encoder4 and decoder5, where a patch has so few voxels that two doublings of the patch grid suffice.
        lung_edges: whether the edge of lungs is drawn by the scan's own density (`inference.lung_edges`).
    """

    vision: VisionConfig
    frame: FrameConfig
    labels: tuple[str, ...]
    feature_size: int = 16
    skips: tuple[int, ...] = (3, 6, 9)
    lung_edges: bool = False

    def __post_init__(self) -> None:
        if self.vision.image != self.frame.shape or self.vision.patch != self.frame.patch:
            raise ValueError(f"The encoder sees {self.vision.image}, but a window is {self.frame.shape}.")
        if self.vision.cls_token:
            raise ValueError("A segmentation encoder has no class token.")
        rising = list(self.skips) == sorted(set(self.skips) & set(range(self.vision.depth)))
        if len(self.skips) not in (2, 3) or not rising:
            raise ValueError(f"{self.skips} are not two or three rising blocks of {self.vision.depth}.")

    @property
    def window(self) -> tuple[int, int, int]:
        """Voxels of one window along x, y, z."""
        return self.frame.shape

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, as stored in a weights file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> SegmentationConfig:
        """The inverse of `to_dict`."""
        return cls(
            vision=_build(VisionConfig, stored["vision"]),
            frame=_build(FrameConfig, stored["frame"]),
            labels=tuple(stored["labels"]),
            feature_size=stored["feature_size"],
            skips=tuple(stored["skips"]),
            lung_edges=stored.get("lung_edges", False),
        )


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """An image encoder that some pre-training method left behind, to be probed or trained on.

    Attributes:
        method: that trained it.
        vision: the encoder.
        frame: what it sees of a scan.
        recipe: everything that the method was built from; what the method added beside the encoder can be built again
            from it.
    """

    method: str
    vision: VisionConfig
    frame: FrameConfig
    recipe: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, as stored in a weights file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> EncoderConfig:
        """The inverse of `to_dict`."""
        return cls(
            method=stored["method"],
            vision=_build(VisionConfig, stored["vision"]),
            frame=_build(FrameConfig, stored["frame"]),
            recipe=stored["recipe"],
        )


@dataclass(frozen=True, slots=True)
class M3dConfig:
    """The image encoder of M3D-CLIP, which has a patch grid and an input of its own (docs/methods/m3d.md).

    Attributes:
        image: voxels of its input: slices, rows, columns.
        patch: voxels of one patch, in the same order.
        hu_window: mapped linearly to 0…1, clipped.
    """

    image: tuple[int, int, int] = (32, 256, 256)
    patch: tuple[int, int, int] = (4, 16, 16)
    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: int = 4
    hu_window: tuple[float, float] = (-1000.0, 1000.0)

    @property
    def tokens(self) -> int:
        """Patches of one input."""
        slices, rows, columns = (side // p for side, p in zip(self.image, self.patch, strict=True))
        return slices * rows * columns

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, as stored in a weights file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> M3dConfig:
        """The inverse of `to_dict`."""
        config: M3dConfig = _build(cls, stored)
        return config


@dataclass(frozen=True, slots=True)
class ImageDecoderConfig:
    """The transformer that fills in masked patches ("4-layer 3D ViT-B", A22)."""

    dim: int = 768
    depth: int = 4
    heads: int = 12
    mlp_ratio: int = 4


@dataclass(frozen=True, slots=True)
class ReportDecoderConfig:
    """The BERT layers that fill in masked words (A18).

    Attributes:
        vocabulary: word pieces of the report's tokenizer.
        hidden: width between the two linear layers of a block.
    """

    vocabulary: int = 30522
    dim: int = 768
    depth: int = 6
    heads: int = 6
    hidden: int = 1536
    dropout: float = 0.1


@dataclass(frozen=True, slots=True)
class PretrainingConfig:
    """The pre-training of the paper; the defaults and the A-numbers are those of docs/methods/simcrop.md.

    Attributes:
        vision: the image encoder: depth (A1), position table (A2), class token (A3).
        text: the sentence encoder; `text.dim` is the width of a sentence's embedding (A9).
        report_dim: width of the text encoder's token states.
        image_decoder: widths of the image decoder (A22).
        report_decoder: widths of the report decoder (A18).
        mask_ratio: share of the patches that is hidden.
        mim_on: patches in the image loss: the masked ones, all, or as ECAMP the masked ones over the number of all
            (A20).
        norm_pix: whether each target patch is brought to mean 0 and deviation 1 (A20).
        norm_pix_floor: least deviation it is divided by: air has next to none.
        align_on: patches a sentence can choose: the visible ones of the masked pass, or all, in a second pass (A4).
        normalise: cosines in selection and alignment; otherwise dot products over √width (A6).
        projection: between sentences and patches (A7).
        projection_dim: width both sides meet in, with "two-sided" (A7).
        centre_text: whether the corpus mean is taken off sentence embeddings (A7).
        freeze_text: whether the text encoder learns nothing and runs without dropout (A8).
        negatives: other sentences of the report, or of the batch without those that are identical (A10).
        pooled_by: mean of the top-K patches, or softmax over all at `temperature` (A11).
        top_k: patches that make a sentence's region, at most those there are.
        temperature: of the alignment loss.
        text_mask_ratio: share of the report's words that is hidden.
        text_mask_unit: whether whole words or single word pieces are hidden (A14).
        mlm_on: word pieces in the report loss: the masked ones, or all (A15).
        fusion: "residual": LayerNorm(f_t + W(f^W + f^I)); "literal": f^W + f^I as printed (A16); "ecamp": a whole
            layer with self-attention and feed-forward (A16b).
        fusion_heads: heads of the cross-attention.
        project_global: whether f^I passes a linear map first (A17); "ecamp" always has it.
        use_align: whether there is an alignment loss (Table 3).
        use_instance: whether the mean over patches, f^I, reaches the report decoder (Table 3).
        use_word: whether cross-attention, f^W, reaches it (Table 3); without both there is no report loss.
        align_weight: λ1.
        report_weight: λ2.
    """

    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    report_dim: int = 768
    image_decoder: ImageDecoderConfig = field(default_factory=ImageDecoderConfig)
    report_decoder: ReportDecoderConfig = field(default_factory=ReportDecoderConfig)
    mask_ratio: float = 0.75
    mim_on: Literal["masked", "all", "ecamp"] = "masked"
    norm_pix: bool = False
    norm_pix_floor: float = 0.05
    align_on: Literal["visible", "all"] = "visible"
    normalise: bool = True
    projection: Projection = "none"
    projection_dim: int = 256
    centre_text: bool = False
    freeze_text: bool = True
    negatives: Literal["report", "batch"] = "report"
    pooled_by: Literal["mean", "softmax"] = "mean"
    top_k: int = 64
    temperature: float = 0.07
    text_mask_ratio: float = 0.75
    text_mask_unit: Literal["word", "token"] = "word"
    mlm_on: Literal["masked", "all"] = "masked"
    fusion: Literal["residual", "literal", "ecamp"] = "residual"
    fusion_heads: int = 12
    project_global: bool = False
    use_align: bool = True
    use_instance: bool = True
    use_word: bool = True
    align_weight: float = 1.0
    report_weight: float = 1.0

    @property
    def use_report(self) -> bool:
        """Whether the report decoder sees anything of the image, and so is trained at all."""
        return self.use_instance or self.use_word


def _build(kind: type[Any], values: dict[str, Any]) -> Any:
    """A flat dataclass from JSON types: its tuples came back as lists."""
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
