"""Several methods and prompt sets asked about one set of test scans, and the files that say what came out."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simcrop_core.results import DeviceName
from simcrop_core.text.ct_rate import CT_RATE_LABELS
from simcrop_training.datasets.labelled import UNKNOWN, LabelledScan, LabelledSet
from simcrop_training.datasets.study import LeftOut
from simcrop_training.evaluate import plots
from simcrop_training.evaluate.manifest import manifest_of
from simcrop_training.evaluate.probing.encoded import model_name
from simcrop_training.evaluate.probing.outcome import left_out
from simcrop_training.evaluate.probing.presets import CalcificationRule
from simcrop_training.evaluate.probing.scored import listed, truth_of
from simcrop_training.evaluate.probing.tasks import TaskData
from simcrop_training.evaluate.probing.transfer import transferred
from simcrop_training.evaluate.statistics import Labels, corner, label_rows
from simcrop_training.evaluate.summary import ENTRIES, Entry, as_json, summarised
from simcrop_training.evaluate.written import PAGE, RESULTS, fields_table, head, line, short, write_json, write_text
from simcrop_training.evaluate.zero_shot.prompts import PromptSetName
from simcrop_training.evaluate.zero_shot.scans import Answers, ScanAsker, ask_scans

_log = logging.getLogger("simcrop_training")
_SEED = 0
_FIGURES = ("f1", "acc", "prec", "sens", "spec")
_HEAD = (
    "weights", "prompts", "thresholds from", "labels", "AUROC",
    "F1", "accuracy", "precision", "sensitivity", "specificity",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """One row of the table: weights and the prompts they are asked with."""

    weights: str
    prompts: PromptSetName
    device: DeviceName


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked about.

    Attributes:
        where: the set is.
        data: its tables.
        unit: what has a score: a volume, or a study's mean over its reconstructions.
        thresholds_from: training scans that choose thresholds; 0 for none.
        calcification: how two of CT-RATE's labels become one of RAD-ChestCT's.
        cache: folder of answers.
        readers: threads.
    """

    where: TaskData
    data: LabelledSet
    unit: Literal["volume", "study"]
    thresholds_from: int
    calcification: CalcificationRule
    cache: Path
    readers: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row's figures: with thresholds chosen on the test scans, and with those of other scans, if asked for."""

    model: str
    prompts: PromptSetName
    published_way: Labels
    honest: Labels | None
    tested: int
    skipped: tuple[LeftOut, ...]
    remark: str
    manifest: dict[str, object]


def zero_shot(asked: Sequence[Asked], request: Request, output: Path) -> list[Outcome]:
    """Ask, measure and write `results.json`, the page and the picture after every row.

    Raises:
        UnreadableFile: files are missing; the first ten are named, and nothing was asked.
        TaskNotSupported: weights that know no words.
        CannotWrite: the output is not writable.
    """
    outcomes: list[Outcome] = []
    done: set[tuple[str, str]] = set()
    for row in asked:
        asker = ScanAsker(row.weights, row.prompts, row.device)
        if (row.weights, asker.prompts) in done:
            continue
        done.add((row.weights, asker.prompts))
        outcomes.append(_outcome(row, asker, request))
        _write(outcomes, request, output)
        macro = outcomes[-1].published_way.macro
        _log.info("%s, %s: AUROC %.4f", outcomes[-1].model, asker.prompts, macro.mean)
    return outcomes


def by_study(answers: Answers) -> Answers:
    """The mean over the reconstructions of a study, which stands for its first one.

    CT-RATE's names end in the number of the reconstruction.
    """
    rows: dict[str, list[int]] = {}
    for index, scan in enumerate(answers.scans):
        rows.setdefault(scan.name.rpartition("_")[0], []).append(index)
    means_BL = np.stack([answers.probabilities_BL[its].mean(axis=0) for its in rows.values()])
    return Answers(tuple(answers.scans[its[0]] for its in rows.values()), means_BL, answers.skipped)


def _outcome(row: Asked, asker: ScanAsker, request: Request) -> Outcome:
    answers = _answers(asker, request.data.of("test"), request)
    truth_BL = truth_of(answers.scans)
    found_BL, remark = _translated(answers.probabilities_BL, truth_BL, request)
    patients = [scan.patient for scan in answers.scans]
    labels = request.data.labels
    thresholds = _thresholds(asker, request)
    honest = label_rows(labels, found_BL, truth_BL, patients, thresholds=thresholds) if thresholds else None
    model = model_name(row.weights, released=False)
    config = {"benchmark": "zero-shot", "prompts": asker.prompts, **_settings(request)}
    return Outcome(
        model, asker.prompts, label_rows(labels, found_BL, truth_BL, patients), honest, len(answers.scans),
        answers.skipped, remark, manifest_of(row.weights, {"test": listed(request.data.of("test"))}, config),
    )  # fmt: skip


