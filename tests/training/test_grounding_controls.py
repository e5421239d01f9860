"""Controls are what they say they are, exactly, and the benchmark runs from files to a table."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import shutil

import numpy as np
import pytest
from chests import affine_of
from ct_rate_files import CtRateFolder, save
from masked_scans import AFFINE, write_table
from simcrop_training.evaluate.grounding_benchmark import between, controls, tables
from simcrop_training.evaluate.grounding_benchmark.cases import read_masked, without_missing
from simcrop_training.evaluate.grounding_benchmark.command import Ground
from simcrop_training.evaluate.grounding_benchmark.encoded import (
    Answer,
    EncodedScan,
    Patches,
    is_encoded,
    load_encoded,
    save_encoded,
)
from simcrop_training.evaluate.grounding_benchmark.masks import Region, read_regions
from simcrop_training.evaluate.grounding_benchmark.measure import measured
from simcrop_training.evaluate.grounding_benchmark.run import Work, grounded
from simcrop_training.evaluate.manifest import weights_sha256

from simcrop_core.errors import BrokenGeometry, CannotWrite, TaskNotSupported, UnknownDataSet, UnreadableFile
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.engine import Engine

GRID = (4, 4, 2)
N = 32
ANSWER = Answer("Left mass.", "left", "located", answered=True, drawn=True, score=0.5, excess=0.1, place=3.0)


def scan_of(seed, answer=ANSWER, width=5):
    """Patches of 8 mm with random features, one column of padding and some lung; one sentence."""
    rng = np.random.default_rng(seed)
    index = np.stack(np.unravel_index(np.arange(N), GRID), axis=-1)
    within = index[:, 0] < 3
    patches = Patches(GRID, affine_of(spacing=(8, 8, 8), shape=GRID), within, within & (rng.random(N) < 0.4), 0.0)
    features = rng.normal(size=(N, width)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    sentence = np.eye(width, dtype=np.float32)[:1]
    maps = np.where(within, sentence @ features.T, -1).astype(np.float32)
    return EncodedScan(patches, features, maps, sentence, (answer,))


def region_of(seed):
    """A blob on voxels of 2 mm that covers the patches' box and more."""
    mask = np.zeros((18, 18, 10), bool)
    x, y = np.random.default_rng(seed).integers(2, 9, 2)
    mask[x : x + 5, y : y + 4, 2:7] = True
    return Region(np.asfortranarray(mask), affine_of(spacing=(2, 2, 2), shape=mask.shape))


def figures(scan, region, others=None, lowest=0.0):
    return measured(scan, [region], ["mass"], [others or {}], lowest)[0]


@pytest.mark.parametrize("seed", range(3))
def test_chance_and_lungs_are_the_mean_over_every_patch_there_is(seed):
    scan, region = scan_of(seed), region_of(seed)
    rows = figures(scan, region).rows
    for name, pool in (("chance", scan.patches.within_N), ("lungs", scan.patches.lung_N)):
        every = []
        for patch in np.flatnonzero(pool):
            one = np.full(N, -0.5, np.float32)
            one[patch] = 1
            every.append(figures(dataclasses.replace(scan, maps_SN=one[None]), region).rows["model"])
        for metric in ("pointing", "side", "distance_mm", "slice_mm"):
            assert rows[name][metric] == pytest.approx(np.mean([row[metric] for row in every])), (name, metric)
    assert rows["chance"]["auroc"] == 0.5
    assert math.isnan(rows["chance"]["found"]), "random voxels have no parts"


def test_a_random_region_is_what_drawing_many_gives():
    scan, region = scan_of(1), region_of(1)
    row = figures(scan, region, lowest=0.2)
    centres = np.stack(np.meshgrid(*map(np.arange, region.voxels.shape), indexing="ij"), -1) @ region.affine[:3, :3].T
    patch = np.floor((centres + region.affine[:3, 3] - scan.patches.affine[:3, 3]) / 8 + 0.5).astype(int)
    on_grid = ((patch >= 0) & (patch < GRID)).all(-1)
    patch = np.where(on_grid[..., None], patch, 0)
    pool = on_grid & scan.patches.within_N.reshape(GRID)[tuple(np.moveaxis(patch, -1, 0))]
    true = region.voxels[pool]
    size, rng = int(region.voxels.sum()), np.random.default_rng(0)
    dices = [2 * rng.permutation(true)[:size].sum() / (2 * size) for _ in range(2000)]
    assert row.rows["chance"]["dice_at_size"] == pytest.approx(np.mean(dices), abs=0.01)


