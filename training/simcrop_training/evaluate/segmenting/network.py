"""The UNETR around an image encoder of any weights, by the rule of the released code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from simcrop_core.errors import IncompatibleWeights, TaskNotSupported
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.models.config import EncoderConfig, ModelConfig, SegmentationConfig, VisionConfig
from simcrop_core.models.presets import PRESETS
from simcrop_core.models.registry import resolve_weights
from simcrop_core.models.unetr import UNETR
from simcrop_core.models.weights_file import load_tensors
from simcrop_core.models.weights_metadata import read_metadata
from simcrop_training.evaluate.segmenting.presets import Protocol
from simcrop_training.provenance import Start, start_of

RANDOM = "random"
# Of 12 blocks, those whose output the decoder takes: the released choice, and that of patches half as wide.
_TWELFTHS = {3: (4, 7, 10), 2: (4, 8)}
# Doublings of the patch grid before the last step to full resolution, by the patch's longest side.
_DOUBLINGS = {16: 3, 8: 2}


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """An image encoder to start from.

    Attributes:
        name: of its weights; `random` for none.
        vision: what it is.
        tensors: by their canonical names; empty for none.
        start: where it comes from; None for none.
    """

    name: str
    vision: VisionConfig
    tensors: Mapping[str, Tensor]
    start: Start | None


def read_encoder(weights: Path | str) -> Encoder:
    """The image encoder of any weights: a name, a folder or a file; `random` is a ViT-B of random numbers.

    Raises:
        UnknownWeights: there are none.
        TaskNotSupported: they have no image encoder.
        IncompatibleWeights: it is not the shared one.
    """
    if str(weights) == RANDOM:
        return Encoder(RANDOM, PRESETS["base"].vision, {}, None)
    folder = resolve_weights(str(weights))
    file = folder.encoder or folder.grounding
    if file is None:
        raise TaskNotSupported(
            f"The weights {folder.name} have no image encoder to start from.", hint="Give grounding or encoder weights."
        )
    config = read_metadata(file).config
    if not isinstance(config, ModelConfig | EncoderConfig):
        raise IncompatibleWeights(
            f"The image encoder of {folder.name} is not the ViT that the UNETR is built around.",
            hint="M3D-CLIP's own encoder has another input; use one of this project's methods.",
        )
    tensors = {key: tensor.float() for key, tensor in load_tensors(file).items()}
    return Encoder(folder.name, config.vision, tensors, start_of(file))


def build(encoder: Encoder, protocol: Protocol, labels: Sequence[str]) -> tuple[UNETR, list[str]]:
    """A UNETR that starts from an encoder: no class token, a position table of the window's own grid.

    Args:
        encoder: to start from.
        protocol: window, spacing, channels and what of the encoder is taken.
        labels: by class, background first.

    Returns:
        The network, and the names of what was not taken.

    Raises:
        IncompatibleWeights: no UNETR of this window can be built around the encoder.
    """
    longest = max(encoder.vision.patch)
    if longest not in _DOUBLINGS or any(w % p for w, p in zip(protocol.window, encoder.vision.patch, strict=True)):
        raise IncompatibleWeights(
            f"A window of {protocol.window} voxels does not go with patches of {encoder.vision.patch}.",
            hint="Patches are 8 or 16 voxels wide, and the window is a multiple of them.",
        )
    count = _DOUBLINGS[longest]
    if encoder.vision.depth < count:
        raise IncompatibleWeights(
            f"The decoder takes the output of {count} blocks; the encoder has {encoder.vision.depth}.",
            hint="Use a deeper encoder.",
        )
    own = encoder.vision.positions
    positions = "simcrop_official" if protocol.positions == "released" or own == "checkpoint" else own
    config = SegmentationConfig(
        vision=replace(encoder.vision, image=protocol.window, positions=positions, cls_token=False),
        frame=FrameConfig(
            spacing_mm=protocol.spacing_mm, shape=protocol.window, patch=encoder.vision.patch,
            hu_window=protocol.hu_window, placement="volume", tile_overlap=0,
        ),
        labels=tuple(labels),
        feature_size=protocol.feature_size,
        skips=skips_of(encoder.vision.depth, count),
    )  # fmt: skip
    model = UNETR(config)
    if not encoder.tensors:
        return model, []
    tensors = dict(encoder.tensors)
    if protocol.take_norm:
        tensors = {
            key.replace("norm.", "fc_norm.") if key.startswith("norm.") else key: t for key, t in tensors.items()
        }
    return model, model.load_encoder(tensors)


def skips_of(depth: int, count: int) -> tuple[int, ...]:
    """Indices of the blocks whose output goes to the decoder: the 4th, 7th and 10th of twelve, in proportion."""
    return tuple(max(k, round(place * depth / 12) - 1) for k, place in enumerate(_TWELFTHS[count]))
