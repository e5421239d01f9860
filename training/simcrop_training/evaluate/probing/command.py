"""`simcrop-eval probe`, `simcrop-eval transfer` and `simcrop-eval throughput`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from simcrop_core.results import DeviceName
from simcrop_training.datasets.labelled import LabelledSet
from simcrop_training.datasets.rad_chestct import LabelMap
from simcrop_training.evaluate.probing.presets import CalcificationRule, Share, Task, official_settings
from simcrop_training.evaluate.probing.tasks import TaskData, task_data
from simcrop_training.evaluate.written import PAGE, RESULTS, plain, write_json, write_text

if TYPE_CHECKING:
    from simcrop_training.evaluate.probing.fitted import ProbeRun

_log = logging.getLogger("simcrop_training")


@dataclass(kw_only=True)
class _Probing:
    """What both commands are told."""

    output: Path
    """Folder for results.json, results.md, and what is kept of every probe; another protocol needs another one."""
    weights: tuple[str, ...] = ("starter",)
    """Names, folders or files of the weights; one row each."""
    share: Share = 100
    """Per cent of the training list."""
    preset: Literal["official", "clean", "both"] = "both"
    """official: as the released script, which encodes every scan anew at each step; clean: features once, test scans
    once."""
    lists: Path | None = None
    """A checkout of the released code, or a folder of its lists; without, lists are drawn by seed."""
    leave_out_absent: bool = False
    """Leave out scans that a list names and the folder lacks, instead of refusing."""
    seeds: tuple[int, ...] = (0,)
    """Of each probe: head, order, views, validation patients. The lists do not depend on them."""
    steps: int | None = None
    """Of the official preset, instead of the released number; the warm-up in proportion."""
    cache: Path | None = None
    """Folder of features, which other commands may share; without, one in --output."""
    device: DeviceName = "auto"
    """Where the encoders run."""
    readers: int = 2
    """Threads that read scans."""

    def _runs(self, task: Task, data: LabelledSet) -> list[ProbeRun]:
        """Every probe, and that the weights and the recipe are there."""
        from simcrop_training.evaluate.probing.clean import CleanSettings
        from simcrop_training.evaluate.probing.encoded import model_name
        from simcrop_training.evaluate.probing.fitted import ProbeRun, Settings

        settings: list[Settings] = []
        if self.preset != "clean":
            released = official_settings(task, self.share)
            settings.append(released if self.steps is None else released.shortened(self.steps))
        if self.preset != "official":
            settings.append(CleanSettings())
        for weights in self.weights:
            model_name(weights, released=False)
        return [
            ProbeRun(weights, data, its, seed, self.device, self.readers)
            for weights in self.weights
            for its in settings
            for seed in self.seeds
        ]

    def _cache(self) -> Path:
        return self.output / "features" if self.cache is None else self.cache


@dataclass(kw_only=True)
class Probe(_Probing):
    """What frozen features know: a linear head on labelled scans, by the released protocol and by a clean one.

    Stopped, the same command goes on at the step, or the scan, that it was at.
    """

    task: Annotated[Task, tyro.conf.Positional]
    """The labelled set."""
    data: Annotated[Path, tyro.conf.Positional]
    """Its folder, as downloaded; or phantoms in its form."""
    label_map: LabelMap = "corrected"
    """Of rad-chestct; simcrop_released takes pleural effusion for pericardial effusion, and the other held-out part for
    testing, as the paper's figures do."""
    window_hu: tuple[float, float] | None = None
    """Of cc-ccii's 8-bit pictures: the HU that 0 and 255 stand for."""

    def run(self) -> None:
        """Read the tables, fit, ask, write."""
        from simcrop_training.evaluate.probing.running import Target, probe_all

        where = TaskData(
            self.task, self.data, self.share, self.lists, self.label_map, self.window_hu, self.leave_out_absent
        )
        data = task_data(where)
        title = f"Linear probe, {where.column}"
        more: dict[str, object] = {"task": where.column, "labels_by": self.label_map}
        if self.task == "rad-chestct":
            title += f", labels {self.label_map}"
        target = Target(title, where.column, data, data.of("test"), data.labels, where.synthetic, more)
        probe_all(self._runs(self.task, data), target, self.output, self._cache())
        _log.info("%s\n%s", self.output / PAGE, (self.output / PAGE).read_text(encoding="utf-8"))


