"""An import leaves a whole set of weights or leaves everything as it was."""

from __future__ import annotations

import argparse
import dataclasses

import pytest
import torch
from checkpoints import encoder_state, mae_state, released_unetr
from safetensors.torch import save_file

from simcrop_core.errors import Cancelled, CannotWrite, IncompatibleWeights, UnknownWeights
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.importers.install import import_weights
from simcrop_core.models.manifest import checksums_of, read_manifest
from simcrop_core.models.presets import PRESETS
from simcrop_core.models.registry import list_weights, resolve_weights, weights_home
from simcrop_core.models.weights import (
    Provenance,
    Thresholds,
    WeightsMetadata,
    load_grounding_model,
    load_segmentation_model,
    read_metadata,
    save_weights,
)
from simcrop_core.progress import Job

# As wide as the sentence encoder that is expected where none is named.
BASE = encoder_state(depth=1, dim=768)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCROP_HOME", str(tmp_path / "home"))


@pytest.fixture
def encoder_file(tmp_path):
    save_file(BASE, tmp_path / "simcrop.safetensors")
    return tmp_path / "simcrop.safetensors"


@pytest.fixture
def organs_file(tmp_path):
    save_file(released_unetr(4), tmp_path / "organs.safetensors")
    return tmp_path / "organs.safetensors"


def everything(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_pickled_checkpoint_becomes_weights_that_load(tmp_path):
    state = BASE
    training = {"model": state, "optimizer": {"state": {}}, "epoch": 5, "args": argparse.Namespace(lr=0.1)}
    torch.save(training, tmp_path / "simcrop.pth")
    installed = import_weights(tmp_path / "simcrop.pth", name="official")
    assert installed.folder == resolve_weights("official")
    model, metadata, sentences = load_grounding_model(installed.folder)
    assert torch.equal(model.flat_state_dict()["blocks.0.mlp.fc2.weight"], state["blocks.0.mlp.fc2.weight"])
    assert (metadata.name, metadata.provenance.source, sentences.reference_RC) == ("official", "simcrop.pth", None)
    assert read_manifest(weights_home() / "official") == checksums_of(weights_home() / "official")


def test_a_set_grows_part_by_part(encoder_file, organs_file):
    import_weights(encoder_file, name="official")
    folder = import_weights(organs_file, name="official").folder
    load_grounding_model(folder)
    _, metadata = load_segmentation_model(folder)
    assert metadata.tasks == {"lungs": {"left lung": (1,), "right lung": (2,), "trachea": (3,)}}
    assert read_manifest(weights_home() / "official") == checksums_of(weights_home() / "official")
    assert [weights.name for weights in list_weights() if weights.name != "starter"] == ["official"]


def test_a_part_is_replaced_only_on_request(encoder_file, tmp_path):
    import_weights(encoder_file, name="official")
    before = everything(weights_home())
    save_file(mae_state(depth=1, dim=768), tmp_path / "mae.safetensors")
    with pytest.raises(CannotWrite, match=r"already have grounding\.safetensors") as fault:
        import_weights(tmp_path / "mae.safetensors", name="official")
    assert "--replace" in fault.value.hint
    assert everything(weights_home()) == before
    folder = import_weights(tmp_path / "mae.safetensors", name="official", replace=True).folder
    assert folder.grounding is not None
    assert read_metadata(folder.grounding).provenance.data == "ImageNet-1k"


def test_a_refused_or_cancelled_import_leaves_nothing_behind(encoder_file, tmp_path):
    broken = dict(BASE)
    del broken["blocks.0.norm1.bias"]
    save_file(broken, tmp_path / "broken.safetensors")
    with pytest.raises(IncompatibleWeights):
        import_weights(tmp_path / "broken.safetensors", name="official")
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        import_weights(encoder_file, name="official", job=job)
    assert everything(tmp_path / "home") == {}


def test_a_home_that_cannot_be_written_is_a_named_error(encoder_file, tmp_path):
    (tmp_path / "home").write_text("in the way")
    with pytest.raises(CannotWrite):
        import_weights(encoder_file, name="official")


@pytest.mark.parametrize("name", ["starter", "Starter", "../official", "a/b", "", "nul"])
def test_names_that_mean_something_else_are_refused(encoder_file, name):
    with pytest.raises(CannotWrite, match="cannot be called"):
        import_weights(encoder_file, name=name)


def test_files_and_folders_in_each_others_place_are_refused(encoder_file, tmp_path):
    with pytest.raises(UnknownWeights, match="no folder"):
        import_weights(encoder_file, name="x", source_format="cxr-bert")
    with pytest.raises(UnknownWeights, match="is a folder"):
        import_weights(tmp_path, name="x", source_format="simcrop")
    with pytest.raises(UnknownWeights, match="is a folder"):
        import_weights(tmp_path, name="x", text=tmp_path)
    with pytest.raises(UnknownWeights, match="no file"):
        import_weights(tmp_path / "absent.pth", name="x")


def test_a_named_format_is_believed(encoder_file, organs_file):
    import_weights(encoder_file, name="a", source_format="simcrop")
    import_weights(organs_file, name="b", source_format="unetr")
    with pytest.raises(IncompatibleWeights):
        import_weights(encoder_file, name="c", source_format="mae")


def test_weights_of_this_project_keep_their_metadata_but_for_the_name(tmp_path):
    config = PRESETS["tiny"]
    metadata = WeightsMetadata(
        "run-7", config, Provenance("Apache-2.0", "phantoms", synthetic=True, seed=7), thresholds=Thresholds(0.4, 0.2)
    )
    save_weights(tmp_path / "run.safetensors", GroundingModel(config).flat_state_dict(), metadata)
    installed = import_weights(tmp_path / "run.safetensors", name="mine")
    assert installed.folder.grounding is not None
    assert read_metadata(installed.folder.grounding) == dataclasses.replace(metadata, name="mine")
    assert installed.reports[0].licence == "Apache-2.0"
    assert installed.reports[0].unexpected == ()
