"""Sentences about what was drawn, and about what was not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simcrop_core.phantom.style_b.filling import filled
from simcrop_core.phantom.style_b.finding import Finding
from simcrop_core.phantom.style_b.phrases import CHANGES, NORMAL, PHRASES, PLACES
from simcrop_core.phantom.style_b.untrue import IN_A_LOBE, PLEURAL, absent, negated
from simcrop_core.phantom.truth import LOBES, ORGANS, Polarity, Statement

# What makes an organ no longer normal, besides any finding of a lung for that lung.
_AGAINST: dict[str, tuple[str, ...]] = {
    "heart": ("cardiomegaly", "pericardial effusion", "coronary calcification", "medical device"),
    "aorta": ("arterial calcification",),
}


def of_finding(f: Finding, rng: np.random.Generator) -> list[Statement]:
    """Every certain phrasing of a finding, a doubtful one and a comparison."""
    phrases = PHRASES[f.kind]

    def said(text: str, polarity: Polarity) -> Statement:
        return Statement(text, polarity, f.kind, f.side, f.lobe, f.voxels, f.size_mm)

    sentences = [said(filled(t, f), "positive") for t in phrases.found]
    sentences.append(said(filled(str(rng.choice(phrases.doubted)), f), "uncertain"))
    noun = filled(phrases.noun, f)
    change = str(CHANGES[0] if f.kind == "medical device" else rng.choice(CHANGES)).format(
        noun=noun, Noun=noun[:1].upper() + noun[1:]
    )
    return [*sentences, said(change, "comparison")]


def _organ_voxels(labels: NDArray[np.uint8], index: int) -> NDArray[np.int32]:
    return np.flatnonzero(labels.reshape(-1) == index).astype(np.int32)


def normal(found: list[Finding], labels: NDArray[np.uint8], rng: np.random.Generator) -> list[Statement]:
    """Organs said to be normal that are."""
    drawn = {f.kind for f in found}
    made = []
    for organ, templates in NORMAL.items():
        side = organ.split(" ")[0] if organ.endswith("lung") else ""
        in_lung = [f for f in found if f.kind in (*IN_A_LOBE, *PLEURAL, "mosaic attenuation") and f.side in ("", side)]
        if drawn & set(_AGAINST.get(organ, ())) or (side and in_lung):
            continue
        voxels = _organ_voxels(labels, ORGANS.index(organ))
        if voxels.size:
            made.append(Statement(str(rng.choice(templates)), "normal", organ, side, "", voxels))
    return made


def anatomy(labels: NDArray[np.uint8], lobes: NDArray[np.uint8], rng: np.random.Generator) -> list[Statement]:
    """The name of every organ and lobe, and nothing else."""
    made = []
    for names, array in ((ORGANS, labels), (LOBES, lobes)):
        for index, name in enumerate(names[1:], start=1):
            voxels = _organ_voxels(array, index)
            if not voxels.size:
                continue
            text = str(rng.choice(PLACES)).format(bare=name, Bare=name.capitalize())
            side = name.split(" ")[0] if name.startswith(("left", "right")) else ""
            made.append(Statement(text, "anatomy", name, side, name if names is LOBES else "", voxels))
    return made


def statements(
    found: list[Finding],
    tried: frozenset[str],
    labels: NDArray[np.uint8],
    lobes: NDArray[np.uint8],
    rng: np.random.Generator,
) -> tuple[Statement, ...]:
    """All that can be said of a phantom, true and untrue.

    Args:
        found: what was drawn.
        tried: every kind that was meant to be drawn: none of them is denied, though nothing of it may be left.
        labels: indices of `ORGANS`.
        lobes: lobe labels.
        rng: random numbers.
    """
    made = [s for f in found for s in of_finding(f, rng)]
    made += negated(tried, rng) + normal(found, labels, rng) + absent(found, tried, rng)
    return tuple(made + anatomy(labels, lobes, rng))
