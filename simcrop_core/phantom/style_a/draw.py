"""One synthetic chest CT with the sentences of its report and, for each, where it is in the scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simcrop_core.phantom.style_a import wording
from simcrop_core.phantom.style_a.anatomy import Anatomy, draw_anatomy
from simcrop_core.phantom.style_a.findings import ELSEWHERE, IN_LUNG, Finding
from simcrop_core.phantom.style_a.scanner import scanned
from simcrop_core.phantom.style_a.space import SPACING_MM
from simcrop_core.phantom.truth import LABELS, LOBES, Person, Phantom, PhantomReport, Size, Statement

# Findings of the lung twice as often as the others, masses and nodules more often still.
_KINDS = (*IN_LUNG, *IN_LUNG, "mass", "mass", "nodule", *ELSEWHERE)

_NOTHING = np.zeros(0, dtype=np.int32)


def draw_phantom(seed: int, size: Size = "frame", *, most_findings: int = 6) -> Phantom:
    """Draw one person, up to `most_findings` findings, the sentences, and scan it. The same seed, the same phantom."""
    rng = np.random.default_rng([seed, 1])
    wide = rng.random() < 0.12
    a = draw_anatomy(rng, heart=rng.uniform(1.18, 1.35) if wide else 1.0)
    found = draw_findings(a, rng, int(rng.integers(0, most_findings + 1)))
    if wide:
        found.append(Finding("cardiomegaly", np.flatnonzero(a.labels == 4).astype(np.int32)))
    statements = describe(a, found, rng)
    report = PhantomReport("", "", " ".join(s.text for s in statements if s.polarity in ("positive", "negated")), "")
    return Phantom(
        scanned(a.image, rng), SPACING_MM, a.labels, a.lobes, tuple(statements), report, frozenset(), Person(0, ""), seed
    )


def draw_findings(a: Anatomy, rng: np.random.Generator, count: int, kinds: tuple[str, ...] = _KINDS) -> list[Finding]:
    """Draw findings of random kinds into a chest; two never share a kind and a lobe, nor most of their voxels."""
    found: list[Finding] = []
    drawn: set[tuple[str, int]] = set()
    lobes = [lobe for lobe in range(1, len(LOBES)) if (a.lobes == lobe).any()]
    for _ in range(count if lobes else 0):
        kind, lobe = str(rng.choice(kinds)), int(rng.choice(lobes))
        key = (kind, lobe if kind in IN_LUNG else 0)
        if key in drawn or (kind == "lymphadenopathy" and not a.regions):
            continue
        finding = (IN_LUNG.get(kind) or ELSEWHERE[kind])(a, rng, lobe)
        if finding is not None:
            drawn.add(key)
            found.append(finding)
    return found


def describe(a: Anatomy, found: list[Finding], rng: np.random.Generator) -> list[Statement]:
    """Sentences of every kind about a chest as it was drawn."""
    said = []
    for f in found:
        for _ in range(3):
            text = wording.positive(f.kind, f.side, f.lobe, f.place, f.looks, f.size_mm, rng)
            said.append(Statement(text, "positive", f.kind, f.side, f.lobe, _meant(text, f, found)))
    for f in found:
        said += _swapped(f, found, rng)
    for _ in range(10):
        kind = str(rng.choice(list(wording.FINDINGS)))
        lobe = str(rng.choice(LOBES[1:])) if kind in IN_LUNG else ""
        side = lobe.split(" ")[0] if lobe else _random_side(kind, rng)
        if not _clash(found, kind, side, lobe):
            text = wording.positive(kind, side, lobe, "", "", 0.0 if rng.random() < 0.8 else 30.0, rng)
            said.append(Statement(text, "absent", kind, side, lobe, _NOTHING))
    for _ in range(8):
        kind = str(rng.choice(list(wording.FINDINGS)))
        if not _clash(found, kind, "", ""):
            said.append(Statement(wording.negated(kind, "", "", rng), "negated", kind, "", "", _NOTHING))
    for region, voxels in anatomy_voxels(a).items():
        if voxels.size >= 300:
            side = region.split(" ")[0] if region.startswith(("left", "right")) else ""
            text = wording.anatomy(region, rng)
            said.append(Statement(text, "anatomy", region, side, region if region in LOBES else "", voxels))
    return said


def anatomy_voxels(a: Anatomy) -> dict[str, NDArray[np.int32]]:
    """Flat voxel indices of every organ and region that has a sentence."""
    masks = {name: a.labels == i for i, name in enumerate(LABELS) if i}
    masks |= {name: a.lobes == i for i, name in enumerate(LOBES) if i}
    masks |= {name: mask for name, mask in a.regions.items() if name in wording.ANATOMY}
    masks["lungs"] = a.lung()
    masks["upper lobes"] = np.isin(a.lobes, (1, 3))
    masks["lower lobes"] = np.isin(a.lobes, (2, 5))
    if "left kidney" in masks:
        masks["kidneys"] = masks["left kidney"] | masks["right kidney"]
    return {name: np.flatnonzero(mask).astype(np.int32) for name, mask in masks.items()}


def _meant(text: str, finding: Finding, found: list[Finding]) -> NDArray[np.int32]:
    """All a sentence could mean: every finding of this kind in the lobe it names, or else on the side it names."""
    names_lobe = finding.lobe.partition(" ")[2] in text.lower()
    same = [
        f.voxels
        for f in found
        if f.kind == finding.kind and f.side == finding.side and (f.lobe == finding.lobe or not names_lobe)
    ]
    return np.unique(np.concatenate(same)) if len(same) > 1 else finding.voxels


def _swapped(f: Finding, found: list[Finding], rng: np.random.Generator) -> list[Statement]:
    """The same finding said to be on the other side, or in another lobe, where nothing like it is."""
    said = []
    if f.lobe:
        other = [lobe for lobe in LOBES[1:] if lobe != f.lobe]
        for lobe in rng.choice(other, 2, replace=False):
            side = str(lobe).split(" ")[0]
            if not _clash(found, f.kind, side, str(lobe)):
                text = wording.positive(f.kind, side, str(lobe), "", f.looks, f.size_mm, rng)
                said.append(Statement(text, "absent", f.kind, side, str(lobe), _NOTHING))
    elif f.side and f.kind != "lymphadenopathy":
        side = "left" if f.side == "right" else "right"
        if not _clash(found, f.kind, side, ""):
            text = wording.positive(f.kind, side, "", "", f.looks, 0.0, rng)
            said.append(Statement(text, "absent", f.kind, side, "", _NOTHING))
    return said


def _clash(found: list[Finding], kind: str, side: str, lobe: str) -> bool:
    """Whether something was drawn there that one could take for this finding."""
    alike: set[str] = {kind}.union(*(group for group in wording.ALIKE if kind in group))
    for f in found:
        same_lobe = not lobe or not f.lobe or f.lobe == lobe
        # Sentences may name only the side, so the same kind anywhere on it counts too.
        same_side = not side or not f.side or f.side == side
        if same_side and (f.kind == kind or (f.kind in alike and same_lobe)):
            return True
    return False


def _random_side(kind: str, rng: np.random.Generator) -> str:
    return str(rng.choice(["left", "right"])) if kind in ("pleural effusion", "pneumothorax") else ""
