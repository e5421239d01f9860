"""The command `simcrop-eval`: what weights can do, on phantoms of either style and on real scans."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import tyro

from simcrop_core.cli.console import exit_code
from simcrop_core.errors import NotAChest
from simcrop_core.inference.engine import Engine
from simcrop_core.models.unetr import UNETR
from simcrop_core.phantom.draw import draw_phantom
from simcrop_core.phantom.truth import Style
from simcrop_core.results import DeviceName
from simcrop_training.evaluate.cases import Case, examined
from simcrop_training.evaluate.grounding import GroundingRow, findings_auroc, grounding_rows, silence
from simcrop_training.evaluate.grounding_benchmark.command import Audit, Ground
from simcrop_training.evaluate.probing.command import Probe, Throughput, Transfer
from simcrop_training.evaluate.real_scans import covid, lidc, normal
from simcrop_training.evaluate.real_segmentation import labelled_scans
from simcrop_training.evaluate.segmenting.command import Finetune, Segment
from simcrop_training.evaluate.suite.command import Suite
from simcrop_training.evaluate.written import fields_table, head, line, short, write_json, write_text
from simcrop_training.evaluate.zero_shot.command import ZeroShot
from simcrop_training.methods import METHODS
from simcrop_training.objectives.plain_unet import PlainUnet, load_unet, on

_log = logging.getLogger("simcrop_training")


@dataclass
class Phantoms:
    """Ask weights every sentence about phantoms that no training drew, and print the tables (synthetic data)."""

    output: Path
    """Where the figures go, as JSON; the Markdown tables beside it."""
    style: Style = "b"
    """The generator; training draws with a."""
    count: Annotated[int, tyro.conf.arg(aliases=("-n",))] = 200
    """How many phantoms."""
    first_seed: int = 200_000
    """The first of them; training uses seeds below 100000 and measures on those from there."""
    weights: str = "starter"
    """Name, folder or file."""
    device: DeviceName = "auto"
    """Where the model runs."""

    def run(self) -> None:
        """Draw, ask, measure, write."""
        skipped: list[int] = []
        cases = list(self._cases(skipped))
        figures = {
            "data": f"{len(cases)} synthetic scans of style {self.style}, seeds from {self.first_seed}",
            "refused": skipped,
            "weights": self.weights,
            "grounding": [dataclasses.asdict(row) for row in grounding_rows(cases)],
            "not_located": silence(cases),
            "findings_auroc": findings_auroc(cases),
        }
        write_json(self.output, figures)
        write_text(self.output.with_suffix(".md"), _tables(figures))
        _log.info("%s\n%s", self.output, _tables(figures))

    def _cases(self, skipped: list[int]) -> Iterator[Case]:
        engine = Engine(self.weights, self.device)
        for done, seed in enumerate(range(self.first_seed, self.first_seed + self.count)):
            try:
                yield examined(draw_phantom(seed, style=self.style), engine)
            except NotAChest:
                skipped.append(seed)
            if done % 10 == 9:
                _log.info("%d of %d", done + 1, self.count)


@dataclass
class Real:
    """Ask weights about the real scans that no training saw, label these, and print answers and overlaps."""

    scans: Annotated[Path, tyro.conf.Positional]
    """The folder that holds LIDC-IDRI-0001, COVID-CT-MD_P002 and COVID-CT-MD_normal001; CIP_ct-64, Lung_Dx-A0002 and
    TotalSegmentator_abdomen are labelled too where they are there."""
    output: Path
    """Where the answers go, as JSON."""
    weights: str = "starter"
    """Name, folder or file."""
    unet: Path | None = None
    """A UNet to label them beside (unet.safetensors of simcrop-train run starter-segmentation-unet)."""
    device: DeviceName = "auto"
    """Where the model runs."""

    def run(self) -> None:
        """Ask, label and write."""
        engine = Engine(self.weights, self.device)
        networks: dict[str, UNETR | PlainUnet] = {"weights": engine.segmentation_model}
        if self.unet is not None:
            networks["unet"] = on(load_unet(self.unet), engine.device)
        labelled = labelled_scans(self.scans, networks)
        answers = lidc(self.scans / "LIDC-IDRI-0001", engine)
        answers += covid(self.scans / "COVID-CT-MD_P002", engine)
        figures = {
            "weights": self.weights,
            "trained_on": engine.segmentation_info().trained_on,
            "answers": [dataclasses.asdict(answer) for answer in answers],
            "labelled": [dataclasses.asdict(row) for row in labelled],
            "normal001": normal(self.scans / "COVID-CT-MD_normal001", engine),
        }
        write_json(self.output, figures)
        _log.info("%s%s%s", fields_table(answers), fields_table(labelled), json.dumps(figures["normal001"]))


@dataclass
class SubPatch:
    """Peaks of one encoding beside those of eight, half a patch apart: what a map of 28 x 28 x 28 gains and costs."""

    output: Path
    """Where the table goes, as JSON."""
    style: Style = "b"
    """Of the phantoms (synthetic data)."""
    count: Annotated[int, tyro.conf.arg(aliases=("-n",))] = 40
    """How many of them."""
    first_seed: int = 300_000
    """The first."""
    scans: Path | None = None
    """The folder that holds LIDC-IDRI-0001, to ask that too."""
    weights: str = "starter"
    """Name, folder or file."""
    device: DeviceName = "auto"
    """Where the model runs."""

    def run(self) -> None:
        """Ask and write."""
        from simcrop_training.evaluate.sub_patch import on_lidc, on_phantoms

        engine = Engine(self.weights, self.device)
        rows = on_phantoms(engine, self.style, range(self.first_seed, self.first_seed + self.count))
        if self.scans is not None:
            rows += on_lidc(engine, self.scans / "LIDC-IDRI-0001")
        write_json(self.output, {"weights": self.weights, "rows": [dataclasses.asdict(row) for row in rows]})
        _log.info("%s", fields_table(rows))


@dataclass
class Domain:
    """How well a linear probe tells real lungs from drawn ones, by the network's features and by what is in a patch."""

    scans: Annotated[Path, tyro.conf.Positional]
    """The folder that holds LIDC-IDRI-0001, COVID-CT-MD_P002 and COVID-CT-MD_normal001."""
    output: Path
    """Where the table goes, as JSON."""
    count: Annotated[int, tyro.conf.arg(aliases=("-n",))] = 20
    """How many phantoms of each style."""
    first_seed: int = 300_000
    """The first."""
    weights: str = "starter"
    """Name, folder or file."""
    device: DeviceName = "auto"
    """Where the model runs."""

    def run(self) -> None:
        """Draw, encode, probe and write."""
        # Only this command and two others need scikit-learn.
        from simcrop_training.evaluate.domain import probe

        seeds = range(self.first_seed, self.first_seed + self.count)
        rows = probe(Engine(self.weights, self.device), self.scans, seeds)
        write_json(self.output, {"weights": self.weights, "rows": [dataclasses.asdict(row) for row in rows]})
        _log.info("%s", fields_table(rows))


