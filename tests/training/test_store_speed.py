"""How fast a warm store is read, beside the files it was made from, in one run on real chests."""

from __future__ import annotations

import pytest
from simcrop_training.datasets.find import read_data_set
from simcrop_training.prepare.bench import measure_reading
from simcrop_training.prepare.run import prepare
from simcrop_training.prepare.volume import Settings
from simcrop_training.store.store import Store
from store_making import one_process

pytestmark = pytest.mark.slow


def test_a_random_crop_takes_less_than_a_fortieth_second_of_a_core(real_ct, tmp_path):
    """And is 20 times cheaper than reading, checking and resampling a scan with the engine's own fast reader."""
    rows = [f"{real_ct('LIDC-IDRI-0001/ct.nii.gz')},Mass.,,train"]
    (tmp_path / "pairs.csv").write_text("\n".join(["path,findings,impression,split", *rows]))
    data = read_data_set(tmp_path / "pairs.csv")
    prepare(data, tmp_path / "store", Settings(), one_process)
    reading = measure_reading(data, Store.open(tmp_path / "store"), 40)
    assert reading.crops_per_core_s >= 40
    assert reading.times_faster >= 20
