"""MONAI's UNet beside the UNETR: the same loop, the same windows, a file of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from simcrop_training.build import objective_of
from simcrop_training.engine.errors import UnreadData
from simcrop_training.engine.loop import Loop
from simcrop_training.engine.schedule import Schedule
from simcrop_training.export import export_run
from simcrop_training.objectives.plain_unet import PlainUnet, load_unet
from simcrop_training.objectives.segmentation import SegmentationSettings
from simcrop_training.recipe import Data, Recipe, read_recipe

from simcrop_core.errors import UnknownWeights
from simcrop_core.models.presets import SEGMENTATION_PRESETS
from simcrop_core.models.unetr import UNETR

RECIPE = Recipe(
    "tiny",
    "segmentation",
    preset="tiny",
    schedule=Schedule(steps=2, learning_rate=1e-3, warm_up=1, measure_every=2),
    method=SegmentationSettings(frames=1, windows=1, measure_on=1, redrawn_rate=0.5, network="unet"),
)


def test_a_run_leaves_a_unet_that_reads_back(phantom_folder, tmp_path):
    data = Data((phantom_folder,), held_out=(phantom_folder,))
    objective = objective_of(RECIPE, data, sentences=tmp_path / "s.pt")
    unetr = objective_of(
        dataclasses.replace(RECIPE, method=dataclasses.replace(RECIPE.method, network="unetr")),
        data,
        sentences=tmp_path / "s.pt",
    )
    assert torch.equal(objective.batch(0).images_B1HWD, unetr.batch(0).images_B1HWD)
    outcome = Loop(objective, RECIPE.schedule, tmp_path).run()
    assert {"dice", "dice/left lung", "dice/body", "dice/other tissue"} <= outcome.metrics.keys()
    (path,) = export_run(objective, RECIPE, data, outcome, tmp_path)
    assert path.name == "unet.safetensors"
    again, images = load_unet(path), torch.randn(1, 1, 32, 32, 16)
    assert again.config == SEGMENTATION_PRESETS["tiny"]
    with torch.inference_mode():
        assert torch.equal(again(images), objective.module.eval()(images))


def test_no_image_encoder_is_given_to_a_unet(phantom_folder, tmp_path):
    data = Data((phantom_folder,), held_out=(phantom_folder,))
    with pytest.raises(UnreadData, match="UNet"):
        objective_of(RECIPE, data, sentences=tmp_path / "s.pt", encoder=tmp_path / "any.safetensors")


def test_other_weights_are_no_unet(bright_finder):
    with pytest.raises(UnknownWeights, match="no UNet"):
        load_unet(bright_finder / "segmentation.safetensors")


def test_the_starters_window_fits_both_networks_of_its_recipes():
    """The UNETR's file is small enough to ship; the UNet has its windows and labels."""
    config = SEGMENTATION_PRESETS[read_recipe(Path("starter-segmentation-unet")).preset]
    assert read_recipe(Path("starter-segmentation-unet")).method.network == "unet"
    with torch.device("meta"):
        unetr, unet = UNETR(config), PlainUnet(config)
        assert unet(torch.empty(1, 1, *config.window)).shape == (1, 15, *config.window)
    stored = sum(t.numel() for key, t in unetr.state_dict().items() if not key.endswith("pos_embed"))
    assert 2 * stored <= 8_500_000
    assert config.lung_edges
