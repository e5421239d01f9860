"""Weights small enough to run in milliseconds, and one network set by hand to find what is bright."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from simcrop_core.imaging.heatmap import ColourScale
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.presets import PRESETS, SEGMENTATION_PRESETS
from simcrop_core.models.structures import each_alone
from simcrop_core.models.unetr import UNETR
from simcrop_core.models.weights import Provenance, Thresholds, WeightsMetadata, save_weights

ROOT = Path(__file__).parents[1]
# Those of the first weights that were shipped.
EIGHT = ("background", "left lung", "right lung", "trachea", "heart", "aorta", "liver", "spleen", "spine")
PROVENANCE = Provenance(licence="test", trained_on="nothing: set by hand", synthetic=True)


# The paper's 14 × 14 × 14 patches of 24 mm, in voxels four times coarser.
_TINY = PRESETS["tiny"]
BRIGHT = dataclasses.replace(
    _TINY,
    vision=dataclasses.replace(_TINY.vision, image=(112, 112, 56)),
    frame=dataclasses.replace(_TINY.frame, spacing_mm=(3.0, 3.0, 6.0), shape=(112, 112, 56), tile_overlap=4),
)


def find_bright(model):
    """Set a network so that its cosine with any sentence grows with a patch's mean intensity, and nothing else.

    Blocks pass their input on. Channels 0 and 1 carry ± the mean, 2 and 3 a constant, so the last LayerNorm keeps
    their ratio; every sentence is projected onto (1, −1, 0, …).
    """
    state = {key: torch.zeros_like(tensor) for key, tensor in model.flat_state_dict().items()}
    embedding = state["patch_embed.proj.weight"]
    embedding[0], embedding[1] = 1 / embedding[0].numel(), -1 / embedding[0].numel()
    state["patch_embed.proj.bias"][2:4] = torch.tensor([1.0, -1.0])
    state["norm.weight"][:] = 1
    state["text_projection.bias"][:2] = torch.tensor([1.0, -1.0])
    model.load_flat_state_dict(state)
    return model


def write_bright_finder(folder):
    """A weights folder: the hand-set grounding network, and a tiny UNETR with random weights."""
    config = BRIGHT
    metadata = WeightsMetadata(
        name="bright-finder",
        config=config,
        provenance=PROVENANCE,
        thresholds=Thresholds(located=0.5, weak=0.1),
        colour_scale=ColourScale(low=0.1, high=0.9),
    )
    save_weights(folder / "grounding.safetensors", find_bright(GroundingModel(config)).flat_state_dict(), metadata)
    small = SEGMENTATION_PRESETS["small"]
    vision = dataclasses.replace(small.vision, image=(32, 32, 16), dim=24, depth=4, heads=2)
    frame = dataclasses.replace(small.frame, shape=(32, 32, 16))
    segmentation = dataclasses.replace(
        small, vision=vision, frame=frame, labels=EIGHT, feature_size=2, skips=(0, 1, 2), lung_edges=False
    )
    torch.manual_seed(0)
    save_weights(
        folder / "segmentation.safetensors",
        UNETR(segmentation).state_dict(),
        WeightsMetadata(
            name="bright-finder",
            config=segmentation,
            provenance=PROVENANCE,
            tasks={"lungs": each_alone(EIGHT, (1, 2, 3)), "chest": each_alone(EIGHT, range(1, 9))},
        ),
    )
