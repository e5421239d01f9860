"""Does it look? One thing is changed in scan or sentence, the model is asked again, and what moved is written down."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcrop_core.inference.session import Session
from simcrop_training.evaluate.grounding_benchmark import questions
from simcrop_training.evaluate.grounding_benchmark.encoded import Answer, EncodedScan, encoded
from simcrop_training.evaluate.grounding_benchmark.masks import Region
from simcrop_training.evaluate.grounding_benchmark.metrics import distances_mm, patch_counts
from simcrop_training.evaluate.grounding_benchmark.questions import Change
from simcrop_training.objectives.hard_negatives import denied
from simcrop_training.objectives.hard_negatives import mirrored as other_side

_NAN = float("nan")
_LEVELS = {"located": 2.0, "weak": 1.0, "not located": 0.0}


@dataclass(frozen=True, slots=True)
class Moved:
    """What one change did to one answer; NaN where there is nothing to compare.

    Attributes:
        change: what was changed.
        sentence: its place among those with an answer.
        text: the sentence as first asked.
        score: after less before.
        excess: of the score over the usual one, after less before.
        place: rank among the reference sentences, after less before; above 0 is worse.
        evidence: located 2, weak 1, not located 0: after less before.
        peak_mm: between the two peaks, in the frame's own coordinates.
        side_flipped: 1 where the peak is in the other half of the patient, else 0.
        pointing: the peak touches the mask, after less before; of a mirrored scan the mirrored mask. NaN where the
            scan is another patient's.
        distance_mm: peak to mask, likewise.
    """

    change: Change
    sentence: int
    text: str
    score: float
    excess: float
    place: float
    evidence: float
    peak_mm: float
    side_flipped: float
    pointing: float
    distance_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """An answer with what is needed to compare it; `row` of the scan's, `place` among those compared."""

    answer: Answer
    scan: EncodedScan
    row: int
    place: int

    @property
    def peak(self) -> int:
        return int(self.scan.maps_SN[self.row].argmax())

    @property
    def peak_ras_mm(self) -> NDArray[np.float64]:
        point: NDArray[np.float64] = self.scan.patches.centres_N3[self.peak]
        return point

    @property
    def peak_frame_mm(self) -> NDArray[np.float64]:
        """From the frame's middle, along its own axes."""
        patches = self.scan.patches
        index = np.array(np.unravel_index(self.peak, patches.grid)) - (np.asarray(patches.grid) - 1) / 2
        away: NDArray[np.float64] = index * np.linalg.norm(patches.affine[:3, :3], axis=0)
        return away

    @property
    def left(self) -> bool:
        return bool(self.scan.patches.left_N[self.peak])


def audited(
    name: str, session: Session, texts: Sequence[str], regions: Sequence[Region], partner: Session | None
) -> list[Moved]:
    """Every change to every sentence of a scan that has an answer.

    Args:
        name: of the scan; decides which other patches are occluded.
        session: of the scan.
        texts: sentences about it.
        regions: the mask of each.
        partner: another patient's scan; without one there is no swapping.

    Raises:
        NotAChest: no lungs were found in one of them.
    """
    first = encoded(session, list(texts))
    kept = [row for row, answer in enumerate(first.answers) if answer.answered]
    asked = [texts[row] for row in kept]
    before = [_Asked(first.answers[row], first, row, place) for place, row in enumerate(kept)]
    true = [regions[row] for row in kept]
    if not kept:
        return []
    turned = [region.mirrored(session.volume) for region in true]
    scans: list[tuple[Change, Session | None, list[Region | None]]] = [
        ("unchanged", questions.again(session), list(true)),
        ("swapped scan", partner, [None] * len(kept)),
        ("mirrored scan", questions.mirrored(session), list(turned)),
    ]
    moved = [
        row
        for change, other, where in scans
        if other is not None
        for row in _compared(change, before, true, _all(other, asked), where)
    ]
    moved += _of_sentences(session, scans[2][1], before, asked, true, turned)
    moved += _of_patches(name, session, before, asked, true)
    return moved


def _of_sentences(
    session: Session,
    mirror: Session | None,
    before: Sequence[_Asked],
    asked: Sequence[str],
    true: Sequence[Region],
    turned: Sequence[Region],
) -> Iterator[Moved]:
    """Changes of the words, on the scan and, of the side, on its mirror image too."""
    for row, text in enumerate(asked):
        other, no = other_side(text), denied(text)
        rows: list[tuple[Change, Session | None, str | None, Region]] = [
            ("other side named", session, other, true[row]),
            ("mirrored scan and sentence", mirror, other, turned[row]),
            ("negated", session, no, true[row]),
        ]
        for change, scan, words, where in rows:
            if scan is not None and words is not None:
                yield from _compared(change, [before[row]], [true[row]], _all(scan, [words]), [where])


def _of_patches(
    name: str, session: Session, before: Sequence[_Asked], asked: Sequence[str], true: Sequence[Region]
) -> Iterator[Moved]:
    """The sentence's own region filled, and as many other patches of the lungs, or of the scan where these are few."""
    for row, text in enumerate(asked):
        answer = before[row]
        patches, map_N = answer.scan.patches, answer.scan.maps_SN[answer.row]
        top = np.argsort(-map_N, kind="stable")[: min(session.engine.config.top_k, int(patches.within_N.sum()))]
        enough = np.setdiff1d(np.flatnonzero(patches.lung_N), top).size >= len(top)
        rest = questions.other_patches(top, patches.lung_N if enough else patches.within_N, f"{name}\n{text}")
        pairs: list[tuple[Change, NDArray[np.intp]]] = [("top-K occluded", top), ("others occluded", rest)]
        for change, hidden in pairs:
            after = _all(questions.occluded(session, hidden), [text])
            yield from _compared(change, [answer], [true[row]], after, [true[row]])


def _all(session: Session, texts: Sequence[str]) -> list[_Asked]:
    scan = encoded(session, list(texts))
    return [_Asked(answer, scan, row, row) for row, answer in enumerate(scan.answers)]


def _compared(
    change: Change,
    before: Sequence[_Asked],
    true: Sequence[Region],
    after: Sequence[_Asked],
    where: Sequence[Region | None],
) -> Iterator[Moved]:
    for first, region, then, place in zip(before, true, after, where, strict=True):
        old, new = first.answer, then.answer
        hits = (_NAN, _NAN)
        if place is not None and region.voxels.any() and new.answered:
            was, now = _where(first, region), _where(then, place)
            hits = (now[0] - was[0], now[1] - was[1])
        yield Moved(
            change=change,
            sentence=first.place,
            text=old.text,
            score=new.score - old.score,
            excess=new.excess - old.excess,
            place=new.place - old.place,
            evidence=_LEVELS.get(new.evidence or "", _NAN) - _LEVELS.get(old.evidence or "", _NAN),
            peak_mm=math.dist(first.peak_frame_mm, then.peak_frame_mm) if new.answered else _NAN,
            side_flipped=float(first.left != then.left) if new.answered else _NAN,
            pointing=hits[0],
            distance_mm=hits[1],
        )


def _where(asked: _Asked, region: Region) -> tuple[float, float]:
    """Whether the peak touches the mask, and how far it is away."""
    patches = asked.scan.patches
    there_N = patch_counts(region, patches.affine, patches.grid) > 0
    return float(there_N[asked.peak]), float(distances_mm(asked.peak_ras_mm[None], region)[0])
