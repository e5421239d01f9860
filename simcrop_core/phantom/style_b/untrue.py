"""Sentences about what is not there: denied truly, or claimed untruly."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_b.filling import filled
from simcrop_core.phantom.style_b.finding import GRADES, Finding
from simcrop_core.phantom.style_b.lesions_central import DEVICE_SIDES, STATIONS
from simcrop_core.phantom.style_b.phrases import DEVICES, PHRASES
from simcrop_core.phantom.truth import LOBES, Statement

_NOTHING = np.zeros(0, dtype=np.int32)
# Kinds that may pass for one another: where one is, none of the others is said to be absent.
ALIKE: tuple[frozenset[str], ...] = (
    frozenset(
        {
            "nodule",
            "mass",
            "ground-glass opacity",
            "consolidation",
            "atelectasis",
            "fibrotic band",
            "septal thickening",
        }
    ),
    frozenset({"bronchiectasis", "peribronchial thickening"}),
    frozenset({"emphysema", "mosaic attenuation"}),
    frozenset({"pleural effusion"}),
    frozenset({"pneumothorax"}),
)
# What lies beside a finding or comes with it, and so is not denied on its side.
BRINGS: dict[str, tuple[str, ...]] = {
    "pleural effusion": ("atelectasis", "consolidation", "ground-glass opacity"),
    "pneumothorax": ("atelectasis", "emphysema"),
    "mass": ("nodule",),
    "mosaic attenuation": ("ground-glass opacity",),
    "bronchiectasis": ("peribronchial thickening",),
}
IN_A_LOBE = (
    "nodule",
    "mass",
    "ground-glass opacity",
    "consolidation",
    "atelectasis",
    "fibrotic band",
    "septal thickening",
    "bronchiectasis",
    "peribronchial thickening",
    "emphysema",
)
PLEURAL = ("pleural effusion", "pneumothorax")
_CENTRAL = ("hiatal hernia", "lymphadenopathy", "pericardial effusion", "medical device", "coronary calcification")
_FORMS: dict[str, tuple[str, ...]] = {
    "medical device": tuple(DEVICES),
    "coronary calcification": ("left anterior descending", "right coronary", "circumflex"),
    "nodule": ("solid", "part-solid", "calcified"),
    "mass": ("spiculated", "lobulated", "necrotic"),
    "ground-glass opacity": ("patchy", "focal"),
    "atelectasis": ("plate-like", "dependent"),
}


def negated(tried: frozenset[str], rng: np.random.Generator) -> list[Statement]:
    """Findings said not to be there, which are not."""
    brought = {k for kind in tried for k in BRINGS.get(kind, ())}
    missing = [k for k in PHRASES if k not in tried and k not in brought]
    return [
        Statement(str(rng.choice(PHRASES[k].excluded)), "negated", k, "", "", _NOTHING) for k in _some(missing, 6, rng)
    ]


def absent(found: list[Finding], tried: frozenset[str], rng: np.random.Generator) -> list[Statement]:
    """Untrue sentences: each finding of one side or lobe moved to another, and kinds that were not drawn."""
    made = [_untrue(moved, rng) for f in found for moved in _elsewhere(f, found, rng)]
    for kind in _some([k for k in IN_A_LOBE if k not in tried], 2, rng):
        free = [lobe for lobe in LOBES[1:] if not _mistakable(kind, lobe, found)]
        if free:
            made.append(_untrue(_invented(kind, str(rng.choice(free)), rng), rng))
    others = _some([k for k in (*PLEURAL, *_CENTRAL) if k not in tried], 2, rng)
    return made + [_untrue(_invented(kind, "", rng), rng) for kind in others]


def _some(kinds: list[str], count: int, rng: np.random.Generator) -> list[str]:
    chosen = rng.choice(len(kinds), min(count, len(kinds)), replace=False)
    return [kinds[k] for k in sorted(chosen)]


def _elsewhere(f: Finding, found: list[Finding], rng: np.random.Generator) -> list[Finding]:
    if f.kind in PLEURAL:
        other = "right" if f.side == "left" else "left"
        return [Finding(f.kind, other, "", _NOTHING, f.grade)]
    if not f.lobe:
        return []
    opposite = [x for x in LOBES[1:] if not x.startswith(f.side) and not _mistakable(f.kind, x, found)]
    same = [x for x in LOBES[1:] if x.startswith(f.side) and not _mistakable(f.kind, x, found)]
    lobes = [str(rng.choice(group)) for group in (opposite, same) if group]
    return [Finding(f.kind, lobe.split(" ")[0], lobe, _NOTHING, f.grade, f.form, f.site, f.size_mm) for lobe in lobes]


def _mistakable(kind: str, lobe: str, found: list[Finding]) -> bool:
    """Whether something that passes for that kind lies in that lobe."""
    alike = next((group for group in ALIKE if kind in group), frozenset({kind}))
    here = [f for f in found if f.lobe == lobe or (not f.lobe and lobe.startswith(f.side))]
    return any(f.kind in alike or kind in BRINGS.get(f.kind, ()) for f in here)


def _invented(kind: str, lobe: str, rng: np.random.Generator) -> Finding:
    """A finding that was not drawn, with words as one that was might have."""
    size = {"nodule": rng.uniform(7, 25), "mass": rng.uniform(35, 65), "lymphadenopathy": rng.uniform(13, 24)}
    form = str(rng.choice(_FORMS[kind])) if kind in _FORMS else ""
    side, site = lobe.split(" ")[0], ""
    if kind in PLEURAL:
        side = str(rng.choice(["left", "right"]))
    if kind == "lymphadenopathy":
        _, side, site = STATIONS[int(rng.integers(len(STATIONS)))]
    if form in DEVICES:
        side = DEVICE_SIDES.get(form, "")
    return Finding(kind, side, lobe, _NOTHING, str(rng.choice(GRADES)), form, site, float(size.get(kind, 0.0)))


def _untrue(f: Finding, rng: np.random.Generator) -> Statement:
    text = filled(str(rng.choice(PHRASES[f.kind].found)), f)
    return Statement(text, "absent", f.kind, f.side, f.lobe, _NOTHING, f.size_mm)
