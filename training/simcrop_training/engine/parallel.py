"""How the ranks of a run turn losses into one gradient: in exact order, by DDP, or sharded by FSDP2."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from simcrop_training.engine.errors import UnsuitableRanks
from simcrop_training.engine.objective import Contrast, Objective, Rows
from simcrop_training.engine.ordered_sum import OrderedSum
from simcrop_training.engine.ranks import Ranks


class Learner(nn.Module):
    """An objective's losses as a module's forward pass, which is what DDP and FSDP hook into."""

    def __init__(self, objective: Objective[Any]) -> None:
        super().__init__()
        self.module = objective.module
        self._objective = objective

    def forward(self, batch: Any) -> tuple[dict[str, Tensor], Rows]:
        """The totals of a micro-batch and what of it is compared; with gradients switched off only the latter."""
        objective = self._objective
        if not isinstance(objective, Contrast):
            return objective.totals(batch), {}
        if torch.is_grad_enabled():
            return objective.totals_and_rows(batch)
        return {}, objective.rows(batch)


class Parallel(ABC):
    """One way to share the micro-batches of a step among ranks.

    Args:
        objective: what is learned.
        ranks: of the run.
    """

    def __init__(self, objective: Objective[Any], ranks: Ranks) -> None:
        self.objective, self.ranks = objective, ranks
        self._learner: nn.Module = Learner(objective)
        self.share = ranks.share(objective.micro_batches)
        self.parameters: list[nn.Parameter] = []
        self._done = 0

    @property
    def last(self) -> bool:
        """Whether the micro-batch at hand is the rank's last of the step."""
        return self._done == len(self.share) - 1

    def outputs(self, batch: Any) -> tuple[dict[str, Tensor], Rows]:
        """The objective's totals for a micro-batch, and the rows it brings into the step's comparison."""
        outputs: tuple[dict[str, Tensor], Rows] = self._learner(batch)
        return outputs

    @torch.no_grad()
    def rows(self, batch: Any) -> Rows:
        """The rows alone, before the step's gradients are taken."""
        rows: Rows = self._learner(batch)[1]
        return rows

    def backward(self, loss: Tensor) -> None:
        """Take in the gradient of the micro-batch whose outputs were asked for last.

        Args:
            loss: its part of the step's loss; the parts of all micro-batches of all ranks are added.
        """
        if self._done == 0:
            self._forget()
        self._backward(loss)
        self._done = 0 if self.last else self._done + 1

    def clip(self, largest: float) -> Tensor:
        """Leave the whole gradient in `.grad`, cut to a norm, and give the norm before that, ()."""
        norm = nn.utils.clip_grad_norm_(self.parameters, largest)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    @abstractmethod
    def _backward(self, loss: Tensor) -> None: ...

    def _forget(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


class Exact(Parallel):
    """Gradients of micro-batches, added in one order for any number of ranks (`ordered_sum`)."""

    def __init__(self, objective: Objective[Any], ranks: Ranks) -> None:
        super().__init__(objective, ranks)
        self.parameters = _trained(objective.module)
        self._sum = OrderedSum(objective.micro_batches)

    def clip(self, largest: float) -> Tensor:
        """See `Parallel`; every rank has the same gradient, to the last bit."""
        whole = self._sum.over_all(self.ranks)
        self._sum = OrderedSum(self.objective.micro_batches)
        norm: Tensor = torch.linalg.vector_norm(whole)
        whole.mul_((largest / (norm + 1e-6)).clamp(max=1.0))
        pieces = whole.split([p.numel() for p in self.parameters])
        for parameter, grad in zip(self.parameters, pieces, strict=True):
            parameter.grad = _laid_out_as(parameter, grad.view_as(parameter))
        return norm

    def _backward(self, loss: Tensor) -> None:
        self._forget()
        torch.autograd.backward(loss)
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        self._sum.add(self.share[self._done], torch.cat([grad.reshape(-1) for grad in grads]))


def _laid_out_as(parameter: Tensor, grad: Tensor) -> Tensor:
    """A gradient in its parameter's memory order: the fused optimiser goes through memory, whatever the strides say."""
    return grad if parameter.is_contiguous() else torch.empty_like(parameter).copy_(grad)


class Ddp(Parallel):
    """PyTorch's DistributedDataParallel, its average turned back into a sum."""

    def __init__(self, objective: Objective[Any], ranks: Ranks) -> None:
        super().__init__(objective, ranks)
        if ranks.world > 1:
            devices = [ranks.device] if ranks.device.type == "cuda" else None
            with warnings.catch_warnings():
                # Renamed in PyTorch 2.13; the new name does not exist before.
                warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
                self._learner = DistributedDataParallel(self._learner, device_ids=devices, broadcast_buffers=False)
        self.parameters = _trained(objective.module)

    def outputs(self, batch: Any) -> tuple[dict[str, Tensor], Rows]:
        """See `Parallel`."""
        # DDP decides in the forward pass whether the backward pass exchanges gradients.
        with self._exchange_at_last():
            return super().outputs(batch)

    def _backward(self, loss: Tensor) -> None:
        with self._exchange_at_last():
            torch.autograd.backward(loss * self.ranks.world)

    def _exchange_at_last(self) -> AbstractContextManager[None]:
        if isinstance(self._learner, DistributedDataParallel) and not self.last:
            return self._learner.no_sync()
        return nullcontext()


class Fsdp(Parallel):
    """PyTorch's `fully_shard` (FSDP2) on every transformer block and on the whole."""

    def __init__(self, objective: Objective[Any], ranks: Ranks) -> None:
        super().__init__(objective, ranks)
        for block in blocks_of(objective.module):
            fully_shard(block)
        fully_shard(self._learner)
        for module in self._learner.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)  # gloo has no other reduction.
        self.parameters = _trained(objective.module)

    def _backward(self, loss: Tensor) -> None:
        assert isinstance(self._learner, FSDPModule)
        self._learner.set_requires_gradient_sync(self.last)
        torch.autograd.backward(loss)


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a network that are trained: the members of its module lists."""
    lists = [part for part in module.modules() if isinstance(part, nn.ModuleList)]
    return [block for blocks in lists for block in blocks if any(p.requires_grad for p in block.parameters())]


def parallel(kind: Literal["exact", "ddp", "fsdp"], objective: Objective[Any], ranks: Ranks) -> Parallel:
    """The chosen way to share a step.

    Raises:
        UnsuitableRanks: a rank would have nothing to do, FSDP ranks would not run in step, or FSDP cannot split the
            weights.
    """
    pieces = objective.micro_batches
    if ranks.world > pieces:
        raise UnsuitableRanks(
            f"A step has {pieces} micro-batches, too few for {ranks.world} processes.",
            hint="Start fewer processes, or make micro-batches smaller (the recipe's micro_batch).",
        )
    match kind:
        case "exact":
            return Exact(objective, ranks)
        case "ddp":
            return Ddp(objective, ranks)
        case "fsdp":
            if ranks.world == 1 and not dist.is_initialized():
                raise UnsuitableRanks("Sharding needs torchrun.", hint="Use --parallel exact, or torchrun.")
            if pieces % ranks.world:
                raise UnsuitableRanks(
                    f"{ranks.world} processes cannot share {pieces} micro-batches a step evenly, which fsdp needs.",
                    hint="Choose a number of processes that divides it, or --parallel exact or ddp.",
                )
            if not all(parameter.is_contiguous() for parameter in _trained(objective.module)):
                raise UnsuitableRanks(
                    "This method's weights lie channels last in memory, which fsdp cannot split.",
                    hint="Use --parallel exact or ddp.",
                )
            return Fsdp(objective, ranks)


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]
