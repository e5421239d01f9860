"""What a run does when things go wrong, and what it writes down."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from simcrop_training.data.source import epoch_order
from simcrop_training.engine.errors import Diverged, UnsuitableRanks, UnusableCheckpoints
from simcrop_training.engine.loop import Loop
from simcrop_training.engine.parallel import parallel
from simcrop_training.engine.ranks import ALONE, Ranks
from simcrop_training.engine.schedule import Compute, Schedule
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_run import STUDIES, TinySource, losses, run, tiny_objective

SHORT = Schedule(steps=4, learning_rate=2e-3, warm_up=1, measure_every=10**6, precision="float32")


class Poisoned(TinySource):
    """A source whose embeddings cannot be learned from in some steps of four frames."""

    def __init__(self, steps):
        super().__init__(3)
        self._steps = steps

    def pair(self, ordinal):
        pair = super().pair(ordinal)
        if ordinal // 4 in self._steps:
            pair.embeddings_SC[:] = np.nan
        return pair


def poisoned(steps, tmp_path, schedule=SHORT, **options):
    objective = tiny_objective()
    objective.data = dataclasses.replace(objective.data, source=Poisoned(steps))
    return Loop(objective, schedule, tmp_path, seed=3, compute=Compute(log_every=1), **options)


def test_a_step_without_a_finite_gradient_changes_nothing(tmp_path):
    loop = poisoned({1}, tmp_path)
    loop.run(stop_at=1)
    before = {name: p.clone() for name, p in loop.objective.module.named_parameters()}
    moments = [s["exp_avg"].clone() for s in loop.optimiser.state.values()]
    loop.run(stop_at=2)
    assert all(p.equal(before[name]) for name, p in loop.objective.module.named_parameters())
    assert all(s["exp_avg"].equal(m) for s, m in zip(loop.optimiser.state.values(), moments, strict=True))
    loop.run(stop_at=3)
    assert not all(p.equal(before[name]) for name, p in loop.objective.module.named_parameters())


def test_three_such_steps_in_a_row_end_the_run(tmp_path):
    with pytest.raises(Diverged, match="3 steps in a row up to step 4"):
        poisoned({1, 2, 3}, tmp_path).run()


def test_two_in_a_row_do_not_and_are_counted_across_a_restart(tmp_path):
    poisoned({1, 2}, tmp_path).run(stop_at=3)
    poisoned({1, 2}, tmp_path).run(stop_at=4)
    again = tmp_path / "again"
    poisoned({1, 2, 3}, again).run(stop_at=3)
    with pytest.raises(Diverged):
        poisoned({1, 2, 3}, again).run(stop_at=4)


def test_the_log_has_losses_speed_and_a_look_at_what_is_learned(tmp_path):
    run(tmp_path, steps=4, view_every=2, precision="bf16")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    step = next(line for line in lines if "loss" in line)
    assert step["loss"] == pytest.approx(step["image"] + step["alignment"] + step["report"])
    assert {"norm", "rate", "step"} <= step.keys()
    speed = next(line["speed"] for line in lines if "speed" in line)
    assert speed["samples_s"] > 0
    assert 0 <= speed["wait"] <= 1
    assert {"overlap", "never_chosen"} == next(line["view"] for line in lines if "view" in line).keys()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("loss")] == [1, 2, 3, 4]
    assert events.Scalars("loss")[-1].value == pytest.approx(losses(tmp_path)[4])
    assert len(events.Images("view")) == 2


def test_another_recipe_does_not_go_on_with_these_checkpoints(tmp_path):
    Loop(tiny_objective(), SHORT, tmp_path, identity={"seed": 3, "name": "a"}).run(stop_at=1)
    with pytest.raises(UnusableCheckpoints, match="seed differ"):
        Loop(tiny_objective(), SHORT, tmp_path, identity={"seed": 4, "name": "a"})


def test_too_many_ranks_are_refused_in_words():
    five = Ranks(0, 5, torch.device("cpu"))
    with pytest.raises(UnsuitableRanks, match="4 micro-batches, too few for 5"):
        parallel("exact", tiny_objective(), five)
    with pytest.raises(UnsuitableRanks, match="evenly"):
        parallel("fsdp", tiny_objective(), Ranks(0, 3, torch.device("cpu")))
    with pytest.raises(UnsuitableRanks, match="torchrun"):
        parallel("fsdp", tiny_objective(), ALONE)


def test_an_epoch_shows_every_volume_once_and_studies_far_apart():
    orders = [epoch_order(STUDIES, 3, epoch).tolist() for epoch in range(20)]
    study = np.repeat(np.arange(len(STUDIES)), STUDIES)
    for order in orders:
        assert sorted(order) == list(range(sum(STUDIES)))
        assert sorted(study[order[: len(STUDIES)]]) == list(range(len(STUDIES)))
    assert len({tuple(order) for order in orders}) == 20
    assert orders[0] == epoch_order(STUDIES, 3, 0).tolist()
    # Over many epochs every volume of a study comes first now and then.
    assert {order[0] for order in orders} > {0}
    assert {v for order in orders for v in order[: len(STUDIES)]} == set(range(sum(STUDIES)))
