"""The training loop: any objective, any number of ranks, resumable at any step, the same numbers every time."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.utils.checkpoint import checkpoint

from simcrop_core.errors import CannotWrite
from simcrop_training.engine.checkpoint import Progress, load_latest, save_checkpoint
from simcrop_training.engine.contrast import Comparison, compare
from simcrop_training.engine.errors import Diverged
from simcrop_training.engine.loader import Loader, moved
from simcrop_training.engine.objective import Batch, Contrast, Objective, WholeBatches, in_pieces
from simcrop_training.engine.ordered_sum import ordered
from simcrop_training.engine.parallel import blocks_of, parallel
from simcrop_training.engine.ranks import ALONE, Ranks
from simcrop_training.engine.record import Record
from simcrop_training.engine.schedule import Compute, Schedule, adamw
from simcrop_training.engine.signals import StopRequests
from simcrop_training.engine.speed import Speed, peak_flops
from simcrop_training.engine.trackers import Tracking

_log = logging.getLogger("simcrop_training")
Computed = TypeVar("Computed")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a run stopped.

    Attributes:
        step: steps done.
        seconds: of training, all runs of this output together.
        metrics: on held-out data; empty where a signal ended the run, and on all ranks but the first.
        finished: whether the schedule's end was reached.
        signal: that ended it, or None.
    """

    step: int
    seconds: float
    metrics: dict[str, float]
    finished: bool
    signal: int | None = None


