"""From label maps to weights that the engine runs: learned, gone on with, exported, scored."""

from __future__ import annotations

import dataclasses
import json
import math

import nibabel
import numpy as np
import pytest
import torch
from chests import LEFT_LUNG, RIGHT_LUNG, affine_of, chest_hu, inside, volume_of
from simcrop_training.engine.errors import NothingToLearnFrom, UnusableCheckpoints
from simcrop_training.engine.loop import Loop
from simcrop_training.evaluate.segmenting import table
from simcrop_training.evaluate.segmenting.command import Finetune, Segment
from simcrop_training.evaluate.segmenting.datalist import read_scans, splits_of
from simcrop_training.evaluate.segmenting.finetune import finetune
from simcrop_training.evaluate.segmenting.metrics import class_scores
from simcrop_training.evaluate.segmenting.network import build, read_encoder
from simcrop_training.evaluate.segmenting.objective import Best, FineTuning
from simcrop_training.evaluate.segmenting.prepared import prepare
from simcrop_training.evaluate.segmenting.presets import changed, protocol_of, schedule_of
from simcrop_training.evaluate.segmenting.score import score
from simcrop_training.evaluate.summary import read_entries

from simcrop_core.errors import IncompatibleWeights, TaskNotSupported, UnreadableFile
from simcrop_core.imaging.affine import apply
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.session import Session
from simcrop_core.models.config import EncoderConfig
from simcrop_core.models.presets import PRESETS
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights import Provenance, WeightsMetadata, load_segmentation_model, resolve_weights
from simcrop_core.models.weights_file import save_weights

SHAPE = (44, 32, 36)
EPOCHS = 12
STEPS = 2 * EPOCHS
SMALL = {"window": (32, 32, 16), "spacing_mm": (8.0, 8.0, 12.0), "crops": 2, "feature_size": 4}
TINY = PRESETS["tiny"].vision


def write_chest(folder, name, number):
    """A drawn chest somewhere in its field of view, stored in an order of its own; tissue and lungs are labelled."""
    moved = np.array([6.0, -4.0, 5.0]) * (number % 3 - 1)
    signs = [(1, 1, 1), (-1, -1, 1), (-1, 1, 1)][number % 3]
    affine = affine_of(signs=signs, spacing=(9, 9, 10), shape=SHAPE)
    volume = volume_of(lambda points: chest_hu(points - moved), affine, SHAPE)
    points = apply(affine, np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)) - moved
    lung = (inside(points, *LEFT_LUNG) | inside(points, *RIGHT_LUNG)) & (volume.voxels < -500)
    labels = (1 * (volume.voxels > -100) + 2 * lung).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(volume.voxels, affine), folder / f"{name}.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels, affine), folder / f"{name}_label.nii.gz")
    return {"image": f"{name}.nii.gz", "label": f"{name}_label.nii.gz"}


@pytest.fixture(scope="module")
def chests(tmp_path_factory):
    """A list of three scans to train on, one of them damaged, and two held out."""
    folder = tmp_path_factory.mktemp("chests")
    rows = [write_chest(folder, f"chest{n}", n) for n in range(5)]
    damaged = folder / "chest2_label.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:120])
    labels = {"0": "background", "1": "soft tissue", "2": "lung"}
    document = {
        "name": "Chests",
        "licence": "CC BY-SA 4.0",
        "labels": labels,
        "training": rows[:3],
        "validation": rows[3:],
    }
    path = folder / "dataset.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Weights of some pre-training: the tiny encoder, of random numbers."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("pretrained")
    config = EncoderConfig("mae3d", TINY, PRESETS["tiny"].frame)
    said = Provenance("CC-BY-4.0", "Trained on nothing.", synthetic=False)
    save_weights(
        folder / "encoder.safetensors", VisionTransformer(TINY).state_dict(), WeightsMetadata("tiny", config, said)
    )
    return folder


@pytest.fixture(scope="module")
def splits(chests):
    return splits_of(read_scans(chests, None)[0], "official")


