"""The command `simcrop-train`: make samples, run a recipe, export its weights."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from simcrop_core.phantom.truth import Style
from simcrop_training.calibrate import calibrate
from simcrop_training.data.phantoms import write_phantoms
from simcrop_training.data.real import write_real_samples
from simcrop_training.data.real_scans import abdomen, cip, lung_dx
from simcrop_training.data.sample import sample_paths
from simcrop_training.engine.loop import Loop, Outcome, Schedule
from simcrop_training.export import export_run
from simcrop_training.recipe import AnyObjective, Data, objective_of, read_recipe

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

    def run(self) -> None:
        """Draw them."""
        write_phantoms(
            self.folder, self.count, style=self.style, first_seed=self.first_seed, every=self.every, offset=self.offset
        )


@dataclass
class Real:
    """Make samples of the real scans that starter weights may see: findings drawn into their lungs."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Where to write."""
    scans: Path
    """The folder that holds CIP_ct-64, Lung_Dx-A0002 and TotalSegmentator_abdomen."""
    count: Annotated[int, tyro.conf.arg(aliases=("-n",))] = 40
    """How many of each scan."""

    def run(self) -> None:
        """Make them."""
        scans = [
            cip(self.scans / "CIP_ct-64"),
            lung_dx(self.scans / "Lung_Dx-A0002"),
            abdomen(self.scans / "TotalSegmentator_abdomen"),
        ]
        write_real_samples(self.folder, scans, self.count)


@dataclass
class Run:
    """Train by a recipe. The same command goes on where a killed one stopped."""

    recipe: Annotated[Path, tyro.conf.Positional]
    """A file of training/recipes."""
    output: Path
    """Checkpoints, log and exported weights."""
    synthetic: tuple[Path, ...]
    """Folders of phantoms."""
    held_out: tuple[Path, ...]
    """Folders of phantoms to measure on."""
    real: tuple[Path, ...] = ()
    """Folders of samples of real scans."""
    encoder: Path | None = None
    """Grounding weights whose image encoder a segmentation starts from."""
    minutes: float = math.inf
    """Stop after so much training time, all runs of this output together, and export what there is."""
    steps: int | None = None
    """Instead of the recipe's number of steps."""
    threads: int = 0
    """CPU threads; 0 leaves it to PyTorch."""

    def run(self) -> None:
        """Train, then export."""
        if self.threads:
            torch.set_num_threads(self.threads)
        recipe = read_recipe(self.recipe, steps=self.steps)
        data = Data(self.synthetic, self.real, self.held_out)
        objective = objective_of(recipe, data, sentences=self.output / "sentences.pt", encoder=self.encoder)
        outcome = _train(objective, recipe.schedule, self.output, 60 * self.minutes)
        path = export_run(objective, recipe, data, outcome, self.output)
        _log.info("%s after %d steps: %s", path, outcome.step, json.dumps(outcome.metrics))


@dataclass
class Calibrate:
    """Give trained grounding weights their thresholds, colour scale and reference sentences."""

    weights: Annotated[Path, tyro.conf.Positional]
    """The file that `run` exported."""
    held_out: tuple[Path, ...]
    """Folders of samples that the training never saw."""
    output: Path
    """The weights file to write."""

    def run(self) -> None:
        """Measure and write."""
        rates = calibrate(self.weights, sample_paths(self.held_out), self.output)
        _log.info("%s: %s", self.output, json.dumps(rates))


def _train(objective: AnyObjective, schedule: Schedule, output: Path, seconds: float) -> Outcome:
    loop: Loop[Any] = Loop(objective, schedule, output)
    return loop.run(stop_after_s=seconds)


def main() -> None:
    """The entry point."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    tyro.extras.subcommand_cli_from_dict({"phantoms": Phantoms, "real": Real, "run": Run, "calibrate": Calibrate}).run()


if __name__ == "__main__":
    main()