def test_the_centre_is_the_patches_around_the_middle_of_the_frame():
    scan = scan_of(0)
    guess = controls.unseeing(scan.patches)["centre"]
    chosen = {tuple(int(i) for i in np.unravel_index(n, GRID)) for n in np.flatnonzero(guess.peaks_N)}
    assert chosen == set(itertools.product((1, 2), (1, 2), (0, 1)))
    assert np.allclose(guess.peaks_N[guess.peaks_N > 0], 1 / 8)
    assert guess.map_N is not None
    assert (guess.map_N[~scan.patches.within_N] == -1).all()
    assert (guess.map_N[scan.patches.within_N] > -1).all()


def test_without_lungs_there_is_no_lung_prior():
    patches = dataclasses.replace(scan_of(0).patches, lung_N=np.zeros(N, bool))
    assert set(controls.unseeing(patches)) == {"chance", "centre"}


@pytest.fixture
def three(tmp_path):
    """Three scans, two of them of one patient, and one of another shape."""
    scans = {name: scan_of(seed) for seed, name in enumerate(("a1", "a2", "b"))}
    small = scan_of(9)
    small = dataclasses.replace(
        small,
        patches=dataclasses.replace(
            small.patches, grid=(2, 4, 2), within_N=np.ones(16, bool), lung_N=np.ones(16, bool)
        ),
        features_NC=small.features_NC[:16],
        maps_SN=small.maps_SN[:, :16],
    )
    files = {}
    for name, scan in {**scans, "c": small}.items():
        files[name] = tmp_path / f"{name}.npz"
        save_encoded(files[name], scan, name)
    return scans, small, controls.Others(files, {"a1": "a", "a2": "a", "b": "b", "c": "c"})


def test_text_only_is_the_mean_map_of_other_patients_and_swapped_is_the_next_ones(three):
    scans, _, others = three
    ours, sentence = scans["b"], scans["b"].embeddings_SC[0]
    (guesses,) = others.guesses("b", ours)
    mean = np.mean([scans[name].features_NC @ sentence for name in ("a1", "a2")], axis=0)
    within = ours.patches.within_N
    np.testing.assert_allclose(guesses["text only"].map_N[within], mean[within], atol=2e-3)
    np.testing.assert_allclose(
        guesses["swapped scan"].map_N[within], (scans["a1"].features_NC @ sentence)[within], atol=2e-3
    )
    assert guesses["text only"].peaks_N[np.where(within, mean, -1).argmax()] == 1
    (guesses,) = others.guesses("a1", scans["a1"])
    np.testing.assert_allclose(
        guesses["text only"].map_N[within], (scans["b"].features_NC @ sentence)[within], atol=2e-3
    )


def test_a_scan_without_company_has_no_control_from_others(three):
    _, small, others = three
    assert others.guesses("c", small) == [{}]
    assert controls.partners(["a1", "a2", "b"], {"a1": "a", "a2": "a", "b": "b"}) == {"a1": "b", "a2": "b", "b": "a1"}
    assert controls.partners(["a1"], {"a1": "a"}) == {"a1": None}


def test_what_is_kept_is_what_was_encoded(tmp_path):
    scan = scan_of(4, dataclasses.replace(ANSWER, score=math.nan, answered=False))
    save_encoded(tmp_path / "one.npz", scan, "print")
    again = load_encoded(tmp_path / "one.npz")
    assert is_encoded(tmp_path / "one.npz", "print")
    assert not is_encoded(tmp_path / "one.npz", "other")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "one.npz").read_bytes()[:500])
    assert not is_encoded(tmp_path / "cut.npz", "print")
    assert not is_encoded(tmp_path / "none.npz", "print")
    assert np.array_equal(again.maps_SN, scan.maps_SN)
    assert again.answers[0].text == scan.answers[0].text
    assert math.isnan(again.answers[0].score)


