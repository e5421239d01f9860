"""Segmentation weights set against others that were scored before, scan by scan (docs/benchmarks/statistics.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from simcrop_core.errors import UnreadableFile
from simcrop_training.evaluate.paired import Pair
from simcrop_training.evaluate.segmenting.metrics import mean_dice
from simcrop_training.evaluate.segmenting.presets import Protocol
from simcrop_training.evaluate.segmenting.score import Scored, read_scores
from simcrop_training.evaluate.statistics import ROUNDS, compare_means
from simcrop_training.evaluate.written import RESULTS


def pairs_with(
    name: str, scored: Scored, others: Sequence[Path], protocol: Protocol, *, rounds: int = ROUNDS
) -> list[Pair]:
    """Weights, less each of others: the difference of their mean Dice on the scans and labels that both have.

    Args:
        name: of the weights.
        scored: what was found of them.
        others: output folders of `simcrop-eval segment`.
        protocol: by which both were measured.
        rounds: of the bootstrap.

    Raises:
        UnreadableFile: a folder holds no such results.
    """
    return [
        _pair(name, scored, called, _scored_before(folder, protocol), rounds)
        for folder, called in zip(others, _names(others, protocol), strict=True)
    ]


def _names(folders: Sequence[Path], protocol: Protocol) -> Iterator[str]:
    """What their results call the weights; the folder's name too, where two are called alike."""
    called = [_model(folder, protocol) for folder in folders]
    for folder, model in zip(folders, called, strict=True):
        yield f"{model} ({folder.name})" if called.count(model) > 1 else model


def _model(folder: Path, protocol: Protocol) -> str:
    try:
        entries = json.loads((folder / RESULTS).read_text(encoding="utf-8"))["entries"]
        return str(next(entry["model"] for entry in entries if entry["protocol"] == protocol.name))
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as fault:
        raise _no_results(folder, protocol) from fault


def _scored_before(folder: Path, protocol: Protocol) -> Scored:
    found = read_scores(folder, protocol)
    if not found.scans:
        raise _no_results(folder, protocol)
    return found


def _no_results(folder: Path, protocol: Protocol) -> UnreadableFile:
    return UnreadableFile(
        f"{folder} holds no results of simcrop-eval segment by the preset {protocol.name}.",
        hint="Score those weights first; --against takes the folder that was their --output.",
    )


def _pair(name: str, scored: Scored, called: str, other: Scored, rounds: int) -> Pair:
    labels = [label for label in scored.labels[1:] if label in other.labels]
    theirs = {scan.name: scan for scan in other.scans}
    both = [(scan, theirs[scan.name]) for scan in scored.scans if scan.name in theirs]
    own = [[scan.classes[scored.labels.index(label)] for label in labels] for scan, _ in both]
    their = [[scan.classes[other.labels.index(label)] for label in labels] for _, scan in both]
    first_B = np.array([mean_dice(classes, background=True) for classes in own], np.float64)
    second_B = np.array([mean_dice(classes, background=True) for classes in their], np.float64)
    less = compare_means(first_B, second_B, [scan.patient for scan, _ in both], rounds=rounds)
    return Pair(name, called, sum(not math.isnan(dice) for dice in first_B), less)
