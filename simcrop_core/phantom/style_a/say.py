"""Everything that can be said of a chest as it was drawn: true sentences, untrue ones, and names of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simcrop_core.phantom.style_a.anatomy import Anatomy
from simcrop_core.phantom.style_a.finding import Drawn, Finding
from simcrop_core.phantom.style_a.findings import ELSEWHERE, IN_LUNG
from simcrop_core.phantom.style_a.wording import organs, sentences
from simcrop_core.phantom.style_a.wording.nouns import FINDINGS
from simcrop_core.phantom.truth import LOBES, ORGANS, Polarity, Statement

# Findings one could take for each other: one of them is never called absent where another was drawn.
_ALIKE = (
    {"nodule", "mass"},
    {"consolidation", "ground-glass opacity", "atelectasis"},
    {"fibrotic band", "atelectasis"},
    {"bronchiectasis", "peribronchial thickening"},
    {"arterial calcification", "coronary calcification"},
)
# Denied together.
_TOGETHER = (
    ("pleural effusion", "pneumothorax"),
    ("nodule", "mass", "consolidation", "ground-glass opacity", "atelectasis"),
    ("bronchiectasis", "peribronchial thickening", "emphysema", "mosaic attenuation"),
    ("septal thickening", "fibrotic band", "emphysema", "ground-glass opacity"),
    ("pericardial effusion", "cardiomegaly", "lymphadenopathy"),
    ("arterial calcification", "coronary calcification"),
    ("hiatal hernia", "lymphadenopathy"),
)
# Two of these may stand in one sentence, at most so many times.
_SAID_TOGETHER = (*IN_LUNG, "pleural effusion", "pneumothorax")
_MOST_TOGETHER = 3
# Drawn within their lobe, or round in it: its neighbour shows nothing of them.
_WITHIN_A_LOBE = (
    "nodule", "mass", "consolidation", "ground-glass opacity", "atelectasis", "emphysema", "mosaic attenuation",
)  # fmt: skip
_LEAST_REGION_MM3 = 2000.0


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence and what it is about, before its place is worked out on a grid.

    Attributes:
        text: the sentence.
        polarity: as in `Statement`.
        topic: the finding's kind or the organ's name.
        side: "left", "right" or "".
        lobe: a name of `LOBES`, or "".
        findings: indices of the findings it points at.
        region: the region it points at, or "".
        size_mm: of a focal lesion.
    """

    text: str
    polarity: Polarity
    topic: str
    side: str = ""
    lobe: str = ""
    findings: tuple[int, ...] = ()
    region: str = ""
    size_mm: float = 0.0


def say(chosen: Sequence[Finding], regions: Sequence[str], rng: np.random.Generator) -> list[Said]:
    """Sentences of every polarity about a chest with these findings and these visible regions."""
    said: list[Said] = []
    for i, f in enumerate(chosen):
        texts = {sentences.positive(f, rng) for _ in range(3)}
        while len(texts) < 3:
            texts.add(sentences.positive(f, rng))
        said += [_about(text, "positive", i, chosen) for text in sorted(texts)]
        said.append(_about(sentences.uncertain(f, rng), "uncertain", i, chosen))
        if rng.random() < 0.3:
            said.append(_about(sentences.comparison(f, rng), "comparison", i, chosen))
    said += _together(chosen, rng)
    said += _untrue(chosen, rng)
    said += _denied(chosen, rng)
    said += _normal(chosen, regions, rng)
    for region in regions:
        side = region.split(" ")[0] if region.startswith(("left", "right")) else ""
        lobe = region if region in LOBES else ""
        said.append(Said(organs.anatomy(region, rng), "anatomy", region, side, lobe, region=region))
    return said


def placed(said: Sequence[Said], a: Anatomy, drawn: Sequence[Drawn]) -> list[Statement]:
    """The sentences with their voxels on the grid of a chest."""
    regions = region_voxels(a)
    return [_statement(s, regions, drawn) for s in said]


def describe(a: Anatomy, drawn: Sequence[Drawn], rng: np.random.Generator) -> list[Statement]:
    """Sentences of every polarity about a chest as it was drawn."""
    return placed(say([d.finding for d in drawn], visible_regions(a), rng), a, drawn)


def visible_regions(a: Anatomy) -> list[str]:
    """Organs and regions that have a sentence and of which enough is seen."""
    found = region_voxels(a)
    return [name for name, voxels in found.items() if voxels.size * a.grid.voxel_mm3 >= _LEAST_REGION_MM3]


