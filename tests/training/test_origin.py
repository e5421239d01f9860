"""Which runs are seeds of one, and which are rows of their own: by what their weights files say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from simcrop_training.engine.loop import Outcome
from simcrop_training.evaluate.origin import Origin, origin_of, row_names, run_names, segmentation_origin
from simcrop_training.methods import METHODS
from simcrop_training.provenance import provenance_of, start_of
from simcrop_training.recipe import Data, Recipe, identity_of

from simcrop_core.models.config import EncoderConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.presets import PRESETS
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights_file import save_weights
from simcrop_core.models.weights_metadata import Provenance, WeightsMetadata

TINY = PRESETS["tiny"]


def recipe_of(method="mae3d", **changes):
    return replace(Recipe("toy", method, preset="tiny", method=METHODS[method].settings()), **changes)


def trained(folder, *, steps=30, data=1, method="mae3d", start=None, seed=0, kind="encoder"):
    """The weights file that a run of some steps on so many samples leaves."""
    recipe = recipe_of(method, seed=seed)
    outcome = Outcome(steps, 1.0, {"loss": seed}, finished=True)
    samples = folder.parent / f"samples-{data}"
    samples.mkdir(exist_ok=True)
    for number in range(data):
        (samples / f"{number}.npz").touch()
    made = provenance_of(recipe, Data((samples,)), outcome, start=start)
    torch.manual_seed(seed)
    folder.mkdir()
    if kind == "grounding":
        model = GroundingModel(TINY)
        save_weights(folder / "grounding.safetensors", model.flat_state_dict(), WeightsMetadata("own", TINY, made))
        return folder
    config = EncoderConfig(method, TINY.vision, TINY.frame, identity_of(recipe))
    kept = VisionTransformer(TINY.vision).state_dict()
    save_weights(folder / "encoder.safetensors", kept, WeightsMetadata("own", config, made))
    return folder


def test_seeds_share_a_training_and_budget_data_method_and_start_divide_it(tmp_path):
    first = origin_of(trained(tmp_path / "first"))
    seed = origin_of(trained(tmp_path / "seed", seed=7))
    assert (first.row, first.seed, seed.seed) == (seed.row, 0, 7)
    assert first.recipe == "toy, 30 steps, 1 phantoms, 0 samples of real scans"
    start = start_of(tmp_path / "first/encoder.safetensors")
    same_start = start_of(tmp_path / "seed/encoder.safetensors")
    others = [
        origin_of(trained(tmp_path / "longer", steps=31)),
        origin_of(trained(tmp_path / "more", data=2)),
        origin_of(trained(tmp_path / "other", method="mrm")),
        origin_of(trained(tmp_path / "begun", start=start)),
    ]
    assert len({origin.row for origin in (first, *others)}) == 5
    # What began with another seed of the same training is another seed of the same training.
    assert origin_of(trained(tmp_path / "again", start=same_start, seed=3)).row == others[-1].row


def test_a_grounding_file_goes_by_the_method_that_trained_it(tmp_path):
    assert origin_of(trained(tmp_path / "sim", method="simcrop", kind="grounding")).model == "simcrop"
    assert origin_of("starter").model == "starter"


def test_weights_that_do_not_say_their_seed_are_nobodys_seeds(tmp_path):
    """Two imported files of one method: rows of their own, by the file that they were imported from."""
    for number, name in enumerate(("a", "b")):
        torch.manual_seed(number)
        said = Provenance("Apache-2.0", "", True, source=f"{name}.pth", source_sha256=name)
        (tmp_path / name).mkdir()
        config = EncoderConfig("simcrop", TINY.vision, TINY.frame)
        kept = VisionTransformer(TINY.vision).state_dict()
        save_weights(tmp_path / name / "encoder.safetensors", kept, WeightsMetadata("x", config, said))
    origins = [origin_of(tmp_path / name) for name in ("a", "b")]
    assert list(row_names(origins).values()) == ["simcrop (imported from a.pth)", "simcrop (imported from b.pth)"]


def test_files_of_earlier_versions_are_told_apart_by_what_they_say(tmp_path):
    """Neither method nor training is in them: recipe, budget and data are."""
    for name, steps, seed in (("a", 5, 1), ("b", 5, 2), ("c", 6, 1)):
        torch.manual_seed(seed)
        said = Provenance("Apache-2.0", "", True, recipe="toy", seed=seed, steps=steps, data="3 phantoms")
        config = EncoderConfig("mrm", TINY.vision, TINY.frame, {"name": "toy", "seed": seed})
        (tmp_path / name).mkdir()
        kept = VisionTransformer(TINY.vision).state_dict()
        save_weights(tmp_path / name / "encoder.safetensors", kept, WeightsMetadata("x", config, said))
    a, b, c = (origin_of(tmp_path / name) for name in "abc")
    assert a.row == b.row != c.row
    assert list(row_names([a, b, c]).values()) == ["mrm (toy, 5 steps, 3 phantoms)", "mrm (toy, 6 steps, 3 phantoms)"]


def test_names_say_no_more_than_is_needed_to_tell_rows_apart():
    one, same, other = Origin("mrm", "r", "1", 1), Origin("mrm", "r", "1", 2), Origin("mae3d", "q", "2", 1)
    assert row_names([one, same, other]) == {("mrm", "1"): "mrm", ("mae3d", "2"): "mae3d"}
    assert run_names([one, same, other]) == ["mrm, trained with seed 1", "mrm, trained with seed 2", "mae3d"]
    assert list(row_names([one, replace(same, training="23456789x")]).values()) == ["mrm (r, 1)", "mrm (r, 23456789)"]


@pytest.mark.parametrize("released", [True, False])
def test_the_untrained_encoder_has_two_names_and_one_training(tmp_path, released):
    origin = origin_of(trained(tmp_path / "r", method="random"), released=released)
    assert origin.model == ("random_zero_pos" if released else "random")


def test_packaged_segmentation_weights_go_by_their_name():
    assert segmentation_origin("starter").model == "starter"


def test_a_reconstruction_is_called_one():
    one = Origin("biud", "r, 5 steps", "1", 0)
    assert list(row_names([one]).values()) == ["biud (reconstruction)"]
    both = row_names([one, replace(one, recipe="r, 6 steps", training="2")])
    assert list(both.values()) == ["biud (reconstruction, r, 5 steps)", "biud (reconstruction, r, 6 steps)"]
