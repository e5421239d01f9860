"""The released probe's protocol: against the released code's own numbers, and on scans that a probe can tell apart."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden import parity_weights
from simcrop_training.datasets.labelled import LabelledScan
from simcrop_training.engine.errors import NothingToLearnFrom
from simcrop_training.evaluate.feature_store import FeatureStore
from simcrop_training.evaluate.probing.encoded import Eye, fixed_features, model_name, released_eye
from simcrop_training.evaluate.probing.official import OfficialRun, fit_official, predicted
from simcrop_training.evaluate.probing.presets import OFFICIAL, NoSuchRecipe, OfficialSettings, official_settings
from simcrop_training.evaluate.probing.released import head_loss, new_head, released_features, set_drop_path
from simcrop_training.evaluate.probing.scored import score
from simcrop_training.evaluate.probing.views import drawn_box, fixed_view, mirrored_to, training_view

from simcrop_core.errors import UnreadableFile
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.volume import Volume
from simcrop_core.models.config import EncoderConfig, VisionConfig
from simcrop_core.models.presets import PRESETS
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights_file import save_weights
from simcrop_core.models.weights_metadata import Provenance, WeightsMetadata

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = PRESETS["tiny"]
QUICK = OfficialSettings(0.05, steps=12, warm_up=2, batch=4, first_validation=1)


class Interrupted(Exception):
    """As if the machine had been switched off."""


def volume_of(scan, shape=(32, 32, 16)):
    """Noise, and a bright block at one end or the other: what a label says."""
    voxels = np.random.default_rng(int(scan.name)).normal(-400, 150, shape)
    voxels[:12] += 900 * scan.labels[0]
    return Volume(voxels.astype(np.float32), np.diag([*TINY.frame.spacing_mm, 1.0]))


def scans_of(folder, count, first=0, split="train"):
    """Scans with a file each; what is in it stands for the voxels that `volume_of` draws."""
    folder.mkdir(exist_ok=True)
    for number in range(first, first + count):
        (folder / f"toy-{number}").write_text(str(number))
    numbers = range(first, first + count)
    return [LabelledScan(str(n), f"p{n // 2}", folder / f"toy-{n}", split, (n % 2,)) for n in numbers]


def run_of(folder, *, settings=QUICK, read=volume_of, **changes):
    torch.manual_seed(0)
    encoder = VisionTransformer(TINY.vision).eval().requires_grad_(False)
    eye = Eye(encoder, TINY.frame, FeatureStore(folder / "cache", "toy"), read)
    return replace(
        OfficialRun(eye, settings, scans_of(folder, 10), scans_of(folder, 6, 20), None, 3, folder, keep_every_s=0),
        **changes,
    )


def test_the_rates_are_the_released_schedulers():
    """CT-RATE 1 %, 3000 steps: through the end of the cosine, where it rises again (tests/golden/README.md)."""
    golden = np.load(GOLDEN / "lr_curves.npz")["cls_ctrate1pct_base1p5e3_w150_t1000"]
    settings = official_settings("ct-rate", 1)
    ours = [settings.rate(step) for step in range(1, len(golden) + 1)]
    np.testing.assert_allclose(ours, golden, rtol=0, atol=1e-10)


def test_a_share_without_released_settings_is_refused():
    assert len(OFFICIAL) == 10
    with pytest.raises(NoSuchRecipe, match="1 % of luna16") as fault:
        official_settings("luna16", 1)
    assert "10, 100" in fault.value.hint


def test_a_shortened_run_still_warms_up_and_ends_at_zero():
    short = official_settings("ct-rate", 10).shortened(20)
    assert (short.steps, short.warm_up, short.batch) == (20, 3, 64)
    assert short.rate(20) == pytest.approx(0, abs=1e-12)
    assert max(short.rate(step) for step in range(1, 21)) == pytest.approx(3e-3)


def test_features_and_logits_are_the_released_codes():
    """The golden LayerNorm has a scale and shift, which the released weights lack: they go into the head here."""
    golden = np.load(GOLDEN / "cls_vit_small.npz")
    state = {k: torch.from_numpy(v) for k, v in parity_weights.checkpoint(depth=2, grid=4, distractors=False).items()}
    scale, shift = state.pop("fc_norm.weight"), state.pop("fc_norm.bias")
    encoder = VisionTransformer(VisionConfig(image=(64, 64, 32), depth=2, positions="checkpoint")).eval()
    encoder.load_state_dict(state, strict=False)
    torch.nn.init.normal_(encoder.norm.weight)  # the encoder's own last norm has no part in it
    set_drop_path(encoder, 0.1)
    features = released_features(encoder, torch.from_numpy(parity_weights.image((3, 1, 64, 64, 32), 7)))
    pooled = features * scale + shift
    np.testing.assert_allclose(pooled, golden["pooled"], rtol=0, atol=2e-5)
    weight, bias = (
        torch.from_numpy(parity_weights.tensor(key, shape))
        for key, shape in (("head.weight", (18, 768)), ("head.bias", (18,)))
    )
    np.testing.assert_allclose(F.linear(pooled, weight, bias), golden["logits"], rtol=0, atol=2e-5)


def test_branches_are_skipped_in_training_mode_only():
    torch.manual_seed(0)
    encoder = VisionTransformer(replace(TINY.vision, depth=4)).requires_grad_(False)
    set_drop_path(encoder, 0.1)
    assert [block.drop_path for block in encoder.blocks] == pytest.approx([0, 0.1 / 3, 0.2 / 3, 0.1])
    images = torch.rand(64, 1, *TINY.vision.image) * 2 - 1
    encoder.train()
    assert not torch.equal(released_features(encoder, images), released_features(encoder, images))
    encoder.eval()
    assert torch.equal(released_features(encoder, images), released_features(encoder, images))


@pytest.mark.parametrize("case", range(4))
def test_the_fixed_view_is_the_released_preprocessing(case):
    """Whatever frame the weights have: its placement and padding are the released ones (tests/golden/README.md)."""
    golden = np.load(GOLDEN / "preproc_cls.npz")
    frame = FrameConfig(spacing_mm=(1.5, 1.5, 3.0), shape=tuple(golden["roi"].tolist()), axes="stored")
    voxels = parity_weights.volume(tuple(golden["shapes"][case].tolist()), int(golden["seeds"][case]))
    as_prepared = Volume(voxels, np.diag([1.5, 1.5, 3.0, 1.0]))
    expected = golden[f"default_spacing1_v{case}"][0]
    np.testing.assert_allclose(fixed_view(as_prepared, frame), expected, rtol=0, atol=2e-5)


def test_training_views_are_parts_of_the_scan():
    """Each without shift and noise is a box of the scan, flipped or not, mirrored to the frame's size."""
    voxels = np.random.default_rng(0).integers(-900, 900, (40, 30, 18)).astype(np.int16)
    frame = FrameConfig(spacing_mm=(1, 1, 1), shape=(32, 32, 16), patch=(8, 8, 4), axes="stored")
    scaled = (voxels / 1000).astype(np.float32)
    plain = 0
    for seed in range(40):
        view = training_view(Volume(voxels, np.eye(4)), frame, np.random.default_rng(seed))
        assert (view.shape, view.dtype) == ((32, 32, 16), np.float32)
        (x, y, z), (nx, ny, nz) = drawn_box((40, 30, 18), frame.shape, np.random.default_rng(seed))
        box = mirrored_to(scaled[x : x + nx, y : y + ny, z : z + nz], frame.shape)
        flips = [np.flip(box, axes) for axes in ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))]
        plain += any(np.allclose(view, flipped, atol=1e-5) for flipped in flips)
    assert 20 <= plain <= 36  # 0.9 × 0.8 of them


