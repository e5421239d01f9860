"""The training store gives back what was prepared, and names what is damaged."""

from __future__ import annotations

import json
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simcrop_training.store.encoder_key import encoder_key
from simcrop_training.store.files import read_manifest, shard_path
from simcrop_training.store.shard import encode_shard, read_crop
from simcrop_training.store.store import Store
from store_making import MINILM

from simcrop_core.errors import DamagedStore, UnknownWeights, UnreadableFile
from simcrop_core.imaging.frame import frame_volume
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.read import read_volume
from simcrop_core.models.presets import PRESETS
from simcrop_core.text.encoder import load_text_encoder
from simcrop_core.text.sentences import split_sentences


@pytest.fixture(scope="module")
def store(store_folder):
    return Store.open(store_folder)


def test_studies_come_by_key_with_their_scans_split_and_labels(store):
    assert [(s.key, s.patient, s.split) for s in store.studies] == [
        ("train_1_a", "train_1", "train"),
        ("valid_1_a", "valid_1", "valid"),
    ]
    assert [v.name for v in store.volumes] == ["train_1_a_1", "train_1_a_2", "valid_1_a_1"]
    assert [s.labels for s in store.studies] == [("Lung nodule",), ()]


def test_the_same_voxels_are_stored_once(store):
    first, _, held_out = store.volumes
    assert first.digest == held_out.digest
    assert len(list(store.folder.glob("volumes/*/*.b2nd"))) == 2


def test_the_frames_crop_is_what_the_engine_would_show_a_model(store, ct_rate_source):
    """Oracle: the frame that `simcrop ground` cuts, to half a Hounsfield unit."""
    path = ct_rate_source / "dataset/train_fixed/train_1/train_1_a/train_1_a_2.nii.gz"
    frame = frame_volume(read_volume(path), FrameConfig())
    volume = store.volumes[1]
    crop = store.crop(volume, volume.frame_start)
    assert crop.dtype == np.int16
    assert np.abs(crop - frame.images_THWD[0] * 1000).max() <= 0.5
    # The stored affine puts the crop's first voxel where the frame has its own.
    affine = np.array(volume.affine)
    assert affine[:3, :3] @ volume.frame_start + affine[:3, 3] == pytest.approx(frame.affine[:3, 3], abs=1e-4)


def test_a_crop_may_reach_beyond_what_was_scanned_and_finds_air_there(store):
    volume = store.volumes[0]
    crop = store.crop(volume, (-7, 0, volume.shape[2] - 20), (40, 40, 40))
    assert (crop[:7] == -1000).all()
    assert (crop[:, :, 20:] == -1000).all()
    assert np.array_equal(crop[7:, :, :20], store.crop(volume, (0, 0, volume.shape[2] - 20), (33, 40, 20)))
    assert (store.crop(volume, (5000, 0, 0), (4, 5, 6)) == -1000).all()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_crop_of_any_shape_is_numpys_slice(tmp_path_factory, data):
    shape = data.draw(st.tuples(*[st.integers(1, 70)] * 3))
    voxels = np.random.default_rng(0).integers(-1000, 1000, shape, dtype=np.int16)
    path = tmp_path_factory.mktemp("shards") / "s.b2nd"
    path.write_bytes(encode_shard(voxels))
    start = data.draw(st.tuples(*[st.integers(-20, 80)] * 3))
    size = data.draw(st.tuples(*[st.integers(1, 40)] * 3))
    padded = np.pad(voxels, 130, constant_values=-1000)
    expected = padded[tuple(slice(s + 130, s + 130 + n) for s, n in zip(start, size, strict=True))]
    assert np.array_equal(read_crop(path, start, size, outside=-1000), expected)