def test_a_perfect_map_is_perfect_and_a_silent_model_says_nothing():
    scan, region = scan_of(2), region_of(2)
    centres = scan.patches.centres_N3
    near = -np.linalg.norm(centres - (region.affine @ [*np.argwhere(region.voxels).mean(0), 1])[:3], axis=1) / 100
    ideal = dataclasses.replace(scan, maps_SN=near.astype(np.float32)[None])
    row = figures(ideal, region).rows["model"]
    assert (row["pointing"], row["distance_mm"], row["slice_mm"]) == (1, 0, 0)
    assert row["auroc"] > 0.8
    silent = dataclasses.replace(scan, answers=(dataclasses.replace(ANSWER, drawn=False),))
    one = figures(silent, region)
    assert one.silent
    assert all(one.rows[name]["dice"] == 0 for name in one.rows)
    assert (one.rows["model"]["found"], one.rows["model"]["invented"], one.rows["model"]["missed"]) == (0, 0, 1)


def test_a_sentence_without_an_answer_misses_but_has_no_distance():
    nothing = dataclasses.replace(ANSWER, answered=False, drawn=False)
    one = figures(dataclasses.replace(scan_of(2), answers=(nothing,)), region_of(2))
    assert (one.rows["model"]["pointing"], one.rows["model"]["side"], one.rows["model"]["dice_at_size"]) == (0, 0, 0)
    assert all(math.isnan(row["distance_mm"]) and math.isnan(row["auroc"]) for row in one.rows.values())
    assert one.rows["chance"]["pointing"] > 0


def test_empty_masks_are_counted_apart():
    scan, empty = scan_of(0), Region(np.zeros((5, 5, 5), bool, order="F"), np.eye(4))
    asked = [
        tables.Asked("s", "p", figures(scan, empty, lowest=2.0)),
        tables.Asked("s", "p", figures(scan, region_of(0))),
    ]
    assert asked[0].measured.rows == {}
    assert tables.silence(asked) == {"sentences": 1, "silent": 1.0}
    (everything, *_) = tables.groups(asked, rounds=20)
    assert everything.sentences == 1


def test_instances_are_pooled_over_sentences():
    rows = [{"found": 1, "invented": 3, "missed": 0}, {"found": 2, "invented": 0, "missed": 1}]
    base = figures(scan_of(0), region_of(0))
    asked = [
        tables.Asked(name, name, dataclasses.replace(base, rows={"model": base.rows["model"] | counts}))
        for name, counts in zip("ab", rows, strict=True)
    ]
    model = tables.groups(asked, rounds=50)[0].rows["model"]
    assert model["precision"].mean == pytest.approx(3 / 6)
    assert model["recall"].mean == pytest.approx(3 / 4)
    assert model["f1"].mean == pytest.approx(2 * 0.5 * 0.75 / 1.25)
    assert model["precision"].lo <= 0.5 <= model["precision"].hi


def test_models_are_set_against_each_other_sentence_by_sentence():
    """By scan and place in it: the same words twice are two sentences; what only one was asked is left out."""
    base = figures(scan_of(0), region_of(0))

    def asked(**by_scan):
        return [
            tables.Asked(scan, scan, dataclasses.replace(base, rows={"model": base.rows["model"] | {"dice": dice}}))
            for scan, its in by_scan.items()
            for dice in its
        ]

    models = {"one": asked(a=(0.9, 0.5), b=(0.8,)), "two": asked(b=(0.6,), a=(0.4, 0.7)), "three": asked(c=(0.1,))}
    found = between.every_two(models, rounds=50)
    assert [(two.first, two.second, two.sentences) for two in found] == [
        ("one", "two", 3), ("one", "three", 0), ("two", "three", 0),
    ]  # fmt: skip
    assert found[0].less["dice"].by.mean == pytest.approx((0.5 - 0.2 + 0.2) / 3)
    assert found[0].less["pointing"].by.mean == 0
    assert math.isnan(found[1].less["dice"].by.mean)
    page = between.markdown(found)
    assert "| one | two | 3 | +0.167" in page
    assert between.markdown(between.every_two({"one": models["one"]})) == ""


# From files.


