"""Every benchmark from folders in a set's own form to its table: probe, transfer, fine-tuning and scoring."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hand_made_phantom import EFFUSION, SHAPE, flat, hand_made_phantom
from simcrop_training.datasets.rad_chestct import RAD_CHESTCT_LABELS
from simcrop_training.evaluate.probing.command import Probe, Transfer
from simcrop_training.evaluate.segmenting.command import Finetune, Segment
from simcrop_training.evaluate.summary import read_entries

from simcrop_core.models.config import EncoderConfig
from simcrop_core.models.presets import BTCV_LABELS, PRESETS
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights_file import save_weights
from simcrop_core.models.weights_metadata import Provenance, WeightsMetadata
from simcrop_core.phantom.layouts.catalogue import LAYOUTS
from simcrop_core.phantom.layouts.settings import Settings, claim_folder
from simcrop_core.phantom.layouts.write import write_drawn
from simcrop_core.phantom.truth import Statement
from simcrop_core.text.ct_rate import CT_RATE_LABELS

# What is drawn in the first, second and third phantom of each split; CC-CCII has a class of each.
KINDS = (("nodule", "Lung nodule"), ("consolidation", "Consolidation"), ("ground-glass opacity", "Lung opacity"))


def phantom(seed, kind):
    """Noise, with a dense third at another place for each kind: what a label is can be seen."""
    topic, label = KINDS[kind]
    voxels = np.random.default_rng(seed).integers(-1000, 500, SHAPE)
    voxels[13 * kind : 13 * (kind + 1)] //= 2
    voxels[13 * kind : 13 * (kind + 1)] += 500
    there = Statement(f"{topic} is seen.", "positive", topic, "left", "left lower lobe", flat(EFFUSION))
    return replace(hand_made_phantom(seed, voxels.astype(np.int16)), statements=(there,), present=frozenset({label}))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Each set's folder of sixteen phantoms, a half held out."""
    made = {}
    for layout in ("ct-rate", "rad-chestct", "cc-ccii", "luna16", "btcv"):
        folder, settings = tmp_path_factory.mktemp(layout), Settings(layout, valid_percent=50)
        claim_folder(folder, settings)
        seen, records = Counter(), []
        for seed in range(4 if layout == "btcv" else 16):
            split = LAYOUTS[layout].scan_name(settings, seed)[:3] if layout == "rad-chestct" else settings.split(seed)
            records.append(write_drawn(folder, settings, phantom(seed, seen[split] % len(KINDS))))
            seen[split] += 1
        LAYOUTS[layout].write_tables(folder, settings, records)
        made[layout] = folder
    return made


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("toy")
    frame = replace(PRESETS["tiny"].frame, placement="volume", spacing_mm=(2.0, 2.0, 4.0))
    config = EncoderConfig("mae3d", PRESETS["tiny"].vision, frame)
    said = WeightsMetadata("toy", config, Provenance("Apache-2.0", "nothing", True))
    save_weights(folder / "encoder.safetensors", VisionTransformer(PRESETS["tiny"].vision).state_dict(), said)
    return str(folder)


def records_of(folder):
    return sorted(path.name.split(".json")[0] for path in (folder / "truth").glob("*.json"))


def write_lists(folder, key, labels, train, valid, test, said):
    """Lists in the released form: names, then a column a label."""
    folder.mkdir(parents=True)
    named = {"train_list": train, "train_list_10": train[:4], "val_list": valid, "test_list": test}
    for name, scans in named.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow([key, *labels])
            table.writerows([scan, *said(scan)] for scan in scans)


@pytest.fixture(scope="module")
def checkout(folders, tmp_path_factory):
    """Lists of all four tasks where a checkout of the released code has them, made from the phantoms' names."""
    top = tmp_path_factory.mktemp("checkout")
    place = top / "Down-stream" / "Classification_Linear" / "datasets"
    ct = [f"{name}.nii.gz" for name in records_of(folders["ct-rate"])]
    train, held = ([name for name in ct if name.startswith(part)] for part in ("train", "valid"))
    write_lists(place / "CT-Rate", "VolumeName", CT_RATE_LABELS, train, held, held, lambda _: [0] * 18)
    rad = {
        part: [n for n in records_of(folders["rad-chestct"]) if n.startswith(part)] for part in ("trn", "val", "tst")
    }
    spelled = ["Hietal Hernia" if label == "Hiatal hernia" else label for label in RAD_CHESTCT_LABELS]
    write_lists(
        place / "RadChestCT", "NoteAcc_DEID", spelled, rad["trn"], rad["tst"], rad["val"], lambda _: [1] + [0] * 15
    )
    with (folders["cc-ccii"] / "train_list.csv").open(encoding="utf-8") as file:
        classes = {row["img_list"]: row["label"] for row in csv.DictReader(file)}
    with (folders["cc-ccii"] / "test_list.csv").open(encoding="utf-8") as file:
        held_out = {row["img_list"]: row["label"] for row in csv.DictReader(file)}
    both = classes | held_out
    write_lists(
        place / "CC-CCII", "img_list", ["label"], list(classes), list(held_out), list(held_out), lambda n: [both[n]]
    )
    uids = [f"{name}.nii.gz" for name in records_of(folders["luna16"])]
    write_lists(place / "LUNA16", "image_id", ["label"], uids[:10], uids[10:], uids[10:], lambda _: [1])
    return top