@dataclass
class Methods:
    """Train every method at equal budget on phantoms and print one table (synthetic data).

    Minutes a method and seed on two cores. The same command goes on where a killed one stopped; another budget, recipe
    or training folder needs another --output.
    """

    training: Annotated[Path, tyro.conf.Positional]
    """Folder of stored phantoms to train on (simcrop-train phantoms)."""
    held_out: Path
    """Folder of phantoms of the same style that training never sees."""
    style_b: Path
    """Folder of phantoms of the other style."""
    output: Path
    """One folder a run, figures.json and table.md."""
    methods: tuple[str, ...] = ()
    """Which; without, all that learn from scans with reports."""
    recipe: Path = Path("compare")
    """What all methods share: name or file."""
    recipes: tuple[Path, ...] = ()
    """More rows: recipes of their own, such as an ablation's."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Of each method."""
    steps: int | None = None
    """Instead of the recipe's."""
    threads: int = 2
    """CPU threads of a run."""
    at_once: int = 1
    """Runs side by side: with 1 thread each, as many as there are cores end sooner than one after another."""

    def run(self) -> None:
        """Train, measure, write."""
        # Only this command needs scikit-learn.
        from simcrop_training.evaluate.methods import Budget, Contender, compare
        from simcrop_training.evaluate.table import table

        names = self.methods or tuple(name for name, method in METHODS.items() if method.objective is not None)
        rows = [Contender(name, self.recipe, name) for name in names]
        rows += [Contender(path.stem, path) for path in self.recipes]
        tests = {"style a": self.held_out, "style b": self.style_b}
        budget = Budget(self.training, tests, self.seeds, self.steps, self.threads, self.at_once)
        _log.info("%s", table(compare(rows, budget, self.output)))