def test_a_table_names_masks_in_every_form(tmp_path):
    scan = Volume(np.zeros((6, 5, 7), np.int16), AFFINE)
    labels = np.zeros((6, 5, 7), np.uint8)
    labels[1], labels[2], labels[0, 0, 0] = 1, 2, 3
    save(tmp_path / "labels.nii.gz", labels, AFFINE)
    save(tmp_path / "last.nii.gz", np.stack([labels == 1, labels == 2], axis=-1).astype(np.uint8), AFFINE)
    save(tmp_path / "first.nii.gz", np.stack([labels == 1, labels == 2]).astype(np.uint8), AFFINE)
    real = np.where(labels == 1, 0.5, np.nan).astype(np.float32)
    save(tmp_path / "nan.nii.gz", real, AFFINE)
    rows = [("labels", 2), ("labels", ""), ("last", 1), ("first", 1), ("nan", "")]
    lines = [f"s.nii.gz,Something.,{name}.nii.gz,{index}" for name, index in rows]
    (tmp_path / "t.csv").write_text("\n".join(["scan,sentence,mask,index", *lines]))
    (case,) = read_masked(tmp_path / "t.csv").scans
    regions = [region.voxels for region in read_regions(case, scan)]
    expected = [labels == 2, labels > 0, labels == 2, labels == 2, labels == 1]
    assert all(np.array_equal(found, wanted) for found, wanted in zip(regions, expected, strict=True))


@pytest.mark.parametrize(
    ("row", "said"),
    [("s,,m,0,valid", "no sentence"), ("s,A,m,x,valid", "index 'x'"), ("s,A,m,0,later", "split 'later'")],
)
def test_a_row_that_makes_no_sense_is_named(tmp_path, row, said):
    (tmp_path / "t.csv").write_text(f"scan,sentence,mask,index,split\n{row}\n")
    with pytest.raises(UnknownDataSet, match=said):
        read_masked(tmp_path / "t.csv")


def test_missing_files_are_named_before_anything_is_done(tmp_path):
    save(tmp_path / "there.nii.gz", np.zeros((4, 4, 4), np.uint8), AFFINE)
    (tmp_path / "t.csv").write_text(
        "scan,sentence,mask\nthere.nii.gz,A.,there.nii.gz\ngone.nii.gz,A.,there.nii.gz\nthere.nii.gz,B.,lost.nii.gz\n"
    )
    data = read_masked(tmp_path / "t.csv")
    with pytest.raises(UnreadableFile, match=r"2 files are not there.*gone\.nii\.gz.*lost\.nii\.gz"):
        without_missing(data, skip=False)
    with pytest.raises(UnreadableFile, match="every scan"):
        without_missing(data, skip=True)
    (tmp_path / "lost.nii.gz").touch()
    kept = without_missing(data, skip=True)
    assert [scan.name for scan in kept.scans] == ["there.nii.gz"]
    assert [(note.name, note.code) for note in kept.left_out] == [("gone.nii.gz", "no-file")]


def test_a_mask_of_another_place_or_number_is_refused(tmp_path):
    scan = Volume(np.zeros((4, 4, 4), np.int16), AFFINE)
    far = AFFINE.copy()
    far[2, 3] = 500
    save(tmp_path / "far.nii.gz", np.ones((4, 4, 4), np.uint8), far)
    save(tmp_path / "two.nii.gz", np.ones((2, 4, 4, 4), np.uint8), AFFINE)
    (tmp_path / "far.csv").write_text("scan,sentence,mask\ns,A.,far.nii.gz\n")
    (tmp_path / "two.csv").write_text("scan,sentence,mask,index\ns,A.,two.nii.gz,2\n")
    with pytest.raises(BrokenGeometry, match="does not overlap"):
        read_regions(read_masked(tmp_path / "far.csv").scans[0], scan)
    with pytest.raises(UnreadableFile, match="number 2"):
        read_regions(read_masked(tmp_path / "two.csv").scans[0], scan)


