"""Every method at equal budget on phantoms: what it learned, and what a step costs. Synthetic data throughout.

Each method and seed is one ordinary run of `simcrop-train run`, in a process of its own, and is measured from the
weights that it exported. What is done stays, as long as it is the same that is asked for (`evaluate.identity`): the
same call goes on where it was stopped.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from simcrop_core.errors import SimCroPError
from simcrop_core.export.atomic import replacing
from simcrop_core.text.ct_rate import CT_RATE_LABELS
from simcrop_training.build import embed
from simcrop_training.data.frames import frames_of
from simcrop_training.data.sample import sample_paths, texts_of
from simcrop_training.engine.errors import UnusableRecipe
from simcrop_training.evaluate.identity import require_run, run_identity, samples_identity, weights_identity
from simcrop_training.evaluate.labelled import Labelled, load_labelled
from simcrop_training.evaluate.probe import auroc_by_label, probe_scores
from simcrop_training.evaluate.retrieval import recall
from simcrop_training.evaluate.table import by_label, table
from simcrop_training.evaluate.trained import Trained, load_trained
from simcrop_training.evaluate.zero_shot.ask import Asker
from simcrop_training.evaluate.zero_shot.prompts import prompts_of
from simcrop_training.methods import METHODS
from simcrop_training.objectives.fvlm import Fvlm
from simcrop_training.objectives.fvlm_zero_shot import OrganZeroShot
from simcrop_training.objectives.regions import measured_regions
from simcrop_training.recipe import Recipe, overridden, read_recipe

_AT_ONCE = 16
FIGURES = "figures.json"
Scores = NDArray[np.float64]


class RunFailed(SimCroPError):
    """A training run ended with an error."""

    code = "run-failed"


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the table.

    Attributes:
        name: in the table.
        recipe: name or file.
        objective: instead of the recipe's, or None.
    """

    name: str
    recipe: Path
    objective: str | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """What all contenders have alike.

    Attributes:
        training: folder of stored samples to train on, and to fit the probe on.
        tests: folders to measure on, by name.
        seeds: of the runs of each contender.
        steps: instead of the recipe's, or None.
        threads: of each run.
        at_once: runs side by side; their step times are then those of a machine so shared.
    """

    training: Path
    tests: Mapping[str, Path]
    seeds: Sequence[int]
    steps: int | None = None
    threads: int = 2
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class _Run:
    """One contender with one seed, and its folder."""

    contender: Contender
    seed: int
    recipe: Recipe
    folder: Path


def compare(contenders: Sequence[Contender], budget: Budget, output: Path) -> dict[str, list[dict[str, float]]]:
    """Train and measure every contender with every seed.

    Args:
        contenders: the rows.
        budget: the same for all.
        output: one folder a run, the figures and the table.

    Returns:
        Figures of each seed, by contender; a name says where the method is a reconstruction.

    Raises:
        RunFailed: a run ended with an error; those before it are kept.
        AnotherRun: a folder there holds a run of another recipe, seed, budget or training data.
    """
    measured: dict[str, list[dict[str, float]]] = {}
    runs = [_run(contender, seed, budget, output) for contender in contenders for seed in budget.seeds]
    tests = {name: samples_identity(where) for name, where in budget.tests.items()}
    with ThreadPoolExecutor(budget.at_once) as pool:
        for run, _ in zip(runs, pool.map(lambda run: _trained(run, budget), runs), strict=True):
            figures = _figures_of_run(run, budget, tests)
            measured.setdefault(row_name(run.contender, run.recipe), []).append(figures)
            _write(output / FIGURES, measured)
            (output / "table.md").write_text(table(measured), encoding="utf-8")
    return measured


def _run(contender: Contender, seed: int, budget: Budget, output: Path) -> _Run:
    """The recipe as the run will resolve it."""
    try:
        recipe = read_recipe(contender.recipe, steps=budget.steps, objective=contender.objective)
        recipe = overridden(recipe, {"seed": seed})
    except UnusableRecipe as fault:
        raise RunFailed(
            f"{contender.name} cannot be trained: {fault.message} ({fault.code})", hint=fault.hint
        ) from fault
    return _Run(contender, seed, recipe, output / contender.name / f"seed-{seed}")


def _trained(run: _Run, budget: Budget) -> None:
    """Train what is not there yet."""
    require_run(run.folder, run_identity(run.recipe, budget.training, _held_out(budget)))
    if not (run.folder / "provenance.json").is_file() or not weights_identity(run.folder):
        _train(run, budget)


def _figures_of_run(run: _Run, budget: Budget, tests: Mapping[str, object]) -> dict[str, float]:
    """Those that are there if they are of these weights and scans; else they are measured."""
    identity = {
        "weights": weights_identity(run.folder),
        "training": samples_identity(budget.training),
        "tests": tests,
    }
    path = run.folder / FIGURES
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if kept.get("of") != identity:
        kept = {"of": identity, "figures": figures_of(run.folder, budget)}
        _write(path, kept)
    figures: dict[str, float] = kept["figures"]
    return figures


