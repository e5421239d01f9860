"""A phantom in the data sets' own form comes out of the store as it was drawn."""

from __future__ import annotations

import numpy as np
from simcrop_training.data.sample import CELLS, load_sample
from simcrop_training.datasets.find import read_data_set
from simcrop_training.prepare.run import prepare
from simcrop_training.prepare.volume import Settings
from simcrop_training.store.store import Store
from store_making import one_process

from simcrop_core.imaging.affine import apply
from simcrop_core.phantom.layouts.settings import Settings as PhantomSettings
from simcrop_core.phantom.layouts.truth_files import read_truth
from simcrop_core.phantom.layouts.write import write_phantoms

SEED = 1


def test_report_labels_and_outlined_findings_are_those_that_were_drawn(tmp_path):
    write_phantoms(tmp_path / "phantoms", PhantomSettings("rexgrounding"), [SEED])
    truth = read_truth(tmp_path / "phantoms", f"train_{SEED}_a_1")
    report = prepare(read_data_set(tmp_path / "phantoms"), tmp_path / "store", Settings(), one_process)
    assert (report.scans, report.repaired, report.warned, report.excluded, report.remarks) == (1, [], [], [], [])
    assert "SYNTHETIC" in report.terms

    store = Store.open(tmp_path / "store")
    (study,) = store.studies
    assert (study.findings, study.impression) == (truth.record.report.findings, truth.record.report.impression)
    assert study.labels == truth.record.present

    sample = load_sample(tmp_path / "store" / "grounding" / "train" / f"train_{SEED}_a_1.npz")
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