class Loop(Generic[Batch]):
    """One run of one objective in one folder.

    Args:
        objective: what is learned.
        schedule: how.
        output: checkpoints and the log; a run found there goes on.
        seed: of dropout.
        ranks: processes that share the work.
        compute: how it is computed.
        identity: what two runs must agree on to be one run (such as the recipe); kept in checkpoints.
        tracking: what of the log leaves the folder.
    """

    def __init__(
        self,
        objective: Objective[Batch] | WholeBatches[Batch],
        schedule: Schedule,
        output: Path,
        *,
        seed: int = 0,
        ranks: Ranks = ALONE,
        compute: Compute | None = None,
        identity: dict[str, Any] | None = None,
        tracking: Tracking | None = None,
    ) -> None:
        self.objective: Objective[Batch] = in_pieces(objective)
        self.schedule, self.seed, self.ranks, self.compute = schedule, seed, ranks, compute or Compute()
        self.folder = output / "checkpoints"
        self._prepare()
        self.optimiser = adamw(self.objective.module, schedule)
        self._identity = identity or {}
        found = load_latest(self.folder, self.objective.module, self.optimiser, ranks, self._identity)
        progress = found or Progress()
        self.step, self.seconds = progress.step, progress.seconds
        self._saved = self.step if found else -1
        self._passed_over = torch.tensor(progress.passed_over, device=ranks.device)
        self._worst = self._passed_over.clone()
        self._measured = -1
        self._waited_s = 0.0
        self.record = Record(
            output, ranks=ranks, speed=self._speed(), step=self.step, steps=schedule.steps,
            tracking=tracking or Tracking(), recipe=self._identity,
        )  # fmt: skip
        if found:
            self.record.event(resumed=self.step, ranks_then=found.world, ranks_now=ranks.world)

    def run(self, *, stop_after_s: float = math.inf, stop_at: int | None = None) -> Outcome:
        """Train until the schedule ends, `stop_at` steps are done, `stop_after_s` seconds of training or a signal.

        Whatever ends it, a checkpoint is written; only the end of the schedule counts as finished. A signal (SIGTERM,
        SIGUSR1, SIGINT) to any rank ends the run of all after the step at hand.

        Raises:
            Diverged: too many steps in a row had no finite gradient.
            CannotWrite: the last checkpoint cannot be written.
            MissingDependency, TrackerUnavailable: a tracker asked for is not there.
        """
        last = min(self.schedule.steps, stop_at if stop_at is not None else self.schedule.steps)
        began, earlier, saved = time.monotonic(), self.seconds, time.monotonic()
        metrics: dict[str, float] = {}
        share = self.ranks.share(self.objective.micro_batches)
        compute = self.compute
        loader = Loader(self.objective, share, last, workers=compute.workers, ahead=compute.ahead)
        with StopRequests() as requests, loader, self.record:
            while self.step < last:
                batches = loader.step(self.step)
                wanted = requests.received or (self.ranks.first and self.seconds >= stop_after_s)
                due = self.ranks.first and time.monotonic() - saved > self.schedule.checkpoint_s
                counts, stops, saves = self._agreed(batches, bool(wanted), due)
                if saves:
                    self._save()
                    saved = time.monotonic()
                if stops:
                    break
                self._learn(batches, counts)
                self.step += 1
                self.seconds = earlier + time.monotonic() - began
                self._waited_s = loader.waited_s
                if self.step % compute.log_every == 0:
                    self._write()
                metrics = self._look(metrics)
            self._save(final=True)
            signal = max(self.ranks.gathered(requests.received or 0)) or None
            if signal is not None:
                self.record.stopped()
            if signal is None and self._measured != self.step:
                metrics = self._measure()
        return Outcome(self.step, self.seconds, metrics, self.step >= self.schedule.steps, signal)

    @contextmanager
    def whole_module(self) -> Iterator[None]:
        """The objective's module in one piece on the first rank, for what reads it outside a step.

        All ranks enter, because a sharded module has to be gathered.
        """
        if self.compute.parallel != "fsdp":
            yield
            return
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        tensors = get_model_state_dict(self.objective.module, options=options)
        if self._copy is None:
            yield
            return
        self._copy.load_state_dict(tensors)
        sharded, self.objective.module = self.objective.module, self._copy
        try:
            yield
        finally:
            self.objective.module = sharded

    def _prepare(self) -> None:
        """Put the network into place: device, precision, blocks compiled or recomputed, ranks."""
        module = self.objective.module
        if self.schedule.precision == "float64":
            module.double()
        module.to(self.ranks.device)
        if self.compute.deterministic:
            torch.use_deterministic_algorithms(True, warn_only=True)
        # Before blocks are changed: the copy computes by itself, not by the blocks it was copied from.
        self._copy = copy.deepcopy(module) if self.compute.parallel == "fsdp" and self.ranks.first else None
        for block in blocks_of(module):
            if self.compute.checkpoint_activations:
                _recompute(block)
            if self.compute.compile:
                block.compile()
        self._parallel = parallel(self.compute.parallel, self.objective, self.ranks)

    def _agreed(self, batches: list[Batch], stop: bool, save: bool) -> tuple[dict[str, int], bool, bool]:
        """The counts of the whole step, and whether any rank wants to stop or to save."""
        own = [self.objective.counts(batch) for batch in batches]
        names = sorted(own[0])
        summed = self.ranks.added([*(sum(c[name] for c in own) for name in names), int(stop), int(save)])
        return dict(zip(names, summed, strict=False)), summed[-2] > 0, summed[-1] > 0

    def _learn(self, batches: list[Batch], counts: dict[str, int]) -> None:
        """One step of the optimiser, without waiting for the device."""
        rate = self.schedule.rate(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        self.objective.module.train()
        pieces = self.objective.micro_batches
        rows_MP, names = torch.empty(0), list[str]()
        share = self.ranks.share(pieces)
        comparison = self._comparison(batches, share)
        for place, (index, batch) in enumerate(zip(share, batches, strict=True)):
            totals, rows = self._computed(self._parallel.outputs, index, batch)
            parts = {name: total / max(counts.get(name, pieces), 1) for name, total in totals.items()}
            if comparison is None and isinstance(self.objective, Contrast):
                parts |= self.objective.compared([rows])
            losses = [weight * parts[name] for name, weight in self._weights(parts)]
            if comparison is not None:
                losses.append(comparison.loss(place, rows))
            self._parallel.backward(torch.stack(losses).sum())
            if not len(rows_MP):
                names = sorted(parts)
                rows_MP = torch.zeros(pieces, len(names), dtype=torch.float64, device=self.ranks.device)
            for column, name in enumerate(names):
                rows_MP[index, column] = parts[name].detach()
        norm = self._parallel.clip(self.schedule.clip)
        self._update(norm)
        values = dict(zip(names, ordered(rows_MP, self.ranks).unbind(), strict=True))
        if comparison is not None:
            values |= {name: loss.double() for name, loss in comparison.losses.items()}
        total = torch.stack([weight * values[name] for name, weight in self._weights(values)]).sum()
        self.record.step(self.step + 1, rate, values | {"loss": total, "norm": norm})

    def _comparison(self, batches: list[Batch], share: range) -> Comparison | None:
        """What the micro-batches of the step are to each other; one alone is compared where it is learned from."""
        if not isinstance(self.objective, Contrast) or self.objective.micro_batches == 1:
            return None
        rows = [self._computed(self._parallel.rows, index, batch) for index, batch in zip(share, batches, strict=True)]
        return compare(self.objective, rows, self.ranks)

    def _computed(self, compute: Callable[[Batch], Computed], index: int, batch: Batch) -> Computed:
        """Something of a micro-batch, with the random numbers that it has in every pass and on every rank."""
        torch.manual_seed(_dropout_seed(self.seed, self.step * self.objective.micro_batches + index))
        with self._autocast():
            return compute(moved(batch, self.ranks.device))

    def _update(self, norm: Tensor) -> None:
        """Step the optimiser, or leave everything as it is where the gradient is not finite; all ranks agree on it."""
        bad = ~torch.isfinite(norm)
        # The fused optimiser passes a step over on the device where this is 1, as it does for GradScaler.
        self.optimiser.found_inf = bad.float()  # type: ignore[attr-defined]
        self.optimiser.step()
        self._passed_over = torch.where(bad, self._passed_over + 1, 0)
        self._worst = torch.maximum(self._worst, self._passed_over)

    def _weights(self, values: dict[str, Tensor]) -> list[tuple[str, float]]:
        return [(name, weight) for name, weight in self.objective.weights.items() if name in values]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=self.schedule.precision == "bf16")

    def _write(self) -> None:
        """Write down the losses so far, and end the run where it learns nothing any more."""
        self.record.write(self.seconds, self._waited_s)
        if (worst := int(self._worst)) > self.schedule.patience:
            raise Diverged(
                f"{worst} steps in a row up to step {self.step} had no finite gradient.",
                hint="Lower the learning rate or lengthen the warm-up; the last checkpoint is from before.",
            )

    def _speed(self) -> Speed:
        objective, peak = self.objective, peak_flops(self.ranks.device)
        return Speed(
            objective.samples,
            objective.sample_bytes,
            objective.sample_flops,
            peak and peak * self.ranks.world,
            self.ranks.device,
        )

    def _look(self, metrics: dict[str, float]) -> dict[str, float]:
        """Measure and look at held-out data where it is due."""
        schedule = self.schedule
        if schedule.view_every and self.step % schedule.view_every == 0:
            self._view()
        if self.step % schedule.measure_every == 0 or self.step == schedule.steps:
            return self._measure()
        return metrics

    def _measure(self) -> dict[str, float]:
        self._write()
        self._measured = self.step
        metrics: dict[str, float] = {}
        with self.whole_module():
            if self.ranks.first:
                self.objective.module.eval()
                with torch.no_grad(), self._autocast():
                    metrics = self.objective.measure()
                self.record.measured(self.step, metrics)
        return metrics

    def _view(self) -> None:
        self._write()  # W&B takes steps in their order alone
        with self.whole_module():
            if self.ranks.first:
                self.objective.module.eval()
                with torch.no_grad(), self._autocast():
                    self.record.seen(self.step, self.objective.view())

    def _save(self, *, final: bool = False) -> None:
        self._write()
        if self._saved == self.step:
            return
        passed_over = int(self._passed_over)
        progress = Progress(self.step, round(self.seconds, 3), passed_over, self._identity, self.ranks.world)
        try:
            save_checkpoint(self.folder, progress, self.objective.module, self.optimiser, self.ranks)
        except OSError as fault:
            words = f"{fault} {fault.__cause__ or ''}".strip()
            if final:
                hint = "Make room and start the same command: it goes on from the checkpoint before."
                raise CannotWrite(words, hint=hint) from fault
            _log.warning("%s The checkpoint before stays.", words)
            return
        self._saved = self.step


def _dropout_seed(seed: int, index: int) -> int:
    return int(np.random.default_rng([seed, index, 5]).integers(2**62))


def _recompute(block: torch.nn.Module) -> None:
    """Have a block's forward pass run again in the backward pass instead of keeping what it computed."""
    forward = block.forward

    def again(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    block.forward = again
