"""Features of scans: those that the engine sees, computed once, kept by content, gone on with after a stop."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from ct_rate_files import save_lps
from hand_set_weights import PROVENANCE
from simcrop_training.datasets.labelled import LabelledScan
from simcrop_training.evaluate import features as module
from simcrop_training.evaluate.features import encode_frames, frame_of, load_scan_encoder, scan_features
from simcrop_training.evaluate.read_ahead import read_ahead
from tiny_run import tiny_method

from simcrop_core.errors import CannotWrite, TaskNotSupported, UnknownWeights, UnreadableFile
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.session import Session
from simcrop_core.models.config import EncoderConfig, M3dConfig
from simcrop_core.models.grounding import GroundingModel
from simcrop_core.models.m3d import M3dEncoder, m3d_features
from simcrop_core.models.presets import PRESETS
from simcrop_core.models.weights import WeightsMetadata, save_weights

TINY = PRESETS["tiny"]


def write_weights(folder, seed):
    """A tiny grounding network of random numbers."""
    torch.manual_seed(seed)
    model = GroundingModel(TINY)
    metadata = WeightsMetadata(f"tiny {seed}", TINY, PROVENANCE)
    save_weights(folder / "grounding.safetensors", model.flat_state_dict(), metadata)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights"), 1)


@pytest.fixture(scope="module")
def chests(tmp_path_factory, coarse_chest):
    """Four scans: the same chest, moved and made denser; the third holds no lungs."""
    folder = tmp_path_factory.mktemp("chests")
    images = [np.roll(coarse_chest, n, axis=2) + 20 * n for n in range(4)]
    images[2] = np.where(np.indices(coarse_chest.shape).sum(0) % 7, 40, -300)
    images[2][:5], images[2][-2:] = -1000, 300
    for number, image in enumerate(images):
        save_lps(folder / f"c{number}.nii.gz", image.astype(np.int16), (4, 4, 4))
    return folder


@pytest.fixture
def scans(chests, tmp_path):
    """Those, as files of the test's own."""
    folder = Path(shutil.copytree(chests, tmp_path / "scans"))
    return [LabelledScan(p.name[:2], p.name[:2], p, "train", ()) for p in sorted(folder.glob("*.nii.gz"))]


def test_features_are_the_mean_of_what_the_engine_encodes(weights, scans, tmp_path):
    found = scan_features(weights, scans[:1], tmp_path / "cache", device="cpu")
    expected = Session.open(scans[0].path, Engine(str(weights), "cpu")).encode().features_NC.mean(dim=0)
    assert found.features_BC.dtype == np.float32
    assert np.allclose(found.features_BC[0], expected.numpy(), rtol=0, atol=1e-5)
    assert np.abs(found.features_BC).max() > 0.1


def test_the_shipped_weights_by_name(scans, tmp_path):
    found = scan_features("starter", scans[:1], tmp_path / "cache", device="cpu")
    expected = Session.open(scans[0].path, Engine("starter", "cpu")).encode().features_NC.mean(dim=0)
    assert np.allclose(found.features_BC[0], expected.numpy(), rtol=0, atol=1e-5)


def test_a_bad_scan_is_skipped_named_and_counted(weights, scans, tmp_path, caplog):
    scans[1].path.write_bytes(scans[1].path.read_bytes()[:5000])
    with caplog.at_level("INFO", "simcrop_training"):
        found = scan_features(weights, scans, tmp_path / "cache", device="cpu")
    assert found.names == ("c0", "c3")
    assert [(note.name, note.code) for note in found.skipped] == [("c1", "unreadable-file"), ("c2", "not-a-chest")]
    assert found.features_BC.shape == (2, 48)
    assert found.volumes_per_s > 0
    assert "4 of 4 scans: 2 encoded now" in caplog.text
    assert "2 skipped" in caplog.text


def test_nothing_is_encoded_while_a_file_is_missing(weights, scans, tmp_path):
    scans[3].path.unlink()
    with pytest.raises(UnreadableFile, match=r"1 of 4 .*c3\.nii\.gz"):
        scan_features(weights, scans, tmp_path / "cache", device="cpu")
    assert not (tmp_path / "cache").exists()


def test_a_stopped_run_goes_on_at_the_scan(weights, scans, tmp_path, monkeypatch):
    whole = scan_features(weights, scans, tmp_path / "whole", device="cpu")
    encode, calls = module.ScanEncoder.features, []

    def stopped(self, seen):
        calls.append(seen)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return encode(self, seen)

    monkeypatch.setattr(module.ScanEncoder, "features", stopped)
    with pytest.raises(KeyboardInterrupt):
        scan_features(weights, scans, tmp_path / "cache", device="cpu")
    again = scan_features(weights, scans, tmp_path / "cache", device="cpu")
    assert again.encoded == 2  # c1 and c3: c0 was kept, c2 has no lungs
    assert again.names == whole.names
    assert np.array_equal(again.features_BC, whole.features_BC)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_kept_features_belong_to_the_content_of_scan_and_weights(weights, scans, tmp_path):
    def encoded(which, of=weights):
        return scan_features(of, which, tmp_path / "cache", device="cpu")

    first = encoded(scans[:1])
    assert first.encoded == 1
    again = encoded(scans[:1])
    assert again.encoded == again.volumes_per_s == 0
    assert np.array_equal(again.features_BC, first.features_BC)
    moved = scans[0].path.with_name("other.nii.gz")
    shutil.copy(scans[0].path, moved)
    assert encoded([LabelledScan("other", "o", moved, "test", ())]).encoded == 0, "the same content under another name"
    shutil.copy(scans[1].path, scans[0].path)
    changed = encoded(scans[:1])
    assert changed.encoded == 1, "other content under the same name"
    other = encoded(scans[:1], write_weights(tmp_path / "weights", 2))
    assert other.encoded == 1, "other weights"
    assert np.abs(other.features_BC - changed.features_BC).max() > 1e-3
    assert np.array_equal(encoded(scans[:1]).features_BC, changed.features_BC)


