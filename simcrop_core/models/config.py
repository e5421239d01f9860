"""The numbers that define a model, and the presets `base`, `small` and `tiny`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from simcrop_core.imaging.frame_config import FrameConfig

PositionMode = Literal["sincos3d", "simcrop_official", "checkpoint"]


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
    """

    encoder: str = "microsoft/BiomedVLP-CXR-BERT-specialized"
    dim: int = 768
    pooling: Literal["cls", "mean"] = "cls"
    max_tokens: int = 64


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One grounding model: what it sees, how it encodes images and sentences, how the two are compared.

    Attributes:
        projection: of the sentence embedding into the patch space; "none" where both have one width (the paper).
        top_k: patches that make a sentence's region at inference, all patches visible.
    """

    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    frame: FrameConfig = field(default_factory=FrameConfig)
    projection: Literal["none", "linear", "mlp"] = "none"
    top_k: int = 256

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, as stored in a weights file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> ModelConfig:
        """The inverse of `to_dict`."""

        def build(kind: type[Any], values: dict[str, Any]) -> Any:
            return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

        return cls(
            vision=build(VisionConfig, stored["vision"]),
            text=build(TextConfig, stored["text"]),
            frame=build(FrameConfig, stored["frame"]),
            projection=stored["projection"],
            top_k=stored["top_k"],
        )


_MINILM = TextConfig(encoder="minilm", dim=384, pooling="mean", max_tokens=64)

PRESETS: dict[str, ModelConfig] = {
    # The paper's network: ViT-B, CXR-BERT, no projection (docs/methods/simcrop.md, A1, A7).
    "base": ModelConfig(),
    # The embedded default, trained by this project and shipped as `starter`.
    "small": ModelConfig(
        vision=VisionConfig(dim=192, depth=6, heads=3), text=_MINILM, projection="mlp", top_k=8
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