def test_rexgrounding_is_read_with_what_its_index_names(tmp_path):
    made = CtRateFolder(tmp_path)
    made.scan("valid_1_a_1")
    made.scan("valid_2_a_1", file=False)
    entries = [
        {"name": f"valid_{n}_a_1.nii.gz", "findings": {"0": "A nodule.", "1": "An effusion."},
         "categories": {"0": "2d", "1": "2e"}} for n in (1, 2)
    ]  # fmt: skip
    made.write()
    (tmp_path / "dataset.json").write_text(json.dumps({"train": [], "val": entries, "test": []}))
    (tmp_path / "segmentations").mkdir()
    (tmp_path / "segmentations" / "valid_2_a_1.nii.gz").touch()
    data = read_masked(tmp_path)
    assert [(s.text, s.kind, s.number) for s in data.scans[0].sentences] == [
        ("A nodule.", "nodule", 0), ("An effusion.", "pleural effusion", 1),
    ]  # fmt: skip
    with pytest.raises(UnreadableFile) as fault:
        without_missing(data, skip=False)
    assert str(tmp_path / "segmentations" / "valid_1_a_1.nii.gz") in fault.value.message
    assert "valid_2_a/valid_2_a_1.nii.gz" in fault.value.message.replace("\\", "/")
    with pytest.raises(UnknownDataSet, match="split train"):
        read_masked(tmp_path, "train")


def test_from_files_to_the_table_and_on_after_a_stop(tmp_path, coarse_chest, bright_finder):
    """What is bright is found; a scan without lungs is skipped, named and counted; nothing is computed twice."""
    table = write_table(
        tmp_path,
        coarse_chest,
        [("ann", "left", "A mass in the left lung."), ("bob", "right", "A mass in the right lung."),
         ("eve", "left", "A mass in the left lung.")],
    )  # fmt: skip
    water = np.where(np.indices((60, 60, 60)).sum(0) % 7, 40, -300).astype(np.int16)
    water[:5], water[-2:] = -1000, 300
    save(tmp_path / "eve.nii.gz", water, AFFINE)
    command = Ground(table, tmp_path / "out", (str(bright_finder),), device="cpu")
    command.run()
    found = json.loads((tmp_path / "out" / "results.json").read_text())["models"][0]
    assert [note["name"] for note in found["skipped"]] == ["eve.nii.gz"]
    everything = found["groups"][0]
    assert (everything["sentences"], everything["scans"]) == (2, 2)
    rows = everything["rows"]
    assert rows["model"]["pointing"]["mean"] == rows["model"]["side"]["mean"] == 1
    assert rows["model"]["distance_mm"]["mean"] < 12
    assert rows["model"]["auroc"]["mean"] > 0.7  # A patch that the box only grazes is no brighter than the spine.
    # The other patient's box is on the other side.
    assert rows["swapped scan"]["pointing"]["mean"] == rows["text only"]["side"]["mean"] == 0
    assert rows["chance"]["pointing"]["mean"] < 0.05
    assert found["manifest"]["data"]["sentences"] == 3
    page = (tmp_path / "out" / "results.md").read_text()
    assert "eve.nii.gz" in page
    assert "| swapped scan |" in page

    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "scans").rglob("*.*")}
    assert len(kept) == 4
    lost = next(path for path in kept if path.name.startswith("bob") and path.suffix == ".json")
    lost.unlink()
    command.run()
    again = {path: path.stat().st_mtime_ns for path in kept}
    assert {path for path in kept if kept[path] != again[path]} == {lost}
    assert json.loads((tmp_path / "out" / "results.json").read_text())["models"][0]["groups"] == found["groups"]

    # Another sentence is another question, and so are other weights.
    scan = read_masked(table).scans[1]
    work = Work.of(Engine(str(bright_finder), "cpu"), weights_sha256(bright_finder), tmp_path / "out")
    assert is_encoded(work.path(scan, "npz"), work.fingerprint(scan))
    reworded = dataclasses.replace(scan, sentences=(dataclasses.replace(scan.sentences[0], text="Another mass."),))
    assert not is_encoded(work.path(scan, "npz"), work.fingerprint(reworded))
    assert Work.of(work.engine, {"grounding.safetensors": "other"}, tmp_path / "out").folder != work.folder


def test_what_is_no_scans_fault_is_not_counted_against_scans(tmp_path, coarse_chest, bright_finder, engine):
    table = write_table(tmp_path, coarse_chest, [("ann", "left", "A mass in the left lung.")])
    (tmp_path / "weights").mkdir()
    shutil.copy(bright_finder / "segmentation.safetensors", tmp_path / "weights")
    with pytest.raises(TaskNotSupported):
        Ground(table, tmp_path / "out", (str(tmp_path / "weights"),), device="cpu").run()
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite):
        grounded(Work.of(engine, {}, tmp_path / "file"), read_masked(table))
