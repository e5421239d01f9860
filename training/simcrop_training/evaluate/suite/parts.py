"""The parts of the suite, in the order in which they are done: each is one of the other commands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from simcrop_core.cli.console import shown_progress
from simcrop_core.errors import TaskNotSupported, UnknownWeights
from simcrop_core.inference.engine import Engine
from simcrop_core.models.registry import resolve_weights
from simcrop_core.phantom.layouts.settings import LayoutName
from simcrop_core.phantom.layouts.write import write_phantoms
from simcrop_core.results import DeviceName
from simcrop_training.engine.errors import UnusableRecipe
from simcrop_training.evaluate.grounding_benchmark.command import Audit, Ground
from simcrop_training.evaluate.methods import RunFailed
from simcrop_training.evaluate.probing.command import Probe, Transfer
from simcrop_training.evaluate.probing.presets import Task
from simcrop_training.evaluate.segmenting.command import Finetune, Segment
from simcrop_training.evaluate.segmenting.presets import TaskName
from simcrop_training.evaluate.suite.recipes import write_recipe
from simcrop_training.evaluate.suite.settings import Drawn, Model, Size
from simcrop_training.evaluate.summary import write_tables
from simcrop_training.evaluate.written import RESULTS
from simcrop_training.evaluate.zero_shot.command import ZeroShot
from simcrop_training.evaluate.zero_shot.scans import ScanAsker
from simcrop_training.prepare.cli import Prepare

PROBED: tuple[Task, ...] = ("ct-rate", "rad-chestct", "cc-ccii", "luna16")
ASKED: tuple[Literal["ct-rate", "rad-chestct"], ...] = ("ct-rate", "rad-chestct")
SEGMENTED: tuple[TaskName, ...] = ("luna16", "btcv")
TABLES = "tables"
# A fine-tuning that a CPU can do: coarser voxels, smaller windows, fewer crops and channels than both presets have.
_WINDOW, _SPACING_MM, _CROPS, _CHANNELS = (48, 48, 24), (3.0, 3.0, 6.0), 4, 8
Reasons = dict[str, str]


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is done once.

    Attributes:
        key: its name, and its folder.
        title: in words.
        run: does it, and gives the reason of every model that cannot.
    """

    key: str
    title: str
    run: Callable[[], Reasons]