CASES = [
    ("cc-ccii", {}, "accuracy", 3),
    ("rad-chestct", {}, "AUROC", 16),
    ("cc-ccii", {"lists": True, "share": 10}, "accuracy", 3),
    ("rad-chestct", {"lists": True, "label_map": "simcrop_released"}, "AUROC", 16),
    ("luna16", {"lists": True, "share": 10}, "AUROC", 1),
    ("ct-rate", {"lists": True, "share": 10}, "AUROC", 18),
]


@pytest.mark.parametrize(("task", "more", "metric", "rows"), CASES)
def test_a_probe_goes_from_a_sets_folder_to_its_table(folders, checkout, weights, tmp_path, task, more, metric, rows):
    asked = {**more, "lists": checkout if more.get("lists") else None}
    Probe(task=task, data=folders[task], output=tmp_path, weights=(weights,), steps=2, device="cpu", **asked).run()
    document = json.loads((tmp_path / "results.json").read_text())
    assert [outcome["preset"] for outcome in document["outcomes"]] == ["official", "clean"]
    assert all((outcome["metric"], len(outcome["rows"])) == (metric, rows) for outcome in document["outcomes"])
    assert all(outcome["value"]["mean"] is not None and not outcome["skipped"] for outcome in document["outcomes"])
    assert {entry.column for entry in read_entries(tmp_path)} == {f"{task} {more.get('share', 100)} %"}
    page = (tmp_path / "results.md").read_text()
    assert "synthetic scans (phantoms)" in page
    assert "| mae3d, as published | " in page
    if more.get("lists"):
        assert "Lists of " in page
    if more.get("lists") and task != "rad-chestct":
        assert "8 of 8 validation scans are among the 8 test scans" in page or task == "luna16"
        assert document["data"]["train"].startswith("4 scans")
    if more.get("label_map"):
        # The lists validate on the set's test part and test on its other; their labels are not the set's.
        assert document["data"]["valid"].startswith("4 scans")
        assert "Medical material: the lists differ from the set in 16 of 16 scans; the set's hold." in page
        assert "pericardial effusion is a copy of pleural effusion" in page


def test_classes_that_can_be_seen_are_found(folders, weights, tmp_path):
    Probe(
        task="cc-ccii", data=folders["cc-ccii"], output=tmp_path, weights=(weights,), preset="clean", device="cpu"
    ).run()
    (outcome,) = json.loads((tmp_path / "results.json").read_text())["outcomes"]
    assert [row["auroc"] for row in outcome["rows"]] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("lists", [False, True])
def test_transfer_by_the_released_protocol(folders, checkout, weights, tmp_path, lists):
    Transfer(
        data=folders["ct-rate"], onto=folders["rad-chestct"], output=tmp_path, weights=(weights,), preset="official",
        steps=2, device="cpu", calcification="best_auc", lists=checkout if lists else None,
        label_map="simcrop_released" if lists else "corrected",
    ).run()  # fmt: skip
    (outcome,) = json.loads((tmp_path / "results.json").read_text())["outcomes"]
    assert (outcome["preset"], [row["label"] for row in outcome["rows"]]) == ("official", list(RAD_CHESTCT_LABELS))
    measured = {row["label"] for row in outcome["rows"] if row["auroc"] is not None}
    assert {"Lung nodule", "Consolidation"} <= measured
    assert outcome["tested"] == 4
    assert "official" in (tmp_path / "results.md").read_text()


@pytest.mark.parametrize("preset", ["official", "clean"])
def test_btcv_is_fine_tuned_on_and_scored(folders, weights, tmp_path, preset):
    run, scores = tmp_path / "run", tmp_path / "scores"
    Finetune(
        folders["btcv"], run, encoder=weights, preset=preset, task="btcv", epochs=1, crops=2, window=(32, 32, 16),
        spacing=(4.0, 4.0, 6.0), validate_every=1, feature_size=4, at_once=2,
    ).run()  # fmt: skip
    Segment(str(run), folders["btcv"], scores, presets=(preset,), task="btcv", device="cpu").run()
    document = json.loads((scores / "results.json").read_text())
    figures = document["figures"][preset]
    assert [row["label"] for row in figures["labels"]] == list(BTCV_LABELS)
    assert {row["label"] for row in figures["labels"] if row["scans"]} >= {"background", "liver", "spleen", "aorta"}
    (entry,) = read_entries(scores)
    assert (entry.model, entry.column, entry.protocol) == ("mae3d", "btcv", preset)
    assert "distance, mm" in (scores / "results.md").read_text()
