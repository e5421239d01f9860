"""The command `simcrop-train`: make samples, run a recipe, export its weights."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.distributed as dist
import tyro
from rich.markup import escape

from simcrop_core.cli.console import out, say_error
from simcrop_core.cli.options import Flag
from simcrop_core.errors import SimCroPError
from simcrop_core.models.presets import PRETRAINING_PRESETS
from simcrop_core.phantom.truth import Style
from simcrop_training.build import in_steps, objective_of
from simcrop_training.calibrate import calibrate
from simcrop_training.data.phantoms import write_phantoms
from simcrop_training.data.real import write_real_samples
from simcrop_training.data.real_scans import REAL_SCANS, RealName
from simcrop_training.data.sample import sample_paths
from simcrop_training.engine.loop import Loop
from simcrop_training.engine.ranks import Ranks, joined_ranks
from simcrop_training.engine.trackers import TrackerName, Tracking
from simcrop_training.export import export_run
from simcrop_training.methods import METHODS
from simcrop_training.provenance import start_of
from simcrop_training.recipe import Data, Recipe, identity_of, overridden, read_recipe

_log = logging.getLogger("simcrop_training")


@dataclass
class Phantoms:
    """Draw synthetic samples into a folder; those already there are kept."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Where to write."""
    count: Annotated[int, tyro.conf.arg(aliases=("-n",))] = 200
    """How many seeds."""
    style: Style = "a"
    """The generator: a to train on, b to measure on."""
    first_seed: int = 0
    """The first of them; held-out samples begin at 100000."""
    every: int = 1
    """Draw only every so many-th seed: for several processes side by side."""
    offset: int = 0
    """Which of these."""

    def run(self) -> int:
        """Draw them."""
        write_phantoms(
            self.folder, self.count, style=self.style, first_seed=self.first_seed, every=self.every, offset=self.offset
        )
        return 0


@dataclass
class Real:
    """Make samples of the real scans that starter weights may see: findings drawn into their lungs."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Where to write."""
    scans: Path
    """The folder that holds CIP_ct-64, Lung_Dx-A0002 and TotalSegmentator_abdomen."""
    count: Annotated[int, tyro.conf.arg(aliases=("-n",))] = 40
    """How many of each scan."""
    leave_out: tuple[RealName, ...] = ()
    """Scans to make none of, so that weights can be measured on them."""

    def run(self) -> int:
        """Make them."""
        scans = [read(self.scans / name) for name, read in REAL_SCANS.items() if name not in self.leave_out]
        write_real_samples(self.folder, scans, self.count)
        return 0


@dataclass
class Run:
    """Train by a recipe. The same command goes on where a killed one stopped, on any number of processes.

    Under torchrun all processes share the work. SIGTERM, SIGUSR1 or Ctrl-C saves at the end of the step and stops.
    """

    recipe: Annotated[Path, tyro.conf.Positional]
    """A recipe's name (paper, small_phantom, …) or a file."""
    output: Path
    """Checkpoints, log and exported weights."""
    store: Path | None = None
    """A training store (simcrop-prepare)."""
    synthetic: tuple[Path, ...] = ()
    """Folders of phantoms, without a store."""
    held_out: tuple[Path, ...] = ()
    """Folders of phantoms to measure on, without a store."""
    real: tuple[Path, ...] = ()
    """Folders of samples of real scans, without a store."""
    encoder: Path | None = None
    """Weights whose image encoder a run starts from; what comes of it bears their licence, too."""
    sentences: Path | None = None
    """File that keeps the embeddings of phantoms' sentences; several runs may share one. Else in the output."""
    minutes: float = math.inf
    """Stop after so much training time, all runs of this output together, and export what there is."""
    objective: str | None = None
    """Another method than the recipe's, all else equal; simcrop-train --list-objectives prints them."""
    steps: int | None = None
    """Instead of the recipe's number of steps."""
    seed: int | None = None
    """Instead of the recipe's."""
    threads: int = 0
    """CPU threads; 0 leaves it to PyTorch."""
    parallel: Literal["exact", "ddp", "fsdp"] | None = None
    """How processes share the work, instead of the recipe's way (docs/training.md)."""
    compile: bool | None = None
    """Whether torch.compile is used, instead of what the recipe says."""
    checkpoint_activations: bool | None = None
    """Whether activations are computed again instead of kept, instead of what the recipe says."""
    workers: int | None = None
    """Threads that read and prepare data, instead of the recipe's number."""
    log_to: tuple[TrackerName, ...] = ()
    """Send figures and recipe to Weights & Biases or MLflow, as their own environment variables say."""
    log_pictures: Flag = False
    """Send them pictures of held-out scans too."""

    def run(self) -> int:
        """Train, then export."""
        Tracking(self.log_to).require()
        if self.threads:
            torch.set_num_threads(self.threads)
        recipe = read_recipe(self.recipe, steps=self.steps, objective=self.objective)
        chosen: dict[str, Any] = {
            name: value
            for name in ("parallel", "compile", "checkpoint_activations", "workers")
            if (value := getattr(self, name)) is not None
        }
        seed = {} if self.seed is None else {"seed": self.seed}
        recipe = overridden(recipe, {**seed, "compute": chosen})
        data = Data(self.synthetic, self.real, self.held_out, self.store)
        with joined_ranks() as ranks:
            logging.getLogger("simcrop_training").setLevel(logging.INFO if ranks.first else logging.WARNING)
            return _run(recipe, data, self, ranks)