def test_boxes_have_80_to_100_percent_and_stay_inside():
    rng = np.random.default_rng(1)
    drawn = [drawn_box((100, 20, 7), (90, 32, 5), rng) for _ in range(500)]
    for first, size in drawn:
        assert all(f >= 0 and f + s <= n for f, s, n in zip(first, size, (100, 20, 7), strict=True))
    sizes = np.array([size for _, size in drawn])
    assert (sizes.min(axis=0).tolist(), sizes.max(axis=0).tolist()) == ([80, 16, 5], [90, 20, 5])
    assert {first[2] for first, _ in drawn} == {0, 1, 2}


def test_flips_shifts_and_noise_are_as_frequent_as_released():
    ramp = np.add.outer(np.add.outer(np.arange(16) * 40, np.arange(16) * 4), np.arange(8) / 2).astype(np.float32)
    frame = FrameConfig(spacing_mm=(1, 1, 1), shape=(8, 8, 4), patch=(8, 8, 4), axes="stored")
    scan, rng = Volume(ramp, np.eye(4)), np.random.default_rng(5)
    slopes = np.array([[np.diff(view, axis=a).mean() for a in range(3)] for view in
                       (training_view(scan, frame, rng) for _ in range(600))])  # fmt: skip
    assert (slopes[:, 0] < 0).mean() == pytest.approx(0.2, abs=0.05)
    assert (np.abs(np.abs(slopes[:, 2]) - 0.0005) > 1e-6).mean() == pytest.approx(0.2, abs=0.05)  # noise


