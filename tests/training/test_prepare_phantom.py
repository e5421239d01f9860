"""A phantom in the data sets' own form comes out of the store as it was drawn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from simcrop_training.build import objective_of
from simcrop_training.data.anatomies import label_classes
from simcrop_training.data.sample import CELLS, load_sample
from simcrop_training.datasets.find import read_data_set
from simcrop_training.methods import METHODS
from simcrop_training.prepare.run import prepare
from simcrop_training.prepare.volume import Settings
from simcrop_training.recipe import Data, Recipe
from simcrop_training.store.store import Store
from store_making import MINILM, one_process

from simcrop_core.imaging.affine import apply
from simcrop_core.phantom.layouts.settings import Settings as PhantomSettings
from simcrop_core.phantom.layouts.truth_files import read_truth
from simcrop_core.phantom.layouts.write import write_phantoms
from simcrop_core.phantom.truth import LABELS, LOBES

SEED = 1
# What a store calls that which is drawn, of organs that lie in a chest's frame as a whole.
NAMES = {
    "lung_upper_lobe_left": "left upper lobe",
    "lung_lower_lobe_left": "left lower lobe",
    "lung_upper_lobe_right": "right upper lobe",
    "lung_middle_lobe_right": "right middle lobe",
    "lung_lower_lobe_right": "right lower lobe",
    "trachea": "trachea",
    "heart": "heart",
    "esophagus": "oesophagus",
    "aorta": "aorta",
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A phantom's truth, the store that was made of its files, and what was said of it."""
    folder = tmp_path_factory.mktemp("prepared")
    write_phantoms(folder / "phantoms", PhantomSettings("rexgrounding"), [SEED])
    truth = read_truth(folder / "phantoms", f"train_{SEED}_a_1")
    data = read_data_set(folder / "phantoms")
    return truth, folder / "store", prepare(data, folder / "store", Settings(), one_process, encoders=[MINILM])


def test_report_labels_and_outlined_findings_are_those_that_were_drawn(prepared):
    truth, folder, report = prepared
    assert (report.scans, report.repaired, report.warned, report.excluded, report.remarks) == (1, [], [], [], [])
    assert "SYNTHETIC" in report.terms

    store = Store.open(folder)
    (study,) = store.studies
    assert (study.findings, study.impression) == (truth.record.report.findings, truth.record.report.impression)
    assert study.labels == truth.record.present

    sample = load_sample(folder / "grounding" / "train" / f"train_{SEED}_a_1.npz")
    assert np.array_equal(sample.image, store.crop(study.volumes[0], study.volumes[0].frame_start))
    drawn = {s.text: s for s in truth.statements}
    frame = np.array(study.volumes[0].affine)
    frame[:3, 3] = apply(frame, study.volumes[0].frame_start)
    assert sample.truths
    for found in sample.truths:
        voxels = np.stack(np.unravel_index(drawn[found.text].voxels, truth.labels.shape), axis=-1)
        expected = apply(truth.affine, voxels).mean(axis=0)
        cells = np.stack(np.unravel_index(found.cells, CELLS), axis=-1) * (4, 4, 2) + (1.5, 1.5, 0.5)
        middle = np.average(apply(frame, cells), axis=0, weights=found.counts)
        # A cell is 6 mm; phantoms and frames have voxels of the same size.
        assert np.abs(middle - expected).max() < 3.0, found.text
        assert abs(found.counts.sum() / len(voxels) - 1) < 0.1


def test_organs_are_where_they_were_drawn_and_a_method_that_needs_them_takes_the_store(prepared):
    truth, folder, _ = prepared
    store = Store.open(folder)
    volume = store.studies[0].volumes[0]
    organs = store.organs(volume, (0, 0, 0), volume.shape)
    drawn = {LABELS[n]: truth.labels == n for n in range(3, 8)} | {LOBES[n]: truth.lobes == n for n in range(1, 6)}
    drawn["oesophagus"] = np.zeros(truth.labels.shape, bool)
    said = next(s for s in truth.statements if (s.polarity, s.topic) == ("anatomy", "oesophagus"))
    drawn["oesophagus"].ravel()[said.voxels] = True
    to_truth = np.linalg.inv(truth.affine) @ np.array(volume.affine)
    for stored, name in NAMES.items():
        voxels = np.argwhere(organs.labels == label_classes().index(stored))
        expected = np.argwhere(drawn[name])
        assert 0.85 < len(voxels) / len(expected) < 1.1, name
        assert np.abs(apply(to_truth, voxels.mean(axis=0)) - expected.mean(axis=0)).max() < 2, name

    settings = dataclasses.replace(METHODS["fvlm"].settings(), batch=1, micro_batch=1)
    recipe = Recipe(name="fvlm", objective="fvlm", preset="small", method=settings)
    objective = objective_of(recipe, Data(store=folder), sentences=folder / "sentences.pt")
    assert objective.data.source.pairs == 1
    pair = objective.data.source.pair(0)
    # All four organs of the method's own are there.
    shown = {pair.organs.names[n] for n in np.unique(pair.organs.labels)}
    assert {"lung_upper_lobe_left", "heart", "esophagus", "aorta"} <= shown