def protocol(**values):
    whole = changed(protocol_of("clean", None), **{"epochs": EPOCHS, "validate_every": EPOCHS // 2, **SMALL, **values})
    return dataclasses.replace(whole, learning_rate=1e-2, warm_up_epochs=1)


@pytest.fixture(scope="module")
def tuned(splits, encoder, tmp_path_factory):
    """A run of the clean protocol that has learned."""
    folder = tmp_path_factory.mktemp("runs") / "lung-run"
    done = finetune(
        splits, protocol(), read_encoder(encoder), folder, task="lungs", seed=1, at_once=2, precision="float32"
    )
    return done, folder


def test_what_was_learned_is_exported_with_where_it_comes_from(tuned):
    done, folder = tuned
    assert done.outcome.finished
    assert done.outcome.step == STEPS
    assert [(note.name, note.code) for note in done.left_out] == [("chest2", "unreadable-file")]
    model, metadata = load_segmentation_model(resolve_weights(str(folder)))
    assert metadata.tasks == {"lungs": {"soft tissue": (1,), "lung": (2,)}}
    assert metadata.name == "lung-run"
    assert metadata.provenance.licence == "CC BY-SA 4.0; CC-BY-4.0"
    assert metadata.provenance.method == "mae3d"
    assert metadata.provenance.metrics["dice"] > 0.7
    assert model.config.window == (32, 32, 16)
    assert not model.config.vision.cls_token
    said = json.loads((folder / "finetune.json").read_text())
    assert said["left_out"][0]["name"] == "chest2"
    assert said["chosen_by"] == pytest.approx(metadata.provenance.metrics["best"], abs=1e-4)


def test_the_engine_finds_the_labels_with_the_exported_file(tuned, chests):
    """The folder as `simcrop segment --weights` takes it, on a held-out scan's own grid."""
    _, folder = tuned
    session = Session.open(chests.parent / "chest4.nii.gz", Engine(str(folder), "cpu"))
    found = session.segment("lungs")
    assert found.names == {1: "soft tissue", 2: "lung"}
    truth = nibabel.load(chests.parent / "chest4_label.nii.gz").get_fdata().astype(np.uint8)
    scores = class_scores(found.voxels, truth, 3, (9, 9, 10), surfaces=False)
    assert min(s.dice for s in scores) > 0.6


def prepared_parts(splits, folder):
    ready, _ = prepare((*splits.train[:2], splits.valid[0]), 3, protocol(), folder)
    return {"train": ready[:2], "valid": ready[2:]}


def test_a_stopped_run_goes_on_to_the_same_numbers(splits, encoder, tmp_path):
    """Four steps at once, and three and one more by another process's objects."""
    short = protocol(epochs=2, validate_every=10)
    parts = prepared_parts(splits, tmp_path / "ready")

    def loop(folder):
        torch.manual_seed(5)
        model, _ = build(read_encoder(encoder), short, splits.labels)
        best = Best(tmp_path / f"{folder}.safetensors", "run")
        objective = FineTuning(model, short, **parts, seed=1, best=best, at_once=2)
        return Loop(objective, schedule_of(short, 2, precision="float32"), tmp_path / folder, seed=1)

    whole, halves = loop("whole"), loop("halves")
    assert whole.run().step == 4
    assert halves.run(stop_at=3).step == 3
    halves = loop("halves")
    assert halves.step == 3
    halves.run()
    ours, theirs = halves.objective.module.state_dict(), whole.objective.module.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_the_best_tensors_outlive_the_process_and_are_not_taken_for_another_runs(tmp_path):
    file = tmp_path / "best.safetensors"
    best = Best(file, "one")
    assert best.tensors() is None
    for dice, value in ((0.5, 1.0), (0.4, 2.0), (math.nan, 3.0)):
        best.offer(dice, {"w": torch.full((2,), value)})
    again = Best(file, "one")
    assert again.dice == 0.5
    assert again.tensors()["w"].tolist() == [1.0, 1.0]
    assert Best(file, "another").tensors() is None


def test_micro_batches_make_up_the_step(splits, encoder, tmp_path):
    torch.manual_seed(5)
    short = protocol(crops=4)
    model, _ = build(read_encoder(encoder), short, splits.labels)
    parts = prepared_parts(splits, tmp_path)
    best = Best(tmp_path / "best.safetensors", "run")
    whole, pieces = (FineTuning(model, short, **parts, seed=1, best=best, at_once=n) for n in (4, 1))
    assert (whole.micro_batches, pieces.micro_batches) == (1, 4)
    batch, parts_of_it = whole.batch(3), [pieces.batch(12 + n) for n in range(4)]
    assert torch.equal(batch.images_B1HWD, torch.cat([p.images_B1HWD for p in parts_of_it]))
    with torch.no_grad():
        together = whole.totals(batch)["loss"] / whole.counts(batch)["loss"]
        summed = sum(pieces.totals(p)["loss"] for p in parts_of_it) / sum(pieces.counts(p)["loss"] for p in parts_of_it)
    torch.testing.assert_close(together, summed, atol=1e-5, rtol=1e-5)
    assert not torch.equal(whole.batch(0).images_B1HWD, whole.batch(2).images_B1HWD)


def test_a_folder_of_another_run_is_refused(tuned, splits, encoder):
    _, folder = tuned
    with pytest.raises(UnusableCheckpoints, match="seed"):
        finetune(splits, protocol(), read_encoder(encoder), folder, task="lungs", seed=2, at_once=2)


def test_official_scores_on_the_models_grid_and_clean_on_the_scans_own(tuned, splits, tmp_path):
    _, folder = tuned
    for preset, voxels in (("official", None), ("clean", math.prod(SHAPE))):
        found = score(folder, splits, protocol_of(preset, None), tmp_path, device="cpu")
        assert [scan.name for scan in found.scans] == ["chest3", "chest4"]
        figures = table.figures_of(found)
        assert 0.4 < figures.dice.lo <= figures.dice.mean <= figures.dice.hi <= 1
        assert figures.dice.mean < figures.dice_with_background.mean
        assert 0 < figures.surface_dice.mean <= 1
        assert 0 <= figures.hd95_mm.mean < 60
        millilitres = sum(s.true_ml for s in found.scans[0].classes)
        if voxels:
            assert millilitres == pytest.approx(voxels * 9 * 9 * 10 / 1000)
        else:
            assert millilitres < 0.8 * math.prod(SHAPE) * 9 * 9 * 10 / 1000, "cropped to the body"


def test_scoring_goes_on_at_the_scan_where_it_stopped(tuned, splits, tmp_path):
    _, folder = tuned
    clean = protocol_of("clean", None)
    first = score(folder, splits, clean, tmp_path, device="cpu")
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "scans" / "clean").iterdir()}
    (tmp_path / "scans" / "clean" / "chest4.json").unlink()
    again = score(folder, splits, clean, tmp_path, device="cpu")
    assert repr(again) == repr(first)
    assert (tmp_path / "scans" / "clean" / "chest3.json").stat().st_mtime_ns == files["chest3.json"]
    without = score(folder, splits, clean, tmp_path, device="cpu", surfaces=False)
    assert all(math.isnan(c.surface_dice) for scan in without.scans for c in scan.classes)