def test_sentences_are_the_reports_and_name_their_section(store):
    nodule = store.studies[0]
    assert [s.text for s in nodule.sentences if s.section == "findings"] == split_sentences(nodule.findings)
    assert [s.text for s in nodule.sentences if s.section == "impression"] == ["Lung nodule."]
    rows = {s.text: s.row for study in store.studies for s in study.sentences}
    assert all(store.sentences[row] == text for text, row in rows.items())
    assert sorted(rows.values()) == list(range(len(store.sentences)))


def test_embeddings_are_the_encoders_and_mapped_read_only(store):
    rows = store.embeddings(MINILM)
    assert isinstance(rows, np.memmap)
    assert not rows.flags.writeable
    assert np.array_equal(rows, load_text_encoder(MINILM).encode(store.sentences).numpy())
    assert np.array_equal(store.embeddings(encoder_key(MINILM)), rows)


def test_another_encoder_or_another_pooling_is_another_key(store):
    with pytest.raises(UnknownWeights, match="minilm"):
        store.embeddings(PRESETS["tiny"].text)


def test_a_store_travels_to_other_processes_and_threads(store):
    volume = store.volumes[0]
    expected = store.crop(volume, (3, 4, 5))
    other = pickle.loads(pickle.dumps(store))
    crops: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: crops.append(other.crop(volume, (3, 4, 5)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(crops) == 4
    assert all(np.array_equal(crop, expected) for crop in crops)


def test_a_folder_without_a_store_is_no_store(tmp_path):
    with pytest.raises(UnreadableFile, match="no finished training store"):
        Store.open(tmp_path)


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_opening_names_shards_that_are_not_whole(own_store, damage):
    digest = Store.open(own_store).volumes[1].digest
    shard = shard_path(own_store, digest)
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(DamagedStore, match=digest):
        Store.open(own_store)


def test_a_shard_that_is_damaged_later_is_named_when_it_is_read(own_store):
    store = Store.open(own_store)
    shard = shard_path(own_store, store.volumes[0].digest)
    content = bytearray(shard.read_bytes())
    content[len(content) // 3 : 2 * len(content) // 3] = bytes(len(content) // 3 + 1)
    shard.write_bytes(content)
    with pytest.raises(DamagedStore, match=store.volumes[0].digest):
        store.crop(store.volumes[0], store.volumes[0].frame_start)


def test_verifying_finds_a_single_flipped_bit(own_store):
    store = Store.open(own_store)
    store.verify()
    shard = shard_path(own_store, store.volumes[1].digest)
    content = bytearray(shard.read_bytes())
    content[5000] ^= 1
    shard.write_bytes(content)
    store = Store.open(own_store)
    with pytest.raises(DamagedStore, match=store.volumes[1].digest) as fault:
        store.verify()
    assert "1 files" in fault.value.message


@pytest.mark.parametrize("table", ["studies", "sentences"])
def test_tables_that_do_not_have_their_hash_are_refused(own_store, table):
    path = next((own_store / "tables").glob(f"{table}-*"))
    path.write_text(path.read_text(encoding="utf-8").replace("a", "b", 1), encoding="utf-8")
    with pytest.raises(DamagedStore, match=table):
        Store.open(own_store)


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"schema": "simcrop.store/99"}'])
def test_a_damaged_manifest_or_one_of_another_version_is_refused(own_store, content):
    (own_store / "manifest.json").write_text(content)
    with pytest.raises(DamagedStore):
        Store.open(own_store)


def test_embeddings_that_were_cut_off_are_named(own_store):
    path = next((own_store / "embeddings").glob("*.npy"))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DamagedStore, match=path.name):
        Store.open(own_store)


def test_the_manifest_states_terms_and_frame(store_folder):
    manifest = read_manifest(store_folder)
    assert "CC BY-NC-SA 4.0" in manifest.terms
    assert manifest.terms in (store_folder / "README.md").read_text(encoding="utf-8")
    assert manifest.frame == FrameConfig()
    assert json.loads((store_folder / "manifest.json").read_text())["schema"] == "simcrop.store/1"
