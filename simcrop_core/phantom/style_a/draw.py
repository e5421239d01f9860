"""One synthetic chest CT with the sentences of its report and, for each, where it is in the scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.body import ENLARGED, Body, draw_body
from simcrop_core.phantom.style_a.finding import Drawn, Finding
from simcrop_core.phantom.style_a.findings import choose_findings, draw_finding
from simcrop_core.phantom.style_a.person import draw_anatomy
from simcrop_core.phantom.style_a.report import write_report
from simcrop_core.phantom.style_a.say import Said, placed, say, visible_regions
from simcrop_core.phantom.style_a.scaffold import Scaffold, draw_scaffold
from simcrop_core.phantom.style_a.scanner import View, draw_view, scanned
from simcrop_core.phantom.style_a.space import FRAME, PLAN, Grid, nearest_index, resampled
from simcrop_core.phantom.truth import KIND_LABELS, Person, Phantom, PhantomReport, Size, Statement, with_the_rest

_BESIDE_VESSELS = ("lymphadenopathy", "hiatal hernia", "pericardial effusion", "pleural effusion")
# Both sizes show at least this much to every side of the centre.
_REACH_MM = (168.0, 168.0, 165.0)


def draw_phantom(seed: int, size: Size = "frame", *, most_findings: int = 6) -> Phantom:
    """Draw one person, up to `most_findings` findings, the sentences, and scan it.

    The same arguments draw the same phantom. Both sizes of a seed show the same person and say the same: everything is
    decided on a coarse grid of its own. The whole scan's anatomy is drawn on a middle grid and brought to the full one
    before the scanner's effects.

    Args:
        seed: any number that is not negative.
        size: "frame", 224 × 224 × 112 voxels of 1.5 × 1.5 × 3 mm, or "full", 512 × 512 × 300 of about 0.7 × 0.7 × 1.1.
        most_findings: how many findings at most, besides an enlarged heart.
    """
    plan = decide(seed, most_findings=most_findings)
    body, view, chosen = plan.body, plan.view, plan.findings
    grid, middle = _grids(body, size)
    a = draw_anatomy(body, middle, plan.scaffold)
    drawn = [Drawn(f, np.flatnonzero(draw_finding(a, f)).astype(np.int32)) for f in chosen]
    drawn = _cut(a, drawn, view)
    statements = placed(plan.said, a, drawn)
    image, labels, lobes = a.image, _labels(a, drawn), a.lobes
    if grid != middle:
        image = resampled(image, middle, grid)
        labels, lobes = (_nearest(v, middle, grid) for v in (labels, lobes))
        statements = _enlarged(statements, middle, grid)
    present = frozenset(label for f in chosen for label in KIND_LABELS[f.kind])
    person = Person(body.age, body.sex)
    return Phantom(
        scanned(image, grid, middle, body, view),
        grid.spacing_mm,
        labels,
        lobes,
        tuple(statements),
        plan.report,
        present,
        person,
        seed,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything about a phantom but its voxels: the person, the field of view, the findings, what is said."""

    body: Body
    view: View
    scaffold: Scaffold
    findings: tuple[Finding, ...]
    said: tuple[Said, ...]
    report: PhantomReport


def decide(seed: int, *, most_findings: int = 6) -> Plan:
    """Decide all there is to know about a phantom, on a coarse grid of its own."""
    rng = np.random.default_rng([seed, 1])
    body = draw_body(seed)
    view, scaffold = draw_view(body), draw_scaffold(body)
    sketch = draw_anatomy(body, PLAN, scaffold)
    chosen = _findings(sketch, body, view, rng, int(rng.integers(0, most_findings + 1)))
    said = say(chosen, visible_regions(sketch), rng)
    return Plan(body, view, scaffold, tuple(chosen), tuple(said), write_report(said, chosen, body, rng))