@dataclass
class Calibrate:
    """Give trained grounding weights their thresholds, colour scale and reference sentences."""

    weights: Annotated[Path, tyro.conf.Positional]
    """The file that `run` exported."""
    held_out: tuple[Path, ...]
    """Folders of samples that the training never saw."""
    output: Path
    """The weights file to write."""

    def run(self) -> int:
        """Measure and write."""
        rates = calibrate(self.weights, sample_paths(self.held_out), self.output)
        _log.info("%s: %s", self.output, json.dumps(rates))
        return 0


@dataclass
class Bench:
    """Time a step of pre-training beside the same losses written plainly."""

    preset: Literal["tiny", "small", "base"] = "small"
    """Sizes of the network."""
    batch: int = 4
    """Frames a step."""
    rounds: int = 5
    """Steps of each, in turn; medians count."""
    profile: bool = False
    """Print where the time goes instead."""
    memory: bool = False
    """Count what `batch` frames computed at once keep in memory instead."""
    micro_batches: int = 1
    """With `memory`: a step is so many times `batch` frames, one after the other."""

    def run(self) -> int:
        """Time and say."""
        # Only this command needs the profiler.
        from simcrop_training.bench import profiles, step_times

        if self.memory:
            from simcrop_training.memory import step_memory

            config = PRETRAINING_PRESETS[self.preset]
            counted = step_memory(
                config, micro_batch=self.batch, report_tokens=512, sentences=48, micro_batches=self.micro_batches
            )
            _log.info("%s", json.dumps({**dataclasses.asdict(counted), "total": counted.total}))
            _log.info("%s", counted.left_out)
            return 0
        if self.profile:
            for name, table in zip(("plain", "ours"), profiles(self.preset, batch=self.batch), strict=True):
                _log.info("%s\n%s", name, table)
            return 0
        times = step_times(self.preset, batch=self.batch, rounds=self.rounds)
        _log.info("%s", json.dumps({**dataclasses.asdict(times), "ratio": round(times.ratio, 2)}))
        return 0


def _run(recipe: Recipe, data: Data, asked: Run, ranks: Ranks) -> int:
    """Exit code: 0 done; 128 and the signal's number where one ended the run, as a shell says it.

    Under torchrun that is 0 too, because torchrun would start a process again that ends otherwise.
    """
    start = start_of(asked.encoder) if asked.encoder else None
    objective = objective_of(
        recipe, data, sentences=asked.sentences or asked.output / "sentences.pt", encoder=asked.encoder
    )
    recipe = in_steps(recipe, objective)
    loop: Loop[Any] = Loop(
        objective,
        recipe.schedule,
        asked.output,
        seed=recipe.seed,
        ranks=ranks,
        compute=recipe.compute,
        identity=identity_of(recipe) | ({"encoder": start.sha256} if start else {}),
        tracking=Tracking(asked.log_to, asked.log_pictures),
    )
    outcome = loop.run(stop_after_s=60 * asked.minutes)
    if outcome.signal is not None:
        _log.info("Saved at step %d and stopped; the same command goes on.", outcome.step)
        return 0 if dist.is_torchelastic_launched() else 128 + outcome.signal
    with loop.whole_module():
        if ranks.first:
            paths = export_run(objective, recipe, data, outcome, asked.output, start=start)
            said = ", ".join(map(str, paths))
            _log.info("%s after %d steps: %s", said, outcome.step, json.dumps(outcome.metrics))
    return 0


def main() -> None:
    """The entry point. Exit code 0: done; 1: the input or the environment is at fault; 2: usage."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if sys.argv[1:] == ["--list-objectives"]:
        for name, method in METHODS.items():
            out.print(f"{name:16} {escape(method.summary)}", soft_wrap=True)
        out.print(f"{'m3d':16} M3D-CLIP's own weights: not trained here, see simcrop weights import", soft_wrap=True)
        return
    commands: dict[str, Callable[..., Any]] = {
        "phantoms": Phantoms,
        "real": Real,
        "run": Run,
        "calibrate": Calibrate,
        "bench": Bench,
    }
    command = tyro.extras.subcommand_cli_from_dict(commands)
    try:
        code = command.run()
    except SimCroPError as fault:
        say_error(fault)
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
