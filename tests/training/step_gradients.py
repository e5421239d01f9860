"""One step of a method that compares its samples: losses and gradients, in micro-batches or in one piece."""

from __future__ import annotations

import torch
from simcrop_training.engine.contrast import compare
from simcrop_training.engine.ranks import ALONE
from simcrop_training.objectives.pairs import PairObjective
from tiny_run import tiny_method


def steady(name: str, *, micro_batch: int = 4, **settings: object) -> PairObjective:
    """A method on four frames a step, in float64 and without dropout."""
    objective = tiny_method(name, micro_batch=micro_batch, **settings)
    objective.module.double().eval()
    return objective


def losses_of(objective: PairObjective, index: int = 0) -> dict[str, torch.Tensor]:
    """All losses of a micro-batch as means, with gradient."""
    batch = objective.batch(index)
    counts, (totals, rows) = objective.counts(batch), objective.totals_and_rows(batch)
    return {name: total / max(counts[name], 1) for name, total in totals.items()} | objective.compared([rows])


def weighted(objective: PairObjective, losses: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack([weight * losses[name] for name, weight in objective.weights.items()]).sum()


def gradients(module: torch.nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """By every trained parameter; zeros where none arrives."""
    module.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    return collected(module)


def collected(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    trained = {key: p for key, p in module.named_parameters() if p.requires_grad}
    return {key: torch.zeros_like(p) if p.grad is None else p.grad.clone() for key, p in trained.items()}


def reached(module: torch.nn.Module, loss: torch.Tensor) -> set[str]:
    """The parts of a network that learn from a loss."""
    return {key.split(".")[0] for key, gradient in gradients(module, loss).items() if gradient.abs().max() > 1e-12}


def gradients_in_pieces(objective: PairObjective) -> dict[str, torch.Tensor]:
    """Of a whole step, one micro-batch after the other, as the loop takes them."""
    batches = [objective.batch(index) for index in range(objective.micro_batches)]
    counts = [objective.counts(batch) for batch in batches]
    whole = {name: max(sum(count[name] for count in counts), 1) for name in counts[0]}
    with torch.no_grad():
        rows = [objective.rows(batch) for batch in batches]
    comparison = compare(objective, rows, ALONE)
    objective.module.zero_grad(set_to_none=True)
    for place, batch in enumerate(batches):
        totals, own_rows = objective.totals_and_rows(batch)
        assert all(own_rows[name].equal(row) for name, row in rows[place].items())
        own = [weight * totals[name] / whole[name] for name, weight in objective.weights.items() if name in totals]
        torch.stack([*own, comparison.loss(place, own_rows)]).sum().backward()
    return collected(objective.module)


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for key, gradient in theirs.items():
        torch.testing.assert_close(ours[key], gradient, rtol=1e-7, atol=1e-11, msg=f"{key}: gradients differ")
