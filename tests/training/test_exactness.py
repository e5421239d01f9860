"""No number of a run depends on how many ranks computed it."""

from __future__ import annotations

import pytest
from tiny_run import ended, losses, run, start


def together(tmp_path, plans, worlds):
    """The same plans on one rank (here) and on several (in processes), by world and plan."""
    ranks = {w: start(w, {tmp_path / str(w) / name: options for name, options in plans.items()}) for w in worlds}
    for name, options in plans.items():
        run(tmp_path / "1" / name, **options)
    for processes in ranks.values():
        ended(processes)
    return {w: {name: losses(tmp_path / str(w) / name) for name in plans} for w in (1, *worlds)}


def test_runs_on_one_two_and_three_ranks_agree_to_the_last_bit(tmp_path):
    """Four micro-batches a step: shares of 4, of 2 + 2, and of 1 + 1 + 2."""
    figures = together(tmp_path, {"exact": {}, "double": {"precision": "float64", "steps": 3}}, (2, 3))
    assert len(figures[1]["exact"]) == 6
    assert figures[1] == figures[2] == figures[3]
    assert figures[1]["double"][3] != figures[1]["exact"][3]


def test_ddp_and_fsdp_agree_with_the_exact_sum_within_rounding(tmp_path):
    plans = {
        "ddp": {"parallel": "ddp"}, "fsdp": {"parallel": "fsdp"}, "again": {"checkpoint_activations": True},
        # Looked at in the middle: what is looked at is a whole copy of what is sharded.
        "fsdp again": {"parallel": "fsdp", "checkpoint_activations": True, "view_every": 3},
    }  # fmt: skip
    ended(start(2, {tmp_path / name: {**options, "precision": "float64"} for name, options in plans.items()}))
    run(tmp_path / "exact", precision="float64")
    exact = losses(tmp_path / "exact")
    for name in plans:
        assert losses(tmp_path / name) == pytest.approx(exact, rel=1e-12), name


def test_a_contrast_over_the_whole_step_agrees_to_the_last_bit_too(tmp_path):
    plans = {name: {"method": name, "steps": 2} for name in ("ctclip", "simcrop_plus", "biud", "fvlm", "mg3d")}
    figures = together(tmp_path, plans, (2, 3))
    assert figures[1] == figures[2] == figures[3]
    assert all(len(set(figures[1][name].values())) == 2 for name in plans)


@pytest.mark.slow
def test_long_runs_stay_together(tmp_path):
    """200 steps in float64 and 50 in float32, for each way to share the work, at the paper's rate.

    DDP and FSDP add in an order of their own. What that rounds differently grows with every step, and the faster the
    higher the rate: at 2e-3 it is 3e-9 after 200 steps.
    """
    long = {"precision": "float64", "steps": 200, "checkpoint_s": 1e6, "learning_rate": 1.5e-4}
    short = {"precision": "float32", "steps": 50, "checkpoint_s": 1e6, "learning_rate": 1.5e-4}
    figures = together(tmp_path, {"long": long, "short": short}, (2, 3))
    assert figures[1] == figures[2] == figures[3]
    for kind, worlds in (("ddp", (2, 3)), ("fsdp", (2,))):
        for world in worlds:
            plans = {tmp_path / kind / str(world) / n: {**o, "parallel": kind} for n, o in (("l", long), ("s", short))}
            ended(start(world, plans))
            of_long, of_short = (losses(folder) for folder in plans)
            assert of_long == pytest.approx(figures[1]["long"], rel=1e-10)
            assert of_short == pytest.approx(figures[1]["short"], rel=1e-4)
