"""Probes of several weights, presets and seeds on one set of test scans, and the files that say what came out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simcrop_training.datasets.labelled import LabelledScan, LabelledSet, require_files
from simcrop_training.evaluate import plots
from simcrop_training.evaluate.manifest import manifest_of
from simcrop_training.evaluate.origin import row_names, run_names
from simcrop_training.evaluate.paired import Answered, Pair, every_pair, pairs_table
from simcrop_training.evaluate.probing.encoded import suits_released
from simcrop_training.evaluate.probing.fitted import ProbeRun, fitted
from simcrop_training.evaluate.probing.outcome import Outcome, left_out, measured, side_by_side
from simcrop_training.evaluate.probing.presets import OfficialSettings
from simcrop_training.evaluate.probing.protocols import PROTOCOLS, settings_line
from simcrop_training.evaluate.probing.scored import (
    Predictions,
    listed,
    on_common_scans,
    predicted_once,
    require_protocol,
)
from simcrop_training.evaluate.statistics import ROUNDS
from simcrop_training.evaluate.summary import ENTRIES, as_json, summarised
from simcrop_training.evaluate.written import LABELS, PAGE, RESULTS, fields_table, write_json, write_labels, write_text

_log = logging.getLogger("simcrop_training")


@dataclass(frozen=True, slots=True)
class Target:
    """What probes are asked about.

    Attributes:
        title: of the page.
        column: of tables over several tasks.
        data: the set that is learned.
        tested: its test scans, or another set's.
        labels: that they are measured on.
        synthetic: whether the scans are phantoms.
        more: settings of the data, for the protocol.
        translated: from probabilities of the learned labels to those measured, with a remark; None where they are one.
        carried: from thresholds of the learned labels to those measured; None where they are one.
        remarks: what a reader has to know of the data.
    """

    title: str
    column: str
    data: LabelledSet
    tested: Sequence[LabelledScan]
    labels: tuple[str, ...]
    synthetic: bool
    more: Mapping[str, object]
    translated: Callable[[Predictions], tuple[Predictions, str]] | None = None
    carried: Callable[[Sequence[float]], tuple[float, ...]] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The data in a table's remark."""
        kind = "synthetic scans (phantoms)" if self.synthetic else "scans"
        return f"{self.title}: {len(self.data.of('train'))} training and {len(self.tested)} test {kind}"