def test_a_bad_scan_is_left_out_and_a_missing_one_stops_before_the_first(tuned, chests, encoder, tmp_path):
    _, folder = tuned
    data, _ = read_scans(chests, None)
    damaged = dataclasses.replace(next(s for s in data.scans if s.name == "chest2"), split="valid")
    tested = splits_of(dataclasses.replace(data, scans=(*data.of("valid"), damaged)), "official")
    found = score(folder, tested, protocol_of("clean", None), tmp_path, device="cpu", surfaces=False)
    assert len(found.scans) == 2
    assert [(note.name, note.code) for note in found.left_out] == [("chest2", "unreadable-file")]
    gone = dataclasses.replace(damaged, path=tmp_path / "gone.nii.gz")
    with pytest.raises(UnreadableFile, match=r"gone\.nii\.gz"):
        score(folder, dataclasses.replace(tested, test=(*tested.test, gone)), protocol_of("clean", None), tmp_path)
    with pytest.raises(NothingToLearnFrom, match="training scans"):
        finetune(
            dataclasses.replace(tested, train=(damaged,)), protocol(), read_encoder(encoder), tmp_path, task="lungs"
        )


def test_labels_go_by_name_and_weights_that_know_none_are_refused(tuned, splits, tmp_path):
    _, folder = tuned
    more = dataclasses.replace(splits, labels=("background", "soft tissue", "heart", "lung"))
    swapped = dataclasses.replace(more, test=tuple(dataclasses.replace(s, mask_values=(0, 1, 9, 2)) for s in more.test))
    clean = protocol_of("clean", None)
    found = score(folder, swapped, clean, tmp_path / "more", device="cpu", surfaces=False)
    plain = score(folder, splits, clean, tmp_path / "plain", device="cpu", surfaces=False)
    assert found.labels == plain.labels
    assert [s.classes for s in found.scans] == [s.classes for s in plain.scans]
    assert [(note.name, note.code) for note in found.left_out] == [("heart", "unknown-label")]
    none = dataclasses.replace(splits, labels=("background", "heart", "liver"))
    with pytest.raises(TaskNotSupported, match="none of the labels heart, liver"):
        score(folder, none, clean, tmp_path, device="cpu")