def region_voxels(a: Anatomy) -> dict[str, NDArray[np.int32]]:
    """Flat voxel indices of every organ and region that has a sentence."""
    masks = {name: a.labels == i for i, name in enumerate(ORGANS) if i}
    masks |= {name: a.lobes == i for i, name in enumerate(LOBES) if i}
    masks |= {name: mask for name, mask in a.regions.items() if name in organs.ANATOMY}
    masks["lungs"] = a.lung()
    masks["upper lobes"] = (a.lobes == 1) | (a.lobes == 3)
    masks["lower lobes"] = (a.lobes == 2) | (a.lobes == 5)
    if "left kidney" in masks:
        masks["kidneys"] = masks["left kidney"] | masks["right kidney"]
    return {name: np.flatnonzero(mask).astype(np.int32) for name, mask in masks.items()}


def clashes(chosen: Sequence[Finding], kind: str, side: str, lobe: str) -> bool:
    """Whether something was drawn there that one could take for this kind of finding."""
    alike: set[str] = {kind}.union(*(group for group in _ALIKE if kind in group))
    for f in chosen:
        same_lobe = not lobe or not f.lobe or f.lobe == lobe
        # Sentences may name only the side, so the same kind anywhere on it counts too.
        same_side = not side or not f.side or f.side == side
        if same_side and (f.kind == kind or (f.kind in alike and same_lobe)):
            return True
    return False


def _about(text: str, polarity: Polarity, index: int, chosen: Sequence[Finding]) -> Said:
    """A sentence about a finding, pointing at every finding of its kind in the lobe, or else on the side, it names."""
    f = chosen[index]
    lowered = text.lower()
    names_lobe = bool(f.lobe) and any(
        w in lowered for w in (f.lobe.partition(" ")[2], "rul", "rml", "rll", "lul", "lll")
    )
    meant = tuple(
        i
        for i, g in enumerate(chosen)
        if i == index
        or (
            g.kind == f.kind
            and f.side
            and g.side in (f.side, "")
            and (not names_lobe or g.lobe in (f.lobe, ""))
            and f.lobe
        )
    )
    return Said(text, polarity, f.kind, f.side, f.lobe, meant, size_mm=f.size_mm)


def _together(chosen: Sequence[Finding], rng: np.random.Generator) -> list[Said]:
    """Up to three sentences about two findings each, of different kinds, that point at all they could mean."""
    sided = [i for i, f in enumerate(chosen) if f.side and f.kind in _SAID_TOGETHER]
    pairs = [(i, j) for i in sided for j in sided if chosen[i].kind != chosen[j].kind]
    said = []
    for k in rng.permutation(len(pairs))[:_MOST_TOGETHER]:
        i, j = pairs[k]
        first, second = chosen[i], chosen[j]
        text = sentences.together(first, second, rng)
        meant = {n for at in (i, j) for n, g in enumerate(chosen) if _same_place(chosen[at], g)}
        side = first.side if first.side == second.side else ""
        said.append(Said(text, "positive", first.kind, side, findings=tuple(sorted(meant))))
    return said


def _same_place(f: Finding, g: Finding) -> bool:
    """Whether a sentence about f, which names its lobe if it has one, is about g too."""
    return g is f or (g.kind == f.kind and g.side in (f.side, "") and (not f.lobe or g.lobe in (f.lobe, "")))


def _untrue(chosen: Sequence[Finding], rng: np.random.Generator) -> list[Said]:
    """Findings said where they are not: elsewhere than drawn, something like them, or anything; at least ten."""
    moved = [other for f in chosen for other in _moved(f, rng)]
    said = [_absent(f, rng) for f in moved if not clashes(chosen, f.kind, f.side, f.lobe)]
    kinds = list(FINDINGS)
    tried = 0
    while len(said) < 12 and tried < 200:
        tried += 1
        kind = str(rng.choice(kinds))
        lobe = str(rng.choice(LOBES[1:])) if kind in IN_LUNG else ""
        side = lobe.split(" ")[0] if lobe else _some_side(kind, rng)
        if not clashes(chosen, kind, side, lobe):
            size = float(rng.uniform(5, 40)) if kind in ("nodule", "mass") and rng.random() < 0.3 else 0.0
            said.append(_absent(Finding(kind, side, lobe, size_mm=size), rng))
    return said + [s for f in chosen for s in _beside(f, chosen, rng)]


