"""A masked autoencoder is SimCroP without language, and says how well it does outside of air."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from literal import assert_same_gradients, hidden_errors
from simcrop_training.methods import METHODS
from simcrop_training.objectives.pairs import PairSettings
from tiny_run import tiny_method

from simcrop_core.models.masking import masked_patches
from simcrop_core.models.patches import patch_vectors


def in_float64(name, **settings):
    objective = tiny_method(name, **settings)
    objective.module.double().eval()
    return objective


def simcrop_without_language():
    model = tiny_method("simcrop")
    config = dataclasses.replace(model.config, align_weight=0.0, report_weight=0.0)
    simcrop = METHODS["simcrop"].objective(config, model.data, PairSettings(4, 4, report_tokens=24), 3)
    simcrop.module.double().eval()
    return simcrop


def test_it_is_simcrop_without_alignment_and_report():
    mae, simcrop = in_float64("mae3d", micro_batch=4), simcrop_without_language()
    own = simcrop.module.state_dict()
    mae.module.load_state_dict({key: own[key] for key in mae.module.state_dict()})
    batch = mae.batch(0)
    assert batch.keep_BK.equal(simcrop.batch(0).keep_BK)
    assert mae.counts(batch)["image"] == simcrop.counts(simcrop.batch(0))["image"] == 4 * 48
    ours, theirs = mae.totals(batch), simcrop.totals(simcrop.batch(0))
    assert ours["image"].equal(theirs["image"])
    ours["image"].backward()
    torch.stack([weight * theirs[part] for part, weight in simcrop.weights.items()]).sum().backward()
    of_simcrop = dict(simcrop.module.named_parameters())
    for name, parameter in mae.module.named_parameters():
        assert parameter.grad.allclose(of_simcrop[name].grad, rtol=1e-9), name


def test_the_loss_is_the_squared_error_of_hidden_patches_written_out():
    mae = in_float64("mae3d", micro_batch=3, batch=3)
    batch, network = mae.batch(0), mae.module
    images = mae.frames(batch)
    literal = []
    for b in range(3):
        keep_K = batch.keep_BK[b : b + 1]
        predicted_NP = network.image_decoder(network.vision(images[b : b + 1], keep_K), keep_K)[0]
        literal += hidden_errors(predicted_NP, images[b], keep_K[0], (8, 8, 4))
    assert len(literal) == mae.counts(batch)["image"] == 3 * 48
    assert_same_gradients(mae.totals(batch)["image"], torch.stack(literal).sum(), network)


def test_patches_of_air_are_not_inside():
    """A patch is air where none of its voxels reaches −900 HU; the first 16 of 64 patches are, the others not."""
    mae = in_float64("mae3d", micro_batch=2, batch=2)
    batch = mae.batch(0)
    images = torch.full((2, 32, 32, 16), -901, dtype=torch.int16)
    images[:, 8:] = -899
    batch = dataclasses.replace(batch, images_BHWD=images)
    hidden_BN = masked_patches(batch.keep_BK, 64)
    counts, totals = mae.counts(batch), mae.totals(batch)
    assert counts == {"image": int(hidden_BN.sum()), "image_inside": int(hidden_BN[:, 16:].sum())}
    frames = mae.frames(batch)
    predicted_BNP = mae.module.image_decoder(mae.module.vision(frames, batch.keep_BK), batch.keep_BK)
    errors_BN = (predicted_BNP - patch_vectors(frames, (8, 8, 4))).square().mean(dim=-1)
    assert float(totals["image_inside"]) == pytest.approx(float(errors_BN[:, 16:][hidden_BN[:, 16:]].sum().detach()))
    assert totals["image"].detach() > totals["image_inside"]
    assert not totals["image_inside"].requires_grad, "it is looked at, not learned from"


def test_no_word_matters():
    mae = in_float64("mae3d", micro_batch=4)
    batch = mae.batch(0)
    others = dataclasses.replace(batch, words_BT=batch.words_BT.roll(1, 0), sentences_BSC=-batch.sentences_BSC)
    assert mae.totals(batch)["image"].equal(mae.totals(others)["image"])
    assert not any(name.startswith(("text", "bert", "words")) for name, _ in mae.module.named_parameters())


def test_normalised_targets_do_not_depend_on_brightness_or_contrast():
    """With the option norm_pix only a patch's pattern is to be filled in, so a darker frame has the same targets."""
    model = tiny_method("mae3d")
    config = dataclasses.replace(model.config, norm_pix=True, norm_pix_floor=0.01)
    mae = METHODS["mae3d"].objective(config, model.data, PairSettings(2, 2, report_tokens=24), 3)
    batch = mae.batch(0)
    images = mae.frames(batch)
    tokens = mae.module.vision(images, batch.keep_BK)
    bright, dark = (mae.module.errors(frames, tokens, batch.keep_BK)[0].mean for frames in (images, images / 2 - 0.3))
    assert bright.allclose(dark, rtol=1e-4)