@dataclass
class Ablation:
    """The paper's ablations on phantoms at a small size: its parts (Table 3), or a setting swept (Figure 3).

    Minutes a variant and seed on two cores; synthetic data. The same command goes on where a killed one stopped.
    """

    training: Annotated[Path, tyro.conf.Positional]
    """Folder of stored phantoms to train on (simcrop-train phantoms)."""
    held_out: Path
    """Folder of phantoms of the same style that training never sees."""
    style_b: Path
    """Folder of phantoms of the other style."""
    output: Path
    """One folder a run, the recipes as they were run, ablation.md and the picture of a sweep."""
    what: Literal["parts", "top_k", "text_mask"] = "parts"
    """Which."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Of each variant."""
    steps: int | None = None
    """Instead of the recipe's."""
    threads: int = 2
    """CPU threads of a run."""

    def run(self) -> None:
        """Train, measure, write."""
        from simcrop_training.evaluate.ablation import ablate
        from simcrop_training.evaluate.methods import Budget

        tests = {"style a": self.held_out, "style b": self.style_b}
        budget = Budget(self.training, tests, self.seeds, self.steps, self.threads)
        _log.info("%s", ablate(self.what, budget, self.output))


@dataclass
class Table:
    """Results of other commands side by side, with what papers print, as Markdown and LaTeX."""

    results: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Their --output folders; runs of several seeds share a cell."""
    output: Path
    """Folder for table.md and table.tex."""

    def run(self) -> None:
        """Read and write."""
        from simcrop_training.evaluate.summary import write_tables

        _log.info("%s", write_tables(self.results, self.output))


def _tables(figures: dict[str, Any]) -> str:
    names = [field.name for field in dataclasses.fields(GroundingRow)]
    lines = [f"{figures['data']}, weights {figures['weights']}.", "", *head(names)]
    lines += [line([short(row[name]) for name in names]) for row in figures["grounding"]]
    lines += ["", *head(["pointing nowhere", "called not located"])]
    lines += [line([name, short(rate)]) for name, rate in figures["not_located"].items()]
    lines += ["", *head(["label", "AUROC"])]
    lines += [line([label, short(value)]) for label, value in figures["findings_auroc"].items()]
    return "\n".join(lines) + "\n"


class Command(Protocol):
    """What every command of this program is, once its arguments are read."""

    def run(self) -> None:
        """Do it."""


COMMANDS: dict[str, Callable[..., Command]] = {
    "probe": Probe,
    "transfer": Transfer,
    "throughput": Throughput,
    "finetune": Finetune,
    "segment": Segment,
    "zero-shot": ZeroShot,
    "ground": Ground,
    "audit": Audit,
    "ablation": Ablation,
    "methods": Methods,
    "phantoms": Phantoms,
    "real": Real,
    "sub-patch": SubPatch,
    "domain": Domain,
    "table": Table,
    "suite": Suite,
}


def main() -> None:
    """The entry point. Exit code 0: done; 1: the input or the environment is at fault; 2: usage."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    command: Command = tyro.extras.subcommand_cli_from_dict(COMMANDS)

    def run() -> int:
        command.run()
        return 0

    sys.exit(exit_code(run, stopped="The same command goes on."))


if __name__ == "__main__":
    main()
