"""Several methods and prompt sets asked about one set of test scans, and the files that say what came out."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
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
from simcrop_training.evaluate.origin import Origin, origin_of, run_names
from simcrop_training.evaluate.paired import Answered, Pair, every_pair, pairs_table
from simcrop_training.evaluate.probing.outcome import left_out
from simcrop_training.evaluate.probing.presets import CalcificationRule
from simcrop_training.evaluate.probing.scored import Predictions, listed, on_common_scans, truth_of
from simcrop_training.evaluate.probing.tasks import TaskData
from simcrop_training.evaluate.probing.transfer import transferred
from simcrop_training.evaluate.statistics import Labels, corner, label_rows
from simcrop_training.evaluate.summary import ENTRIES, Entry, as_json, summarised
from simcrop_training.evaluate.written import (
    LABELS,
    PAGE,
    RESULTS,
    fields_table,
    head,
    line,
    short,
    write_json,
    write_labels,
    write_text,
)
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
    """One row's figures: with thresholds chosen on the test scans, and with those of other scans, if asked for.

    `answers` are what they are made of, scan by scan.
    """

    model: str
    prompts: PromptSetName
    published_way: Labels
    honest: Labels | None
    tested: int
    skipped: tuple[LeftOut, ...]
    remark: str
    manifest: dict[str, object]
    origin: Origin
    answers: Predictions


def zero_shot(asked: Sequence[Asked], request: Request, output: Path) -> list[Outcome]:
    """Ask, measure and write `results.json` and the page after every row, the pictures in the end.

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
    if len(outcomes) > 1:
        _write(outcomes, request, output, _paired(outcomes, request))
    _draw(outcomes, request, output)
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
    origin = origin_of(row.weights)
    config = {"benchmark": "zero-shot", "prompts": asker.prompts, **_settings(request)}
    return Outcome(
        origin.model, asker.prompts, label_rows(labels, found_BL, truth_BL, patients), honest, len(answers.scans),
        answers.skipped, remark, manifest_of(row.weights, {"test": listed(request.data.of("test"))}, config), origin,
        Predictions(tuple(scan.name for scan in answers.scans), tuple(patients), found_BL.astype(np.float64), truth_BL),
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
    macro, origin = outcome.published_way.macro, outcome.origin
    words = f"{outcome.tested} {'synthetic ' if request.where.synthetic else ''}{request.where.task} scans"
    name = f"{outcome.model}, prompts {outcome.prompts}"
    return Entry(
        "zero_shot", request.where.task, name, request.unit, "AUROC", macro.mean, macro.lo, macro.hi, words,
        origin.recipe, origin.training, f"weights {origin.seed}",
    )  # fmt: skip


def _called(outcomes: Sequence[Outcome]) -> list[str]:
    """What each row's weights are called."""
    return run_names([outcome.origin for outcome in outcomes])


def _paired(outcomes: Sequence[Outcome], request: Request) -> list[Pair]:
    called = [f"{name}, {outcome.prompts}" for name, outcome in zip(_called(outcomes), outcomes, strict=True)]
    answered = [Answered(name, outcome.answers) for name, outcome in zip(called, outcomes, strict=True)]
    return every_pair(answered, len(request.data.labels))


def _write(outcomes: Sequence[Outcome], request: Request, output: Path, pairs: Sequence[Pair] = ()) -> None:
    entries = [_entry(outcome, request) for outcome in outcomes]
    document = {
        "title": _title(request),
        "remarks": list(request.data.remarks),
        "outcomes": [_told(outcome) for outcome in outcomes],
        "pairs": list(pairs),
        ENTRIES: as_json(entries),
    }
    write_json(output / RESULTS, document)
    write_text(output / PAGE, _page(outcomes, request, entries, pairs))
    whose = [{"model": name, "prompts": its.prompts} for name, its in zip(_called(outcomes), outcomes, strict=True)]
    write_labels(output / LABELS, [(who, o.published_way.rows) for who, o in zip(whose, outcomes, strict=True)])


def _draw(outcomes: Sequence[Outcome], request: Request, output: Path) -> None:
    """Areas by label, a bar a row, and ROC curves, a line a row."""
    called = [f"{name}, {outcome.prompts}" for name, outcome in zip(_called(outcomes), outcomes, strict=True)]
    rows = {name: outcome.published_way.rows for name, outcome in zip(called, outcomes, strict=True)}
    plots.save(plots.label_bars(rows, title=_title(request)), output / "labels.png")
    answers = {name: outcome.answers for name, outcome in zip(called, outcomes, strict=True)}
    scores, truth_BL = on_common_scans(answers, len(request.data.labels))
    plots.save(plots.roc_curves(scores, truth_BL, request.data.labels, title=_title(request)), output / "roc.png")


def _told(outcome: Outcome) -> dict[str, object]:
    """What results.json says of a row; its answers are in the cache."""
    return {part.name: getattr(outcome, part.name) for part in fields(outcome) if part.name != "answers"}


def _title(request: Request) -> str:
    return f"Zero-shot, {request.where.task}" + (", synthetic data" if request.where.synthetic else "")


def _page(outcomes: Sequence[Outcome], request: Request, entries: Sequence[Entry], pairs: Sequence[Pair]) -> str:
    lines = [
        f"# {_title(request)}", "",
        f"{outcomes[0].tested} test scans of {request.data.name}, by {request.unit}. A finding's probability is a "
        "softmax over its prompt and its denial; no label trained anything.", "",
        *head(_HEAD),
    ]  # fmt: skip
    for name, outcome in zip(_called(outcomes), outcomes, strict=True):
        ways = [("the test scans (published way, flatters)", outcome.published_way)]
        ways += [(f"{request.thresholds_from} training scans", outcome.honest)] if outcome.honest else []
        for words, labels in ways:
            lines.append(_row(name, outcome.prompts, words, labels))
    lines += ["", "In brackets 95 % intervals by patients.", ""]
    lines += ["Models in pairs:", "", *pairs_table(pairs, "AUROC")] if pairs else []
    lines += ["![Areas by label](labels.png)", "", "![ROC curves](roc.png)", ""]
    lines += [
        f"- {remark}" for remark in dict.fromkeys([*request.data.remarks, *(o.remark for o in outcomes)]) if remark
    ]
    skipped = {note.name: note for outcome in outcomes for note in outcome.skipped}
    lines += [f"- Left out by the tables: {left_out(request.data.left_out)}."]
    lines += [f"- Could not be read: {left_out(list(skipped.values()))}.", ""]
    for name, outcome in zip(_called(outcomes), outcomes, strict=True):
        lines += [f"## {name}, {outcome.prompts}", "", fields_table(outcome.published_way.rows), ""]
    lines += ["# Beside what papers print", "", *(table.markdown() for table in summarised(entries))]
    return "\n".join(lines) + "\n"


def _row(name: str, prompts: str, thresholds: str, labels: Labels) -> str:
    macro = labels.macro
    means = [_mean([getattr(row, name) for row in labels.rows]) for name in _FIGURES]
    area = f"{macro.mean:.3f} ({macro.lo:.3f}–{macro.hi:.3f})"
    cells = [name, prompts, thresholds, f"{labels.counted} of {len(labels.rows)}", area]
    return line([*cells, *means])


def _mean(values: Sequence[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    return short(float(np.mean(known)) if known else math.nan)
