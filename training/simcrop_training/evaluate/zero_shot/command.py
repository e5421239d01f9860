"""`simcrop-eval zero-shot`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from simcrop_core.results import DeviceName
from simcrop_training.datasets.rad_chestct import LabelMap
from simcrop_training.evaluate.probing.presets import CalcificationRule
from simcrop_training.evaluate.written import PAGE
from simcrop_training.evaluate.zero_shot.prompts import PromptSetName

_log = logging.getLogger("simcrop_training")


@dataclass(kw_only=True)
class ZeroShot:
    """Findings told from prompts alone, by every method that knows words; no label trains anything.

    Stopped, the same command goes on at the scan that it was at.
    """

    task: Annotated[Literal["ct-rate", "rad-chestct"], tyro.conf.Positional]
    """The labelled set."""
    data: Annotated[Path, tyro.conf.Positional]
    """Its folder, as downloaded; or phantoms in its form."""
    output: Path
    """Folder for results.json, results.md and pictures."""
    weights: tuple[str, ...] = ("starter",)
    """Names, folders or files of the weights; one row each."""
    prompts: tuple[PromptSetName, ...] = ("ctclip",)
    """Prompt sets, one row each; fvlm always asks organs with its own."""
    unit: Literal["volume", "study"] = "volume"
    """Of ct-rate: every reconstruction, or the mean over those of a study."""
    thresholds_from: int = 0
    """So many training scans, drawn by seed, choose the labels' thresholds; 0: only the published way, on the test
    scans themselves."""
    label_map: LabelMap = "corrected"
    """Of rad-chestct."""
    calcification: CalcificationRule = "max_prob"
    """Of rad-chestct: from two labels to one."""
    lists: Path | None = None
    """A checkout of the released code, or a folder of its lists."""
    leave_out_absent: bool = False
    """Leave out scans that a list names and the folder lacks, instead of refusing."""
    cache: Path | None = None
    """Folder of answers, which other commands may share; without, one in --output."""
    device: DeviceName = "auto"
    """Where the networks run."""
    readers: int = 2
    """Threads that read scans."""

    def run(self) -> None:
        """Ask, measure, write."""
        from simcrop_training.evaluate.probing.tasks import TaskData, task_data
        from simcrop_training.evaluate.zero_shot.run import Asked, Request, zero_shot

        where = TaskData(self.task, self.data, 100, self.lists, self.label_map, leave_out_absent=self.leave_out_absent)
        request = Request(
            where, task_data(where), self.unit, self.thresholds_from, self.calcification,
            self.output / "answers" if self.cache is None else self.cache, self.readers,
        )  # fmt: skip
        asked = [Asked(weights, prompts, self.device) for weights in self.weights for prompts in self.prompts]
        zero_shot(asked, request, self.output)
        _log.info("%s\n%s", self.output / PAGE, (self.output / PAGE).read_text(encoding="utf-8"))
