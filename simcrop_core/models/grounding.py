"""The network behind `ground`: patch features of a frame, and sentence embeddings brought into their space."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from simcrop_core.models.config import ModelConfig
from simcrop_core.models.projection import image_projection, text_projection
from simcrop_core.models.state import load_exactly
from simcrop_core.models.vit import VisionTransformer

_VISION = "vision."


class GroundingModel(nn.Module):
    """The image encoder and the projections (docs/methods/simcrop.md); the sentence encoder stands apart, frozen.

    Its flat state has the image encoder's keys at the root and `text_projection.*`, `image_projection.*` beside them.

    Args:
        config: of the weights.

    Raises:
        ValueError: the configuration names no projection, but sentences and patches differ in width.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.vision = VisionTransformer(config.vision)
        self.text_projection = text_projection(
            config.projection,
            text_dim=config.text.dim,
            vision_dim=config.vision.dim,
            shared_dim=config.projection_dim,
        )
        self.image_projection = image_projection(
            config.projection, vision_dim=config.vision.dim, shared_dim=config.projection_dim
        )

    @property
    def width(self) -> int:
        """Width of what `encode` and `project` give."""
        two_sided = self.config.projection == "two-sided"
        return self.config.projection_dim if two_sided else self.config.vision.dim

    def encode(self, images_B1HWD: Tensor) -> Tensor:
        """Patch features of frames, not normalised: (B, 1, H, W, D) → (B, N, C), z fastest.

        Raises:
            ValueError: the images do not have the configured shape.
        """
        features_BNC: Tensor = self.image_projection(self.vision.patch_features(images_B1HWD))
        return features_BNC

    def project(self, embeddings_SC: Tensor) -> Tensor:
        """Sentences in the patches' space, not normalised, on the weights' device: (S, text width) → (S, C)."""
        weight = next(self.text_projection.parameters(), embeddings_SC)
        projected_SC: Tensor = self.text_projection(embeddings_SC.to(weight))
        return projected_SC

    def flat_state_dict(self) -> dict[str, Tensor]:
        """The tensors by the names they have in a weights file."""
        return {key.removeprefix(_VISION): tensor for key, tensor in self.state_dict().items()}

    def load_flat_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take all tensors of a weights file.

        The position table must be among them where the configuration says "checkpoint"; otherwise it is built, and
        a stored one takes its place.

        Raises:
            IncompatibleWeights: a key is missing or unexpected, or a shape disagrees; nothing was taken.
        """
        built = self.config.vision.positions != "checkpoint"
        load_exactly(
            self,
            {_prefixed(key): tensor for key, tensor in state.items()},
            optional={_VISION + "pos_embed"} if built else (),
        )


def _prefixed(key: str) -> str:
    beside = key.startswith(("text_projection.", "image_projection."))
    return key if beside else _VISION + key