@dataclass(slots=True)
class Results:
    """What came out, probe by probe.

    Attributes:
        outcomes: figures.
        manifests: what each was made from.
        remarks: of single probes.
        answers: to the test scans, of each.
        pairs: of models, by preset.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    manifests: list[dict[str, object]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    answers: list[Predictions] = field(default_factory=list)
    pairs: dict[str, list[Pair]] = field(default_factory=dict)


def probe_all(runs: Sequence[ProbeRun], target: Target, output: Path, cache: Path, *, rounds: int = ROUNDS) -> Results:
    """Fit and ask every probe, and write `results.json` and the page after each, the pictures in the end.

    Args:
        runs: probes.
        target: what they are asked about.
        output: a folder; probes that were asked before answer from what is kept there.
        cache: folder of features.
        rounds: of the bootstrap.

    Raises:
        UnreadableFile: files are missing; the first ten are named, and nothing was computed.
        AnotherRun: the output holds predictions of another protocol.
        SimCroPError: as `fitted` raises it.
    """
    require_files([*target.data.scans, *target.tested])
    results = Results()
    for run in _possible(runs, results):
        outcome = _asked(run, target, output, cache, rounds, results)
        results.outcomes.append(outcome)
        _write(results, runs, target, output)
        value = outcome.value
        _log.info("%s, %s, seed %d: %s %.4f", run.model, run.preset, run.seed, outcome.metric, value.mean)
    results.pairs = _paired(results, target, rounds)
    if any(results.pairs.values()):
        _write(results, runs, target, output)
    _draw(results, target, output)
    return results


def _possible(runs: Sequence[ProbeRun], results: Results) -> list[ProbeRun]:
    """Without released probes of encoders that they are not for, where those have a clean probe as well."""
    clean = {run.weights for run in runs if run.preset == "clean"}
    kept = []
    for run in runs:
        if run.preset == "official" and run.weights in clean and not suits_released(run.weights):
            results.remarks.append(f"{run.model} has an encoder of its own, which the official preset is not for.")
        else:
            kept.append(run)
    return kept


def _asked(run: ProbeRun, target: Target, output: Path, cache: Path, rounds: int, results: Results) -> Outcome:
    place, protocol = run.place(output), run.protocol(target.tested, dict(target.more))
    # Before anything is computed: another protocol than the folder's is refused at once.
    require_protocol(place, protocol)
    probe = fitted(run, place, cache)
    answers = predicted_once(place, protocol, lambda: probe.predict(target.tested))
    thresholds = probe.thresholds
    if target.translated is not None:
        answers, remark = target.translated(answers)
        results.remarks.append(f"{run.model}, {run.preset}, seed {run.seed}: calcification is {remark}.")
    if target.carried is not None:
        thresholds = target.carried(thresholds)
    metric, value, counted, rows = measured(
        answers, target.labels, classes=target.data.classes, thresholds=thresholds, rounds=rounds
    )
    results.manifests.append(manifest_of(run.weights, _data(target), protocol))
    results.answers.append(answers)
    skipped = {**probe.skipped, **{note.name: note for note in answers.skipped}}
    return Outcome(
        run.model, run.preset, run.seed, metric, value, counted, rows, len(answers.names), probe.notes,
        tuple(skipped.values()), run.origin,
    )  # fmt: skip


def _paired(results: Results, target: Target, rounds: int) -> dict[str, list[Pair]]:
    """Every two models of a preset, each by its first seed."""
    names = row_names(outcome.origin for outcome in results.outcomes)
    seen: dict[str, dict[tuple[str, str], Answered]] = {}
    for outcome, answers in zip(results.outcomes, results.answers, strict=True):
        seen.setdefault(outcome.preset, {}).setdefault(outcome.row, Answered(names[outcome.row], answers))
    return {
        preset: every_pair(list(its.values()), len(target.labels), classes=target.data.classes, rounds=rounds)
        for preset, its in seen.items()
    }


def _data(target: Target) -> dict[str, object]:
    splits = {split: listed(target.data.of(split)) for split in ("train", "valid")}
    return {"name": target.data.name, "synthetic": target.synthetic, **splits, "test": listed(target.tested)}


def _write(results: Results, runs: Sequence[ProbeRun], target: Target, output: Path) -> None:
    entries = [outcome.entry(target.column, target.words) for outcome in results.outcomes]
    remarks = [*target.data.remarks, *target.remarks, *dict.fromkeys(results.remarks)]
    document = {
        "title": target.title,
        "data": _data(target),
        "remarks": remarks,
        "left_out": list(target.data.left_out),
        "outcomes": [
            {**outcome.to_json(), "manifest": manifest}
            for outcome, manifest in zip(results.outcomes, results.manifests, strict=True)
        ],
        "pairs": results.pairs,
        ENTRIES: as_json(entries),
    }
    page = [f"# {target.title}", "", f"{target.words}.", "", side_by_side(results.outcomes)]
    page += ["In brackets 95 % intervals by patients; ± is over seeds of one recipe.", ""]
    metric = results.outcomes[0].metric
    for preset in dict.fromkeys(outcome.preset for outcome in results.outcomes):
        page += [f"![Areas by label, {preset}](labels-{preset}.png)", "", f"![ROC, {preset}](roc-{preset}.png)", ""]
    for preset, pairs in results.pairs.items():
        page += [f"Models in pairs, {preset}, seed {runs[0].seed}:", "", *pairs_table(pairs, metric)] if pairs else []
    page += _protocols(runs, target)
    page += ["## Data", "", f"- Left out by the tables: {left_out(target.data.left_out)}."]
    skipped = {note.name: note for outcome in results.outcomes for note in outcome.skipped}
    page += [f"- Could not be read: {left_out(list(skipped.values()))}.", *(f"- {remark}" for remark in remarks), ""]
    called = run_names([outcome.origin for outcome in results.outcomes])
    for name, outcome in zip(called, results.outcomes, strict=True):
        page += [f"## {name}, {outcome.preset}, seed {outcome.seed}", "", _notes(outcome), ""]
        page.append(fields_table(outcome.rows))
    page += ["# Beside what papers print", "", *(table.markdown() for table in summarised(entries))]
    write_json(output / RESULTS, document)
    whose = [
        {"model": name, "preset": outcome.preset, "seed": outcome.seed}
        for name, outcome in zip(called, results.outcomes, strict=True)
    ]
    write_labels(output / LABELS, [(who, its.rows) for who, its in zip(whose, results.outcomes, strict=True)])
    write_text(output / PAGE, "\n".join(page))


def _protocols(runs: Sequence[ProbeRun], target: Target) -> list[str]:
    lines = []
    for preset, run in {run.preset: run for run in runs}.items():
        lines += [f"**{preset}.** {PROTOCOLS[preset]} {settings_line(run.settings)}", ""]
    official = next((run for run in runs if isinstance(run.settings, OfficialSettings)), None)
    if official is not None and isinstance(official.settings, OfficialSettings):
        train, test = len(target.data.of("train")), len(target.tested)
        there, here = official.settings.encodings(train, len(official.valid), test), train + test
        lines += [
            f"The released script encodes up to {there} scans for one such probe; the clean preset {here}, "
            f"{there / here:.1f} times fewer, and none again for another seed.",
            "",
        ]
    return lines


def _notes(outcome: Outcome) -> str:
    said = []
    for name, value in outcome.notes.items():
        if isinstance(value, bool):
            said.append(f"{name.replace('_', ' ')}: {'yes' if value else 'no'}")
        elif not isinstance(value, dict):
            number = f"{value:.4g}" if isinstance(value, float) else "nothing to measure" if value is None else value
            said.append(f"{name.replace('_', ' ')} {number}")
    return f"{outcome.tested} test scans; {', '.join(said)}."


def _draw(results: Results, target: Target, output: Path) -> None:
    """Of every preset the first seed's areas by label, a bar a model, and its ROC curves, a line a model."""
    answered = list(zip(results.outcomes, results.answers, strict=True))
    names = row_names(outcome.origin for outcome in results.outcomes)
    for preset in dict.fromkeys(outcome.preset for outcome in results.outcomes):
        own = [outcome for outcome in reversed(results.outcomes) if outcome.preset == preset]
        rows = {names[outcome.row]: outcome.rows for outcome in own}
        title = f"{target.title}, {preset}" + (", synthetic data" if target.synthetic else "")
        rows = {model: rows[model] for model in reversed(rows)}
        plots.save(plots.label_bars(rows, title=title), output / f"labels-{preset}.png")
        answers = {names[outcome.row]: its for outcome, its in reversed(answered) if outcome.preset == preset}
        scores, truth_BL = on_common_scans({model: answers[model] for model in rows}, len(target.labels))
        plots.save(plots.roc_curves(scores, truth_BL, target.labels, title=title), output / f"roc-{preset}.png")