def test_the_head_starts_tiny_and_the_same_for_a_seed():
    head = new_head(4000, 18, 2e-5, seed=1)
    assert head.weight.std().item() == pytest.approx(2e-5, rel=0.02)
    assert not head.bias.any()
    assert torch.equal(head.weight, new_head(4000, 18, 2e-5, seed=1).weight)


def test_what_is_unknown_has_no_part_in_the_loss():
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    truth = torch.tensor([[1, 0, -1], [0, -1, -1], [1, 1, 0], [0, 0, 1], [-1, 1, 1]])
    loss = head_loss(logits, truth, classes=False)
    known = truth >= 0
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits[known], truth[known].float()))
    loss.backward()
    assert not logits.grad[~known].any()
    assert head_loss(logits, torch.full((5, 3), -1), classes=False) == 0
    one = torch.tensor([[2]])
    torch.testing.assert_close(head_loss(logits[:1], one, classes=True), F.cross_entropy(logits[:1], one[0]))


def test_it_learns_to_tell_scans_apart_and_stops_at_its_last_step(tmp_path):
    run = run_of(tmp_path, settings=replace(QUICK, steps=30))
    probe = fit_official(run)
    assert probe.step == 30
    assert probe.encoded == 10 * 10  # ten epochs of three steps, with four, four and two scans
    answered = predicted(run, probe, scans_of(tmp_path, 8, 40, "test"))
    assert score(answered.probabilities_BL, answered.truth_BL, classes=False) == 1.0
    assert answered.patients[:3] == ("p20", "p20", "p21")


def test_classes_are_learned_with_cross_entropy(tmp_path):
    run = run_of(tmp_path, settings=replace(QUICK, steps=30), classes=3)
    probe = fit_official(run)
    answered = predicted(run, probe, scans_of(tmp_path, 8, 40, "test"))
    assert answered.probabilities_BL.shape == (8, 3)
    np.testing.assert_allclose(answered.probabilities_BL.sum(axis=1), 1)
    assert score(answered.probabilities_BL, answered.truth_BL, classes=True) == 1.0


def test_a_run_that_was_cut_short_ends_as_if_it_had_not_been(tmp_path):
    """Order, views and skipped branches are those of the step, not of the run."""
    whole = fit_official(run_of(tmp_path / "whole"))
    opened = []

    def failing(scan):
        opened.append(scan.name)
        if len(opened) == 30:
            raise Interrupted
        return volume_of(scan)

    with pytest.raises(Interrupted):
        fit_official(run_of(tmp_path / "cut", read=failing))
    again = fit_official(run_of(tmp_path / "cut"))
    assert torch.equal(again.head.weight, whole.head.weight)
    assert (again.validation, again.best_step, again.encoded) == (whole.validation, whole.best_step, whole.encoded)
    torch.testing.assert_close(fit_official(run_of(tmp_path / "cut")).head.weight, whole.head.weight)