@dataclass(kw_only=True)
class Transfer(_Probing):
    """Probes that learned CT-RATE's 18 labels, asked about RAD-ChestCT's 16 (paper Fig. 2).

    Stopped, the same command goes on at the step, or the scan, that it was at.
    """

    data: Annotated[Path, tyro.conf.Positional]
    """CT-RATE's folder, to learn from."""
    onto: Annotated[Path, tyro.conf.Positional]
    """RAD-ChestCT's folder, to be asked about."""
    calcification: CalcificationRule = "max_prob"
    """From two labels to one: the higher probability, or (released code) whichever of the two ranks the test scans
    better, which flatters."""
    label_map: LabelMap = "corrected"
    """simcrop_released takes pleural effusion for pericardial effusion, and the other held-out part for testing."""
    tested: Literal["test", "all"] = "test"
    """RAD-ChestCT's test scans, or all of its scans: none was learned from."""

    def run(self) -> None:
        """Read the tables, fit, ask, translate, write."""
        from simcrop_training.evaluate.probing.running import probe_all
        from simcrop_training.evaluate.probing.transfer import transfer_target

        learned = TaskData("ct-rate", self.data, self.share, self.lists, leave_out_absent=self.leave_out_absent)
        asked = TaskData(
            "rad-chestct", self.onto, 100, self.lists, self.label_map, leave_out_absent=self.leave_out_absent
        )
        data = task_data(learned)
        other = task_data(asked, learned=False)
        target = transfer_target(learned, data, asked, other, self.calcification, whole=self.tested == "all")
        probe_all(self._runs("ct-rate", data), target, self.output, self._cache())
        _log.info("%s\n%s", self.output / PAGE, (self.output / PAGE).read_text(encoding="utf-8"))


@dataclass(kw_only=True)
class Throughput:
    """Features computed once, beside the released script's way of encoding every scan anew at each step: timed in turn.

    Some steps of the second are timed and multiplied by the protocol's; the page says which figure is which.
    """

    task: Annotated[Task, tyro.conf.Positional]
    """The labelled set."""
    data: Annotated[Path, tyro.conf.Positional]
    """Its folder, as downloaded; or phantoms in its form. A few scans are enough."""
    output: Path
    """Folder for results.json and results.md, and for the features of every round."""
    weights: str = "starter"
    """Name, folder or file."""
    share: Share = 100
    """Per cent of the training list; which of the released settings."""
    rounds: int = 3
    """How often both ways are timed, one after the other."""
    steps: int = 2
    """Of the released protocol in each round."""
    device: DeviceName = "auto"
    """Where the encoder runs."""
    readers: int = 2
    """Threads that read scans, for both."""

    def run(self) -> None:
        """Read the tables, time, multiply, write."""
        from simcrop_core.inference.device import resolve_device
        from simcrop_training.evaluate.manifest import manifest_of
        from simcrop_training.evaluate.probing import throughput, throughput_page
        from simcrop_training.evaluate.probing.clean import CleanSettings
        from simcrop_training.evaluate.probing.fitted import ProbeRun

        where, settings = TaskData(self.task, self.data, self.share), official_settings(self.task, self.share)
        data = task_data(where)
        run = ProbeRun(self.weights, data, CleanSettings(), 0, self.device, self.readers)
        found = throughput.timed(run, settings, self.output / "kept", rounds=self.rounds, steps=self.steps)
        sizes = len(data.of("train")), len(run.valid), len(data.of("test"))
        own = throughput.whole(found, f"{where.column}, these {found.scans} scans", settings, *sizes)
        listed = throughput.released_lists(found)
        kind = "synthetic scans (phantoms)" if where.synthetic else "scans"
        title = f"{where.column}, {found.scans} {kind}, weights {run.model}"
        machine = throughput_page.machine(resolve_device(self.device))
        document = {
            "schema": "simcrop.probe-throughput/1",
            "machine": machine,
            "manifest": manifest_of(
                self.weights, {"task": where.column, "synthetic": where.synthetic}, {"steps": self.steps}
            ),
            "measured": {**plain(found), "median": found.typical},
            "multiplied": [{**plain(row), "ratio": row.ratio, "cpu_ratio": row.cpu_ratio} for row in (own, *listed)],
        }
        write_json(self.output / RESULTS, document)
        text = throughput_page.page(title, machine, found, settings, own, listed)
        write_text(self.output / PAGE, text)
        _log.info("%s\n%s", self.output / PAGE, text)