@dataclass(frozen=True, slots=True)
class Suite:
    """All that parts are made of.

    Attributes:
        folder: of the suite.
        size: how much is done.
        models: the columns.
        device: where models run.
        workers: processes that draw phantoms, and threads that read scans.
        threads: CPU threads of a training run.
    """

    folder: Path
    size: Size
    models: tuple[Model, ...]
    device: DeviceName = "auto"
    workers: int = 2
    threads: int = 2

    def data(self, layout: LayoutName) -> Path:
        """The folder of a layout's phantoms."""
        return self.folder / "phantoms" / layout

    def parts(self) -> list[Part]:
        """Everything, in order."""
        table = Part(TABLES, "tables beside what papers print", self._table)
        return [*self._made(), *self._probed(), *self._asked(), *self._segmented(), table]

    def _made(self) -> list[Part]:
        parts = [
            Part(
                f"phantoms/{drawn.layout}", f"draw {drawn.count} phantoms as {drawn.layout}", partial(self._draw, drawn)
            )
            for drawn in self.size.drawn()
        ]
        trained = [model for model in self.models if model.method]
        if trained:
            parts.append(Part("store", "prepare the training scans", self._prepare))
        return parts + [
            Part(f"weights/{model.name}", f"train {model.name}", partial(self._train, model)) for model in trained
        ]

    def _probed(self) -> list[Part]:
        parts = [Part(f"probe/{task}", f"probe {task}", partial(self._probe, task)) for task in PROBED]
        return [*parts, Part("transfer", "transfer ct-rate to rad-chestct", self._transfer)]

    def _asked(self) -> list[Part]:
        parts = [Part(f"zero-shot/{task}", f"zero-shot {task}", partial(self._zero_shot, task)) for task in ASKED]
        return [*parts, Part("ground", "ground", self._ground), Part("audit", "audit", self._audit)]

    def _segmented(self) -> list[Part]:
        parts = []
        for task in SEGMENTED:
            for model in self.models:
                title, key = f"{task} from {model.name}", f"{task}/{model.name}"
                parts.append(Part(f"finetune/{key}", f"fine-tune {title}", partial(self._finetune, task, model)))
                parts.append(Part(f"segment/{key}", f"segment {title}", partial(self._segment, task, model)))
        return parts

    def _draw(self, drawn: Drawn) -> Reasons:
        with shown_progress() as job:
            write_phantoms(self.data(drawn.layout), drawn.settings, drawn.seeds, workers=self.workers, job=job)
        return {}

    def _prepare(self) -> Reasons:
        Prepare(self.data("ct-rate"), self.folder / "store", workers=self.workers).run()
        return {}

    def _train(self, model: Model) -> Reasons:
        """One run of `simcrop-train run`, in a process of its own."""
        try:
            recipe = write_recipe(model.method, self.size.train_steps, self.folder / "recipes")
        except UnusableRecipe as fault:
            raise RunFailed(f"{model.name} cannot be trained: {fault.message}", hint=fault.hint) from fault
        command = [
            sys.executable, "-m", "simcrop_training.cli", "run", str(recipe), "--store", str(self.folder / "store"),
            "--output", model.weights, "--threads", str(self.threads),
        ]  # fmt: skip
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise RunFailed(
                f"Training {model.name} ended with {ended.returncode}: {ended.stderr[-2000:]}",
                hint="The same command goes on with this run once its cause is mended.",
            )
        return {}

    def _there(self) -> tuple[tuple[str, ...], Reasons]:
        """The weights that are there, and why others are not."""
        found, reasons = [], {}
        for model in self.models:
            try:
                resolve_weights(model.weights)
                found.append(model.weights)
            except UnknownWeights:
                reasons[model.name] = "Its training has not ended."
        return tuple(found), reasons

    def _probe(self, task: Task) -> Reasons:
        weights, reasons = self._there()
        Probe(
            task=task, data=self.data(task), output=self.folder / "probe" / task, weights=weights,
            steps=self.size.probe_steps, cache=self.folder / "features", device=self.device, readers=self.workers,
        ).run()  # fmt: skip
        return reasons

    def _transfer(self) -> Reasons:
        weights, reasons = self._there()
        Transfer(
            data=self.data("ct-rate"), onto=self.data("rad-chestct"), output=self.folder / "transfer", weights=weights,
            preset="clean", tested="all", cache=self.folder / "features", device=self.device, readers=self.workers,
        ).run()  # fmt: skip
        return reasons

    def _zero_shot(self, task: Literal["ct-rate", "rad-chestct"]) -> Reasons:
        weights, reasons = self._able(lambda where: ScanAsker(where, "ctclip", self.device))
        ZeroShot(
            task=task, data=self.data(task), output=self.folder / "zero-shot" / task, weights=weights,
            cache=self.folder / "answers", device=self.device, readers=self.workers,
        ).run()  # fmt: skip
        return reasons

    def _ground(self) -> Reasons:
        weights, reasons = self._able(lambda where: Engine(where, self.device).grounding_model)
        data, output = self.data("rexgrounding"), self.folder / "ground"
        Ground(data, output, weights, device=self.device).run()
        return reasons

    def _audit(self) -> Reasons:
        weights, reasons = self._able(lambda where: Engine(where, self.device).grounding_model)
        data, output = self.data("rexgrounding"), self.folder / "audit"
        Audit(data, output, weights, limit=self.size.audited, device=self.device).run()
        return reasons

    def _able(self, asked: Callable[[str], object]) -> tuple[tuple[str, ...], Reasons]:
        """The weights that a question can be put to, and why it cannot to others.

        Raises:
            TaskNotSupported: to none.
        """
        weights, reasons = self._there()
        names = {model.weights: model.name for model in self.models}
        able = []
        for where in weights:
            try:
                asked(where)
                able.append(where)
            except TaskNotSupported as fault:
                reasons[names[where]] = fault.message
        if not able:
            raise TaskNotSupported("None of the models can do this.", hint="; ".join(reasons.values()))
        return tuple(able), reasons

    def _finetune(self, task: TaskName, model: Model) -> Reasons:
        Finetune(
            self.data(task), self.folder / "finetune" / task / model.name, encoder=model.weights, task=task,
            steps=self.size.finetune_steps, crops=_CROPS, window=_WINDOW, spacing=_SPACING_MM,
            feature_size=_CHANNELS, at_once=_CROPS, threads=self.threads,
            prepared=self.folder / "finetune" / task / "prepared",
        ).run()  # fmt: skip
        return {}

    def _segment(self, task: TaskName, model: Model) -> Reasons:
        scored = self.folder / "segment" / task
        before = self.models[: self.models.index(model)]
        Segment(
            str(self.folder / "finetune" / task / model.name), self.data(task), scored / model.name,
            presets=("clean",), task=task, device=self.device, against=tuple(scored / other.name for other in before),
        ).run()  # fmt: skip
        return {}

    def _table(self) -> Reasons:
        """Of everything that papers print figures of."""
        keys = [*(f"probe/{task}" for task in PROBED), "transfer", *(f"zero-shot/{task}" for task in ASKED)]
        keys += [f"segment/{task}/{model.name}" for task in SEGMENTED for model in self.models]
        write_tables(
            [self.folder / key for key in keys if (self.folder / key / RESULTS).is_file()], self.folder / TABLES
        )
        return {}