def test_no_two_steps_see_the_same_view_and_the_seed_decides_them(tmp_path):
    run = run_of(tmp_path)
    first, later = run.view_of(1, 0), run.view_of(4, 0)
    assert not np.array_equal(first, later)
    assert np.array_equal(first, run_of(tmp_path).view_of(1, 0))
    assert sorted(run.batch_of(1) + run.batch_of(2) + run.batch_of(3)) == list(range(10))
    assert run.batch_of(1) + run.batch_of(2) != run.batch_of(4) + run.batch_of(5)


def test_it_validates_after_the_eleventh_epoch_and_at_the_end(tmp_path):
    run = run_of(tmp_path, settings=replace(QUICK, steps=37, first_validation=11))
    assert [step for step in range(1, 38) if run.validates(step)] == [33, 36, 37]


def test_patience_ends_a_run_and_the_best_head_is_kept(tmp_path):
    """Validation scans whose labels are the wrong way round: it only gets worse."""
    wrong = [replace(scan, labels=(1 - scan.labels[0],)) for scan in scans_of(tmp_path, 6, 20)]
    read = lambda scan: volume_of(replace(scan, labels=(int(scan.name) % 2,)))  # noqa: E731
    run = run_of(tmp_path, settings=replace(QUICK, steps=300, patience=3), valid=wrong, read=read, classes=2)
    probe = fit_official(run)
    assert probe.step < 60
    assert probe.worse == 3
    assert probe.validation[probe.best_step] == max(probe.validation.values())
    assert max(probe.validation) - probe.best_step == 9


def test_validation_scans_of_one_kind_choose_nothing_and_stop_nothing(tmp_path):
    probe = fit_official(run_of(tmp_path, valid=[scan for scan in scans_of(tmp_path, 6, 20) if scan.labels == (1,)]))
    assert probe.step == probe.best_step == QUICK.steps
    assert math.isnan(probe.best)


def test_a_scan_that_cannot_be_read_is_skipped_and_named(tmp_path):
    def read(scan):
        if scan.name in ("3", "22"):
            raise UnreadableFile("It is cut short.")
        return volume_of(scan)

    run = run_of(tmp_path, read=read)
    probe = fit_official(run)
    assert sorted(run.eye.skipped) == ["22", "3"]
    assert run.eye.skipped["3"].code == "unreadable-file"
    assert probe.encoded == 4 * 9
    with pytest.raises(NothingToLearnFrom):
        predicted(run, probe, [scan for scan in run.valid if scan.name == "22"])


def test_fixed_views_are_encoded_once(tmp_path):
    opened = []

    def read(scan):
        opened.append(scan.name)
        return volume_of(scan)

    scans = scans_of(tmp_path, 5)
    eye = run_of(tmp_path, read=read).eye
    first, again = fixed_features(eye, scans[:3]), fixed_features(eye, scans)
    assert sorted(opened) == ["0", "1", "2", "3", "4"]
    assert all(np.array_equal(first[name], again[name]) for name in first)
    gone = replace(scans[0], name="gone", path=tmp_path / "gone")
    assert fixed_features(eye, [gone]) == {}
    assert eye.skipped["gone"].code == "unreadable-file"


def test_the_untrained_encoder_has_no_positions_in_the_released_probe(tmp_path):
    """Its row is random_zero_pos there; the same weights are `random` to any other probe."""
    encoder = VisionTransformer(TINY.vision)
    config = EncoderConfig("random", TINY.vision, TINY.frame)
    metadata = WeightsMetadata("untrained", config, Provenance("Apache-2.0", "nothing", True))
    save_weights(tmp_path / "encoder.safetensors", encoder.state_dict(), metadata)
    assert encoder.pos_embed.any()
    assert not released_eye(tmp_path, tmp_path / "cache", "cpu", 1).encoder.pos_embed.any()
    assert [model_name(tmp_path, released=released) for released in (True, False)] == ["random_zero_pos", "random"]
