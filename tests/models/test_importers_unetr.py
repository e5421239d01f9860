"""A fine-tuned UNETR of the released layout becomes segmentation weights with the labels it was trained for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from checkpoints import encoder_state, released_unetr

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.models.importers.checkpoint import Checkpoint
from simcrop_core.models.importers.unetr import import_unetr
from simcrop_core.models.unetr import UNETR

UNUSED = {
    "vit.cls_token",
    "encoder2.blocks.0.1.conv3.conv.weight",
    "encoder2.blocks.1.1.conv3.conv.weight",
    "encoder3.blocks.0.1.conv3.conv.weight",
}


def imported_unetr(tensors):
    return import_unetr(
        Checkpoint(Path("model.pt"), "0" * 64, tensors, {"epoch": 1999, "best_acc": 0.8}), name="organs"
    )


def test_every_tensor_is_taken_but_those_that_nothing_reads():
    state = released_unetr()
    imported = imported_unetr(state)
    assert set(imported.report.unexpected) == UNUSED
    assert set(imported.report.loaded) == state.keys() - UNUSED
    assert imported.report.missing == ()
    model = UNETR(imported.metadata.config)
    model.load_tensors(imported.tensors)
    own = model.state_dict()
    assert all(torch.equal(own[key], state[key]) for key in own)


def test_the_network_is_that_of_the_released_code():
    config = imported_unetr(released_unetr()).metadata.config
    assert config.skips == (3, 6, 9)
    assert (config.vision.depth, config.vision.dim, config.feature_size) == (10, 64, 4)
    assert not config.vision.cls_token
    assert config.window == config.vision.image == (32, 32, 16)
    assert config.frame.axes == "RAS", "the released segmentation code does use the affine"


@pytest.mark.parametrize(
    ("labels", "task", "names", "spacing_mm"),
    [
        (14, "abdomen", {1: "spleen", 13: "left adrenal gland"}, (1.5, 1.5, 3.0)),
        (4, "lungs", {1: "left lung", 2: "right lung", 3: "trachea"}, (1.0, 1.0, 1.0)),
        (3, "all", {1: "label 1", 2: "label 2"}, (1.5, 1.5, 3.0)),
    ],
)
def test_labels_task_and_spacing_follow_from_the_number_of_labels(labels, task, names, spacing_mm):
    imported = imported_unetr(released_unetr(labels))
    metadata = imported.metadata
    assert {task: [value for values in its.values() for value in values] for task, its in metadata.tasks.items()} == {
        task: list(range(1, labels))
    }
    assert names.items() <= metadata.labels.items()
    assert metadata.config.frame.spacing_mm == spacing_mm
    assert any(note.startswith("Warning") for note in imported.report.notes) == (task == "all")


def test_a_missing_tensor_of_encoder_or_decoder_is_an_error():
    for key in ("vit.blocks.7.mlp.fc1.bias", "vit.fc_norm.weight", "decoder5.transp_conv.conv.weight"):
        state = released_unetr()
        del state[key]
        with pytest.raises(IncompatibleWeights, match=key.replace(".", r"\.")):
            imported_unetr(state)


def test_without_its_table_the_window_is_the_released_one():
    state = released_unetr()
    del state["vit.pos_embed"]
    imported = imported_unetr(state)
    assert imported.report.missing == ("vit.pos_embed",)
    assert imported.metadata.config.window == (96, 96, 48)
    assert imported.metadata.config.vision.positions == "simcrop_official"


def test_an_encoder_alone_is_no_segmentation_model():
    with pytest.raises(IncompatibleWeights, match="no whole UNETR") as fault:
        imported_unetr({"vit." + key: tensor for key, tensor in encoder_state().items()})
    assert "--format simcrop" in fault.value.hint