def figures_of(folder: Path, budget: Budget) -> dict[str, float]:
    """What a run in this folder learned and what it cost; a figure that the method cannot have is left out.

    Of areas under the curve, those of the labels beside their mean (`evaluate.table.by_label`).
    """
    trained = load_trained(folder)
    shape = trained.vision.config.image
    train = _labelled(budget.training, shape)
    features_BC = _features(trained, train)
    figures = _cost(folder)
    for name, where in budget.tests.items():
        test = _labelled(where, shape)
        scores_BL = probe_scores(features_BC, train.present_BL, _features(trained, test))
        figures |= by_label(f"probe/{name}", _areas(scores_BL, test))
        if trained.zero_shot:
            figures |= by_label(f"zero_shot/{name}", _areas(zero_shot_scores(trained, test), test))
        if trained.retrieves:
            figures |= {f"{key}/{name}": value for key, value in retrieval(trained, test).items()}
        figures |= {
            f"{key}/{name}": value
            for key, value in _grounding(trained, sample_paths([where]), _sentences(folder)).items()
        }
    return figures


def _labelled(folder: Path, shape: tuple[int, int, int]) -> Labelled:
    """The scans of a folder, read once for all runs for as long as the folder holds the same."""
    return _read(folder, shape, str(samples_identity(folder)["sha256"]))


@lru_cache(maxsize=8)
def _read(folder: Path, shape: tuple[int, int, int], _sha256: str) -> Labelled:
    return load_labelled(sample_paths([folder]), shape)


def zero_shot_scores(trained: Trained, test: Labelled) -> Scores:
    """(B, 18) probability of each finding against its denial; NaN where the method cannot say.

    With CT-CLIP's prompts, "… is present." and "… is not present."; `fvlm` asks organs, with its own.
    """
    if isinstance(trained.objective, Fvlm):
        asked = OrganZeroShot(trained.objective)
        answers = [
            asked.scores(image.numpy(), organs) for image, organs in zip(test.images_BHWD, test.organs, strict=True)
        ]
        return np.array([[answer.get(label, np.nan) for label in CT_RATE_LABELS] for answer in answers])
    asker = Asker(trained, prompts_of("ctclip"))
    return np.concatenate([asker.probabilities(frames) for frames in _frames(trained, test)])


def retrieval(trained: Trained, test: Labelled) -> dict[str, float]:
    """Recall among the five nearest: reports looking for their scans, and scans for their reports."""
    reports_SC = trained.words(test.reports)
    found = [trained.similarities(frames, reports_SC) for frames in _frames(trained, test)]
    scans_by_reports = torch.cat(found).double().numpy()
    return {"report_to_scan": recall(scans_by_reports.T), "scan_to_report": recall(scans_by_reports)}


def _areas(scores_BL: Scores, test: Labelled) -> dict[str, float]:
    """The area under the curve of each label that has one."""
    areas_L = auroc_by_label(scores_BL, test.present_BL)
    return {label: float(area) for label, area in zip(CT_RATE_LABELS, areas_L, strict=True) if np.isfinite(area)}


def row_name(contender: Contender, recipe: Recipe) -> str:
    """What a table calls a contender; it says where the method is a reconstruction."""
    return f"{contender.name} (reconstruction)" if METHODS[recipe.objective].reconstruction else contender.name


def _held_out(budget: Budget) -> Path:
    return next(iter(budget.tests.values()))


def _train(run: _Run, budget: Budget) -> None:
    contender = run.contender
    command = [
        sys.executable, "-m", "simcrop_training.cli", "run", str(contender.recipe), "--seed", str(run.seed),
        "--synthetic", str(budget.training), "--held-out", str(_held_out(budget)),
        "--output", str(run.folder), "--threads", str(budget.threads),
        "--sentences", str(_sentences(run.folder)),
    ]  # fmt: skip
    if contender.objective is not None:
        command += ["--objective", contender.objective]
    if budget.steps is not None:
        command += ["--steps", str(budget.steps)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RunFailed(
            f"Training {contender.name} with seed {run.seed} ended with {ended.returncode}: {ended.stderr[-2000:]}",
            hint="The same command goes on with this run once its cause is mended.",
        )


def _sentences(folder: Path) -> Path:
    """The file of embeddings that all runs of an output share: the frozen text tower tells them the same."""
    return folder.parents[1] / "sentences.pt"


def _cost(folder: Path) -> dict[str, float]:
    """Median seconds a step and the most memory, from the run's own log; nothing of a run without steps."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    speeds = [line for line in lines if "speed" in line]
    took = [
        (later["speed"]["seconds"] - earlier["speed"]["seconds"]) / (later["step"] - earlier["step"])
        for earlier, later in itertools.pairwise(speeds)
        if later["step"] > earlier["step"]
    ]
    cost = {"step_s": median(took)} if took else {}
    return cost | ({"memory_gb": max(line["speed"]["memory_gb"] for line in speeds)} if speeds else {})


def _grounding(trained: Trained, paths: Sequence[Path], sentences: Path) -> dict[str, float]:
    if trained.grounding is None:
        return {}
    texts = sorted({text for path in paths for text in texts_of(path)})
    rows = {text: row.numpy() for text, row in embed(texts, trained.grounding.config.text, sentences).items()}
    found = measured_regions(trained.grounding, trained.frame, paths, rows)
    return {"hit": found["hit"], "auc_absent": found["auc/absent"]}


def _frames(trained: Trained, labelled: Labelled) -> list[torch.Tensor]:
    window, shape = trained.frame.hu_window, trained.vision.config.image
    return [frames_of(images, window, shape) for images in labelled.images_BHWD.split(_AT_ONCE)]


def _features(trained: Trained, labelled: Labelled) -> Scores:
    return torch.cat([trained.features(frames) for frames in _frames(trained, labelled)]).double().numpy()


def _write(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