def test_official_leaves_the_encoders_last_norm_and_depth_table_and_clean_takes_them(encoder):
    read = read_encoder(encoder)
    read.tensors["norm.weight"].fill_(1.5)
    labels = ("background", "lung")
    official, left = build(read, changed(protocol_of("official", None), **SMALL), labels)
    clean, left_by_clean = build(read, changed(protocol_of("clean", None), **SMALL), labels)
    assert set(left) == {"cls_token", "pos_embed", "norm.weight", "norm.bias"}
    assert set(left_by_clean) == {"cls_token", "pos_embed"}
    assert official.config.vision.positions == "simcrop_official"
    assert clean.config.vision.positions == TINY.positions == "sincos3d"
    assert (official.vit.fc_norm.weight == 1).all()
    assert (clean.vit.fc_norm.weight == 1.5).all()
    assert torch.equal(official.vit.blocks[1].mlp.fc2.weight, read.tensors["blocks.1.mlp.fc2.weight"])
    assert all(parameter.requires_grad for parameter in official.parameters())
    with pytest.raises(IncompatibleWeights, match="does not go with patches"):
        build(read, changed(protocol_of("official", None), window=(30, 32, 16)), labels)
    with pytest.raises(TaskNotSupported, match="no image encoder"):
        read_encoder(resolve_weights("starter").segmentation)


def test_the_commands_from_a_list_to_a_page(chests, encoder, tmp_path):
    out, scores = tmp_path / "run", tmp_path / "scores"
    tune = Finetune(
        chests, out, encoder=str(encoder), preset="clean", epochs=2, crops=2, window=(32, 32, 16),
        spacing=(8.0, 8.0, 12.0), validate_every=1, feature_size=4, at_once=2,
    )  # fmt: skip
    tune.run()
    names = json.loads((out / "splits.json").read_text())
    assert set(names["scans"]["test"]) == {"chest3", "chest4"}
    assert len(names["scans"]["valid"]) == 1
    Segment(str(out), chests, scores, device="cpu").run()
    results = json.loads((scores / "results.json").read_text())
    assert results["manifest"]["weights"]["sha256"].keys() == {"segmentation.safetensors"}
    assert [(e.protocol, e.metric, e.benchmark) for e in read_entries(scores)] == [
        ("official", "Dice", "segmentation"), ("clean", "Dice", "segmentation"),
    ]  # fmt: skip
    page = (scores / "results.md").read_text()
    assert "## official: Chests, 2 scans" in page
    assert "chosen by what it is tested on" in page
    assert "| lung | 2 |" in page
    table_of_labels = (scores / "labels.csv").read_text().splitlines()
    assert table_of_labels[0].startswith("model,protocol,label,scans,dice")
    assert len(table_of_labels) == 1 + 2 * 3
    Segment(str(out), chests, tmp_path / "again", presets=("clean",), device="cpu", against=(scores,)).run()
    again = json.loads((tmp_path / "again" / "results.json").read_text())
    assert again["paired"]["clean"][0]["less"]["by"]["mean"] == 0
    assert "same draws of patients" in (tmp_path / "again" / "results.md").read_text()