def test_how_a_scan_is_read_counts_too(weights, scans, tmp_path):
    plain = scan_features(weights, scans[:1], tmp_path / "cache", device="cpu")
    turned = [LabelledScan("c0", "c0", scans[0].path, "train", (), "slices-first")]
    assert scan_features(weights, turned, tmp_path / "cache", device="cpu").encoded == 1
    assert plain.encoded == 1


def test_damaged_files_of_the_cache_are_made_anew(weights, scans, tmp_path):
    first = scan_features(weights, scans[:1], tmp_path / "cache", device="cpu")
    for path in (tmp_path / "cache").rglob("*.*"):
        path.write_bytes(path.read_bytes()[:20])
    again = scan_features(weights, scans[:1], tmp_path / "cache", device="cpu")
    assert again.encoded == 1
    assert np.array_equal(again.features_BC, first.features_BC)


def test_the_voxels_beside_a_header_are_content(weights, scans, tmp_path):
    import SimpleITK

    image = SimpleITK.ReadImage(scans[0].path)
    SimpleITK.WriteImage(image, tmp_path / "c.mhd")
    scan = [LabelledScan("c", "c", tmp_path / "c.mhd", "train", ())]
    assert scan_features(weights, scan, tmp_path / "cache", device="cpu").encoded == 1
    SimpleITK.WriteImage(image + 10, tmp_path / "c.mhd")
    os.utime(tmp_path / "c.raw", (1, 1))
    assert scan_features(weights, scan, tmp_path / "cache", device="cpu").encoded == 1


def test_a_cache_that_cannot_be_written_stops_the_run(weights, scans, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(CannotWrite):
        scan_features(weights, scans, tmp_path / "cache", device="cpu")


@pytest.mark.parametrize("name", ["mae3d", "ctclip", "fvlm", "m3ae", "simcrop_plus"])
def test_the_encoder_of_any_method_gives_what_the_method_sees(name, scans, tmp_path):
    method = tiny_method(name)
    config = EncoderConfig(name, method.config.vision, method.data.frame, {})
    save_weights(tmp_path / "encoder.safetensors", method.flat_state_dict(), WeightsMetadata(name, config, PROVENANCE))
    found = scan_features(tmp_path, scans[:1], tmp_path / "cache", device="cpu")
    method.module.eval()
    image = torch.from_numpy(frame_of(scans[0], method.data.frame).images_THWD)[:, None]
    with torch.no_grad():
        expected = method.vision.patch_features(image)[0].mean(dim=0)
    dtype = load_scan_encoder(tmp_path, "cpu").vision.patch_embed.proj.weight.dtype
    close = 1e-5 if dtype == torch.float32 else 0.05
    assert np.allclose(found.features_BC[0], expected.numpy(), rtol=0, atol=close)


def test_m3d_sees_scans_by_its_own_rules(scans, tmp_path):
    torch.manual_seed(0)
    config = M3dConfig(image=(8, 32, 32), patch=(4, 16, 16), dim=24, depth=1, heads=2)
    encoder = M3dEncoder(config)
    metadata = WeightsMetadata("m3d", config, PROVENANCE)
    save_weights(tmp_path / "encoder.safetensors", encoder.state_dict(), metadata)
    found = scan_features(tmp_path, scans[:1], tmp_path / "cache", device="cpu")
    loaded = load_scan_encoder(tmp_path, "cpu").vision
    expected = m3d_features(loaded, module.volume_of(scans[0]))
    assert np.allclose(found.features_BC[0], expected.float().numpy(), rtol=0, atol=1e-5)


def test_weights_without_an_encoder_are_refused(tmp_path, scans):
    with pytest.raises(UnknownWeights):
        scan_features(tmp_path, scans[:1], tmp_path / "cache")
    (tmp_path / "text").mkdir()
    with pytest.raises(TaskNotSupported):
        scan_features(tmp_path, scans[:1], tmp_path / "cache")


def test_no_scans_have_no_features(weights, tmp_path):
    found = scan_features(weights, [], tmp_path / "cache", device="cpu")
    assert found.features_BC.shape == (0, 48)
    assert found.names == ()


def test_frames_are_encoded_as_they_come(weights, scans, tmp_path):
    encoder = load_scan_encoder(weights, "cpu")
    assert encoder.frame is not None
    frames = (frame_of(scan, encoder.frame) for scan in (scans[0], scans[3]))
    stored = scan_features(weights, [scans[0], scans[3]], tmp_path / "cache", device="cpu")
    assert np.array_equal(np.stack(list(encode_frames(encoder, frames))), stored.features_BC)


def test_work_is_done_ahead_in_order_and_no_further():
    done, asked = [], threading.Event()

    def work(item):
        done.append(item)
        if item == 2:
            asked.set()
        return item * item

    results = read_ahead(work, range(100), threads=1)
    assert next(results) == (0, 0)
    assert next(results) == (1, 1)
    assert asked.wait(10), "the next one is under way while this one is looked at"
    assert len(done) <= 4
    assert [value for _, value in results] == [n * n for n in range(2, 100)]
