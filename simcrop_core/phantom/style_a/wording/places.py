"""How sentences say where."""

from __future__ import annotations

import numpy as np

from simcrop_core.phantom.style_a.finding import Finding

ABBREVIATIONS = {
    "left upper lobe": "LUL",
    "left lower lobe": "LLL",
    "right upper lobe": "RUL",
    "right middle lobe": "RML",
    "right lower lobe": "RLL",
}
_MIDLINE: dict[str, tuple[str, ...]] = {
    "lymphadenopathy": ("in the mediastinum",),
    "hiatal hernia": ("", "", "at the lower end of the esophagus"),
}
_BILATERAL = ("in both lungs", "bilaterally", "in both hemithoraces", "on both sides")
_PLEURAL = ("pleural effusion", "pneumothorax")
_SEGMENTS: dict[str, tuple[str, ...]] = {
    "apex": ("apex", "apical segment", "apical part"),
    "superior segment": ("superior segment", "superior segment"),
    "anterior segment": ("anterior segment", "anterior part"),
    "lingula": ("lingula", "lingular segment"),
    "basal segments": ("basal segments", "basal part"),
    "posterior basal segment": ("posterior basal segment", "posterobasal segment", "posterior part"),
}


def where(f: Finding, rng: np.random.Generator, *, lobe_named: bool = False) -> str:
    """The phrase that says where; empty only for findings whose name says it.

    Args:
        f: the finding.
        rng: random numbers.
        lobe_named: whether a finding in a lobe is always said to be in that, never only on its side.
    """
    if f.kind == "lymphadenopathy" and f.place:
        return _station(f.place, rng)
    if f.lobe:
        return _in_lobe(f, rng, lobe_named=lobe_named)
    if f.side:
        near = "pleural space" if f.kind in _PLEURAL else "lung"
        choices = (
            f"on the {f.side}",
            f"on the {f.side} side",
            f"in the {f.side} {near}",
            f"in the {f.side} hemithorax",
        )
        return str(rng.choice(choices))
    if f.kind in _MIDLINE:
        return str(rng.choice(_MIDLINE[f.kind]))
    return str(rng.choice(_BILATERAL)) if in_both_lungs(f) else ""


def in_both_lungs(f: Finding) -> bool:
    """Whether it runs through both lungs."""
    return not f.side and f.reach > 40 and f.centre == (0.0, 0.0, 0.0)


def short_place(f: Finding, rng: np.random.Generator) -> str:
    """A place without preposition, as in telegraphic sentences: "RUL", "left lower lobe", "right"; may be empty."""
    if f.kind == "lymphadenopathy" and f.place:
        return f.place
    if f.lobe:
        return str(rng.choice([ABBREVIATIONS[f.lobe], f.lobe, f.lobe]))
    if f.side:
        return f.side
    return "bilateral" if in_both_lungs(f) else ""


def _station(place: str, rng: np.random.Generator) -> str:
    if "window" in place:
        return f"in the {place}"
    return str(rng.choice([f"in the {place} region", f"at the {place} station", f"in the {place} area"]))


def _in_lobe(f: Finding, rng: np.random.Generator, *, lobe_named: bool) -> str:
    side, part = f.lobe.split(" ", 1)
    if rng.random() < 0.12 and not lobe_named:
        return f"in the {side} lung"
    choices = (f"the {f.lobe}", f"the {f.lobe} of the lung", f"the {part} of the {side} lung", ABBREVIATIONS[f.lobe])
    lung = str(rng.choice(choices, p=[0.6, 0.06, 0.18, 0.16]))
    if lung.isupper():
        lung = f"the {lung}"
    if f.place and rng.random() < 0.55:
        if rng.random() < 0.25:
            return f"in the {side} lung {part} {rng.choice(_SEGMENTS[f.place])}"
        return f"in the {rng.choice(_SEGMENTS[f.place])} of {lung}"
    return f"in {lung}"