def _moved(f: Finding, rng: np.random.Generator) -> list[Finding]:
    """The finding in the same lobe of the other lung and in one more, or on the other side."""
    if f.lobe:
        mirrored = _mirrored(f.lobe)
        picked = [mirrored, str(rng.choice([lobe for lobe in LOBES[1:] if lobe not in (f.lobe, mirrored)]))]
        return [replace(f, lobe=lobe, side=lobe.split(" ")[0], place="") for lobe in picked]
    if f.kind in ("pleural effusion", "pneumothorax"):
        return [replace(f, side="left" if f.side == "right" else "right")]
    return []


def _mirrored(lobe: str) -> str:
    """The lobe of the other lung that lies across from it."""
    side, part = lobe.split(" ", 1)
    return f"right {part}" if side == "left" else f"left {part.replace('middle', 'upper')}"


def _beside(f: Finding, chosen: Sequence[Finding], rng: np.random.Generator) -> list[Said]:
    """The finding said, and truly denied, in another lobe of its own lung; nothing where something alike may be."""
    if f.kind not in _WITHIN_A_LOBE or not f.lobe:
        return []
    alike = {f.kind}.union(*(group for group in _ALIKE if f.kind in group))
    taken = {g.lobe for g in chosen if g.kind in alike}
    # What runs through both lungs has no lobe.
    free = [lobe for lobe in LOBES[1:] if lobe.startswith(f.side) and lobe not in taken and "" not in taken]
    if not free:
        return []
    other = replace(f, lobe=str(rng.choice(free)), place="")
    text = sentences.positive(other, rng, lobe_named=True)
    denial = sentences.denied_there(other, rng)
    return [
        Said(text, "absent", other.kind, other.side, other.lobe),
        Said(denial, "negated", other.kind, other.side, other.lobe),
    ]


def _absent(f: Finding, rng: np.random.Generator) -> Said:
    return Said(sentences.positive(f, rng), "absent", f.kind, f.side, f.lobe)


def _denied(chosen: Sequence[Finding], rng: np.random.Generator) -> list[Said]:
    """Sentences that deny one to three kinds of which nothing alike was drawn; at least eight where possible."""
    free = [kind for kind in (*IN_LUNG, *ELSEWHERE) if not clashes(chosen, kind, "", "")]
    said: list[Said] = []
    for i in range(10 if free else 0):
        kinds = [str(rng.choice(free))]
        groups = [group for group in _TOGETHER if kinds[0] in group]
        if groups and i % 3 == 0:
            rest = [k for k in groups[int(rng.integers(len(groups)))] if k in free and k != kinds[0]]
            kinds += [str(k) for k in rng.permutation(rest)[: 1 + i % 2]]
        said.append(Said(sentences.negated(kinds, rng), "negated", kinds[0]))
    return said


def _normal(chosen: Sequence[Finding], regions: Sequence[str], rng: np.random.Generator) -> list[Said]:
    """Organs called normal in which nothing was drawn."""
    spoiled = {f.kind for f in chosen}
    for side in ("left", "right"):
        if any(
            f.side in (side, "") and (f.kind in IN_LUNG or f.kind.startswith(("pleural", "pneumo"))) for f in chosen
        ):
            spoiled.add(f"any in the {side} lung")
    fit = [name for name, (_, unless) in organs.NORMAL.items() if name in regions and not spoiled.intersection(unless)]
    return [
        Said(organs.normal(name, rng), "normal", name, name.split(" ")[0] if "t lung" in name else "", region=name)
        for name in fit
    ]


def _statement(s: Said, regions: dict[str, NDArray[np.int32]], drawn: Sequence[Drawn]) -> Statement:
    voxels = regions[s.region] if s.region else np.zeros(0, dtype=np.int32)
    if s.findings:
        parts = [drawn[i].voxels for i in s.findings]
        voxels = np.unique(np.concatenate(parts)) if len(parts) > 1 else parts[0]
    return Statement(s.text, s.polarity, s.topic, s.side, s.lobe, voxels, s.size_mm)


def _some_side(kind: str, rng: np.random.Generator) -> str:
    return str(rng.choice(["left", "right"])) if kind in ("pleural effusion", "pneumothorax") else ""