def _answers(asker: ScanAsker, scans: Sequence[LabelledScan], request: Request) -> Answers:
    answers = ask_scans(asker, scans, request.cache, readers=request.readers)
    return by_study(answers) if request.unit == "study" and answers.scans else answers


def _thresholds(asker: ScanAsker, request: Request) -> list[float] | None:
    """Of each label, from training scans; 0.5 where they have one class alone."""
    train = request.data.of("train")
    if not request.thresholds_from or not train:
        return None
    chosen = np.random.default_rng(_SEED).permutation(len(train))[: request.thresholds_from]
    answers = _answers(asker, [train[index] for index in sorted(chosen)], request)
    truth_BL = truth_of(answers.scans)
    found_BL, _ = _translated(answers.probabilities_BL, truth_BL, request)
    thresholds = []
    for scores_B, truth_B in zip(found_BL.T, truth_BL.T, strict=True):
        known_B = (truth_B != UNKNOWN) & np.isfinite(scores_B)
        threshold = corner(scores_B[known_B], truth_B[known_B] == 1)
        thresholds.append(0.5 if math.isnan(threshold) else threshold)
    return thresholds


def _translated(
    found_BL: NDArray[np.float64], truth_BL: NDArray[np.int64], request: Request
) -> tuple[NDArray[np.floating], str]:
    if request.where.task == "ct-rate":
        return found_BL, ""
    translated_BL, words = transferred(found_BL, CT_RATE_LABELS, request.data.labels, truth_BL, request.calcification)
    return translated_BL, f"Calcification is {words}."


def _settings(request: Request) -> dict[str, object]:
    return {
        "task": request.where.task,
        "unit": request.unit,
        "thresholds_from": request.thresholds_from,
        "label_map": request.where.label_map,
        "calcification": request.calcification,
    }


def _entry(outcome: Outcome, request: Request) -> Entry:
    macro = outcome.published_way.macro
    words = f"{outcome.tested} {'synthetic ' if request.where.synthetic else ''}{request.where.task} scans"
    name = f"{outcome.model}, prompts {outcome.prompts}"
    return Entry("zero_shot", request.where.task, name, request.unit, "AUROC", macro.mean, macro.lo, macro.hi, words)


def _write(outcomes: Sequence[Outcome], request: Request, output: Path) -> None:
    entries = [_entry(outcome, request) for outcome in outcomes]
    document = {
        "title": _title(request),
        "remarks": list(request.data.remarks),
        "outcomes": list(outcomes),
        ENTRIES: as_json(entries),
    }
    write_json(output / RESULTS, document)
    write_text(output / PAGE, _page(outcomes, request, entries))
    rows = {f"{outcome.model}, {outcome.prompts}": outcome.published_way.rows for outcome in outcomes}
    plots.save(plots.label_bars(rows, title=_title(request)), output / "labels.png")


def _title(request: Request) -> str:
    return f"Zero-shot, {request.where.task}" + (", synthetic data" if request.where.synthetic else "")


def _page(outcomes: Sequence[Outcome], request: Request, entries: Sequence[Entry]) -> str:
    lines = [
        f"# {_title(request)}", "",
        f"{outcomes[0].tested} test scans of {request.data.name}, by {request.unit}. A finding's probability is a "
        "softmax over its prompt and its denial; no label trained anything.", "",
        *head(_HEAD),
    ]  # fmt: skip
    for outcome in outcomes:
        ways = [("the test scans (published way, flatters)", outcome.published_way)]
        ways += [(f"{request.thresholds_from} training scans", outcome.honest)] if outcome.honest else []
        for words, labels in ways:
            lines.append(_row(outcome, words, labels))
    lines += ["", "In brackets 95 % intervals by patients.", ""]
    lines += [
        f"- {remark}" for remark in dict.fromkeys([*request.data.remarks, *(o.remark for o in outcomes)]) if remark
    ]
    skipped = {note.name: note for outcome in outcomes for note in outcome.skipped}
    lines += [f"- Left out by the tables: {left_out(request.data.left_out)}."]
    lines += [f"- Could not be read: {left_out(list(skipped.values()))}.", ""]
    for outcome in outcomes:
        lines += [f"## {outcome.model}, {outcome.prompts}", "", fields_table(outcome.published_way.rows), ""]
    lines += ["# Beside what papers print", "", *(table.markdown() for table in summarised(entries))]
    return "\n".join(lines) + "\n"


def _row(outcome: Outcome, thresholds: str, labels: Labels) -> str:
    macro = labels.macro
    means = [_mean([getattr(row, name) for row in labels.rows]) for name in _FIGURES]
    area = f"{macro.mean:.3f} ({macro.lo:.3f}–{macro.hi:.3f})"
    cells = [outcome.model, outcome.prompts, thresholds, f"{labels.counted} of {len(labels.rows)}", area]
    return line([*cells, *means])


def _mean(values: Sequence[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    return short(float(np.mean(known)) if known else math.nan)