def _findings(plan: Anatomy, body: Body, view: View, rng: np.random.Generator, count: int) -> list[Finding]:
    """Findings in what is scanned of a body; draws them into the plan."""
    x, y, z = (np.abs(axis) < reach for axis, reach in zip(plan.grid.axes(), _REACH_MM, strict=True))
    seen = x & y & z
    inside = view.inside(plan.grid)
    if inside is not None:
        seen &= inside
    plan.take(~seen)
    for name in plan.regions:
        plan.regions[name] &= seen
    chosen = choose_findings(plan, rng, count, within=seen)
    if body.heart > ENLARGED and (plan.labels == 4).any():
        severity = "mild" if body.heart < 1.27 else "moderate" if body.heart < 1.33 else "severe"
        chosen.append(Finding("cardiomegaly", severity=severity))
    return chosen


def _grids(body: Body, size: Size) -> tuple[Grid, Grid]:
    """The scan's grid, and the one to draw on."""
    if size == "frame":
        return FRAME, FRAME
    field_mm = 512 * float(body.stream("field").uniform(0.68, 0.8))
    grid = Grid((512, 512, 300), (field_mm / 512, field_mm / 512, 1.1))
    return grid, Grid((276, 276, 165), (field_mm / 276, field_mm / 276, 2.0))


def _cut(a: Anatomy, drawn: Sequence[Drawn], view: View) -> list[Drawn]:
    """Take away all truth outside the field of view."""
    inside = view.inside(a.grid)
    if inside is None:
        return list(drawn)
    a.take(~inside)
    for name in a.regions:
        a.regions[name] &= inside
    flat = inside.ravel()
    return [replace(d, voxels=d.voxels[flat[d.voxels]]) for d in drawn]


def _labels(a: Anatomy, drawn: Sequence[Drawn]) -> NDArray[np.uint8]:
    """Of everything in the body; a finding beside the vessels and the oesophagus is neither."""
    found = np.zeros(a.grid.shape, dtype=bool)
    for d in drawn:
        if d.finding.kind in _BESIDE_VESSELS:
            found.ravel()[d.voxels] = True
    parts = {name: a.regions[name] & ~found for name in ("pulmonary artery", "oesophagus")}
    return with_the_rest(a.labels, a.regions["body"], parts)


def _nearest(values: NDArray[np.uint8], source: Grid, target: Grid) -> NDArray[np.uint8]:
    for axis in range(3):
        values = np.take(values, nearest_index(source, target, axis), axis)
    return values


def _enlarged(statements: Sequence[Statement], source: Grid, target: Grid) -> list[Statement]:
    """The same statements with their voxels on a finer grid of the same field."""
    index = [nearest_index(source, target, axis) for axis in range(3)]
    known: dict[bytes, NDArray[np.int32]] = {}
    larger = []
    for s in statements:
        key = s.voxels.tobytes()
        if key not in known:
            known[key] = _enlarged_voxels(s.voxels, source, target, index)
        larger.append(replace(s, voxels=known[key]))
    return larger


def _enlarged_voxels(
    voxels: NDArray[np.int32], source: Grid, target: Grid, index: list[NDArray[np.intp]]
) -> NDArray[np.int32]:
    if not voxels.size:
        return voxels
    at = np.unravel_index(voxels, source.shape)
    low, high = [int(v.min()) for v in at], [int(v.max()) + 1 for v in at]
    part = np.zeros([b - a for a, b in zip(low, high, strict=True)], dtype=bool)
    part[tuple(v - a for v, a in zip(at, low, strict=True))] = True
    first = []
    for axis in range(3):
        start, stop = np.searchsorted(index[axis], [low[axis], high[axis]])
        part = np.take(part, index[axis][start:stop] - low[axis], axis)
        first.append(int(start))
    x, y, z = (v + f for v, f in zip(np.nonzero(part), first, strict=True))
    _, ny, nz = target.shape
    return ((x * ny + y) * nz + z).astype(np.int32)
