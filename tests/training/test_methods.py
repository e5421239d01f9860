"""Every method trains, stops and goes on as if it had not, and leaves the shared encoder under its canonical keys."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from simcrop_training.engine.loop import Loop
from simcrop_training.engine.schedule import Compute, Schedule
from simcrop_training.evaluate.trained import NothingToRead
from simcrop_training.methods import METHODS
from simcrop_training.objectives.pairs import PairData
from tiny_run import losses, tiny_method

from simcrop_core.models.presets import PRESETS
from simcrop_core.models.vit import VisionTransformer

STEPS = 24
ON_PAIRS = [name for name, method in METHODS.items() if method.objective is not None]
LEARNING = [name for name in ON_PAIRS if not name.startswith("random")]
SCHEDULE = Schedule(steps=STEPS, learning_rate=2e-3, warm_up=4, measure_every=10**6, precision="float32")


@pytest.mark.parametrize("name", LEARNING)
def test_a_method_learns_and_goes_on_where_it_stopped(name, tmp_path):
    def loop(folder):
        objective = tiny_method(name, micro_batch=2)
        return Loop(objective, SCHEDULE, tmp_path / folder, seed=3, compute=Compute(log_every=1))

    loop("whole").run()
    loop("parts").run(stop_at=7)
    loop("parts").run()
    left_alone = losses(tmp_path / "whole")
    assert losses(tmp_path / "parts") == left_alone
    values = [left_alone[step] for step in sorted(left_alone)]
    assert sum(values[-6:]) < 0.95 * sum(values[:6])


@pytest.mark.parametrize("name", ON_PAIRS)
def test_the_encoder_has_its_canonical_keys(name):
    tensors = tiny_method(name).flat_state_dict()
    own = VisionTransformer(PRESETS["tiny"].vision).state_dict()
    assert {key: tensors[key].shape for key in own} == {key: tensor.shape for key, tensor in own.items()}


@pytest.mark.parametrize("name", ON_PAIRS)
def test_what_is_exported_can_be_loaded_where_there_is_nothing_to_learn_from(name):
    """Without the position tables, which a weights file leaves out."""
    learned, fresh = tiny_method(name), tiny_method(name, seed=4)
    kept = {k: t for k, t in learned.flat_state_dict().items() if not k.endswith("pos_embed")}
    empty = PairData(learned.data.frame, NothingToRead(learned.config.text.dim))
    loaded = type(fresh)(fresh.config, empty, fresh._settings, 4)
    loaded.load_flat_state_dict(kept)
    assert all(tensor.equal(kept[key]) for key, tensor in loaded.flat_state_dict().items() if key in kept)


@pytest.mark.parametrize("name", LEARNING)
def test_every_trained_parameter_has_a_gradient(name):
    """Ranks would wait for one that has none; a frozen one must not have any."""
    objective = tiny_method(name, batch=2, micro_batch=2)
    batch = objective.batch(0)
    if hasattr(objective, "compared"):
        totals, rows = objective.totals_and_rows(batch)
        totals |= objective.compared([rows])
    else:
        totals = objective.totals(batch)
    torch.stack([totals[part] for part in objective.weights]).sum().backward()
    parameters = dict(objective.module.named_parameters())
    without = sorted(n for n, p in parameters.items() if p.requires_grad and (p.grad is None or not p.grad.any()))
    assert without == []
    assert all(p.grad is None for p in parameters.values() if not p.requires_grad)


def test_random_rows_differ_in_their_positions_alone():
    with_positions, without = (tiny_method(name).vision for name in ("random", "random_zero_pos"))
    assert without.pos_embed.abs().max() == 0
    assert with_positions.pos_embed.abs().max() > 0
    assert with_positions.blocks[0].attn.qkv.weight.equal(without.blocks[0].attn.qkv.weight)
    assert dataclasses.replace(without.config, positions="sincos3d") == with_positions.config
