"""Sentences that say a finding is there, may be there, is not there, or has not changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simcrop_core.phantom.style_a.finding import Finding
from simcrop_core.phantom.style_a.wording.nouns import Name, absent_name, name_of
from simcrop_core.phantom.style_a.wording.places import short_place, where

# {n} the name, {a} its article, {at} the place, {be} and {was} verbs that agree, {short} a place without preposition.
_POSITIVE = (
    "{n} {at}.",
    "There {be} {a}{n} {at}.",
    "{a}{n} {be} seen {at}.",
    "{a}{n} {was} observed {at}.",
    "{at} there {be} {a}{n}.",
    "{at}, {a}{n} {was} observed.",
    "{a}{n} {was} detected {at}.",
    "{a}{n} {be} present {at}.",
    "{a}{n} {be} noted {at}.",
    "{a}{n} {be} identified {at}.",
    "{at}, {n}.",
    "{n} {was} found {at}.",
    "{n} {be} visible {at}.",
    "Note is made of {a}{n} {at}.",
    "We see {a}{n} {at}.",
    "CT shows {a}{n} {at}.",
    "In the sections obtained, {a}{n} {was} observed {at}.",
    "Presence of {n} was observed {at}.",
    "{n} {at} {was} noticed.",
    "{at} {n} {be} available.",
)
_SHORT = ("{short} {n}.", "{short}: {n}.", "{n}, {short}.", "{n} ({short}).", "{n} {short}.")
_SIZED = (
    "{a}{n} measuring {size} mm {be} seen {at}.",
    "{n} with a diameter of {size} mm {at}.",
    "{n} {at}, {size} mm.",
    "{at} {a}{n} of {size} x {less} mm {be} present.",
    "{a}{n} with a size of {size} x {less} mm {was} observed {at}.",
    "{at}, {a}{n} up to {size} mm in diameter {was} detected.",
    "{n} {at} measuring approximately {cm} cm.",
    "{n} {at} ({size} mm).",
    "{size} mm {n} {at}.",
    "{a}{n} of {cm} x {cm_less} cm {be} present {at}.",
    "{n} {at}, {cm} x {cm_less} cm.",
    "{at}, {n} measuring {size} x {less} mm {was} observed.",
)
_SHORT_SIZED = (
    "{short} {n}, {size} mm.",
    "{short}: {size} mm {n}.",
    "{n}, {short}, {size} mm.",
    "{cm} cm {n}, {short}.",
    "{short}: {n}, {cm} x {cm_less} cm.",
)
# Of what lasts, said in passing.
_KNOWN = (
    "Unchanged {n} {at}.",
    "Known {n} {at}.",
    "{n} {at}, unchanged.",
    "Stable {n} {at}.",
    "{n} {at}, as before.",
)
# {one} and {two} with their articles, {here} and {there} their places.
_TOGETHER = (
    "{one} {here} and {two} {there}.",
    "{one} {here}, {two} {there}.",
    "There is {one} {here} and {two} {there}.",
    "{one} was observed {here} and {two} {there}.",
    "{one} {here} with {two} {there}.",
)
_TOGETHER_HERE = (
    "{one} and {two} {here}.",
    "{here}, {one} and {two} were observed.",
    "There are {one} and {two} {here}.",
    "{one} with {two} {here}.",
)
_UNCERTAIN = (
    "Possible {n} {at}.",
    "{a}{n} {be} suspected {at}.",
    "The appearance {at} is suspicious for {a}{n}.",
    "Changes {at} may represent {a}{n}.",
    "{n} cannot be excluded {at}.",
    "Questionable {n} {at}.",
    "Probable {n} {at}.",
    "The changes {at} are suggestive of {a}{n}.",
    "There may be {a}{n} {at}.",
    "Suspected {n} {at}.",
    "?{n} {at}.",
    "An appearance compatible with {n} was observed {at}.",
    "{at}, {n} may be present.",
)
_NEGATED = (
    "No {n}.",
    "No {n} {at}.",
    "There {be} no {n}.",
    "There {be} no {n} {at}.",
    "No evidence of {n}.",
    "{n} {was} not observed.",
    "No {n} {be} seen {at}.",
    "No {n} {was} detected.",
    "{n} {be} absent.",
    "{n} {was} not detected {at}.",
    "Without {n}.",
    "{at} there {be} no {n}.",
    "No sign of {n}.",
    "{n} not seen.",
    "Free of {n}.",
    "No {n} {was} found {at}.",
    "Negative for {n}.",
    "No findings of {n} {at}.",
)
_NEGATED_TWO = (
    "No {n} or {m}.",
    "There is no {n} or {m}.",
    "No {n} or {m} was detected.",
    "Neither {n} nor {m} was observed.",
    "{n} and {m} were not observed.",
    "No evidence of {n} or {m}.",
)
_NEGATED_THREE = (
    "No {n}, {m} or {o}.",
    "There is no {n}, {m} or {o}.",
    "No {n}, {m} or {o} is seen.",
    "{n}, {m} and {o} were not observed.",
)
_NEGATED_THERE = (
    "No {n} {at}.",
    "There {be} no {n} {at}.",
    "No {n} {be} seen {at}.",
    "{n} {was} not observed {at}.",
    "{at} there {be} no {n}.",
    "No evidence of {n} {at}.",
)
_UNCHANGED = (
    "{the}{n} {at} {be} unchanged from the previous examination.",
    "{the}{n} {at} {be} stable compared with the prior CT.",
    "In comparison with the previous examination, {the}{n} {at} {has} not changed.",
    "{the}{n} {at} {was} also present in the earlier examination.",
)
_CHANGED = (
    "Compared to the previous CT, {the}{n} {at} {has} increased.",
    "{the}{n} {at} {has} regressed since the previous examination.",
)
# What neither grows nor goes between two scans.
_LASTING = ("medical device", "arterial calcification", "coronary calcification", "fibrotic band", "hiatal hernia")
_FOCAL = ("nodule", "mass", "lymphadenopathy")


def positive(f: Finding, rng: np.random.Generator, *, lobe_named: bool = False) -> str:
    """A sentence that says the finding is there; `lobe_named` as in `where`."""
    name, short = name_of(f, rng), short_place(f, rng)
    if rng.random() < 0.06:
        template, name = str(rng.choice(_KNOWN)), name.bare()
    elif f.kind in _FOCAL and f.size_mm and rng.random() < 0.35:
        template = str(rng.choice(_SHORT_SIZED if short and rng.random() < 0.3 else _SIZED))
    else:
        template = str(rng.choice(_SHORT if short and rng.random() < 0.22 else _POSITIVE))
    return _fill(template, name, where(f, rng, lobe_named=lobe_named), short, f.size_mm)


def together(first: Finding, second: Finding, rng: np.random.Generator) -> str:
    """A sentence that says of two findings that they are there, each with its place."""
    names = [name_of(f, rng, plain=rng.random() < 0.5) for f in (first, second)]
    one, two = (f"{name.article}{name.words}" for name in names)
    same = first.lobe == second.lobe and first.side == second.side
    here, there = where(first, rng, lobe_named=True), where(second, rng, lobe_named=True)
    template = str(rng.choice(_TOGETHER_HERE if same else _TOGETHER))
    return _finished(template.format(one=one, two=two, here=here, there=there))


def denied_there(f: Finding, rng: np.random.Generator) -> str:
    """A sentence that says that there is nothing of a finding's kind in its lobe or on its side."""
    return _fill(str(rng.choice(_NEGATED_THERE)), absent_name(f.kind, rng), where(f, rng, lobe_named=True), "", 0)


def uncertain(f: Finding, rng: np.random.Generator) -> str:
    """A sentence that says the finding may be there."""
    name = name_of(f, rng, plain=rng.random() < 0.7).bare()
    return _fill(str(rng.choice(_UNCERTAIN)), name, where(f, rng), "", 0)


def comparison(f: Finding, rng: np.random.Generator) -> str:
    """A sentence that sets the finding beside an earlier scan."""
    templates = _UNCHANGED if f.kind in _LASTING else (*_UNCHANGED, *_CHANGED)
    return _fill(str(rng.choice(templates)), name_of(f, rng, plain=True).bare(), where(f, rng), "", 0)


def negated(kinds: Sequence[str], rng: np.random.Generator) -> str:
    """A sentence that says that none of one to three kinds is there."""
    names = [absent_name(kind, rng) for kind in kinds]
    places = ("", "", "in both lungs") if kinds[0] not in _MIDLINE_KINDS else ("",)
    templates = {1: _NEGATED, 2: _NEGATED_TWO, 3: _NEGATED_THREE}[len(names)]
    template = str(rng.choice(templates))
    for slot, name in zip("mo", names[1:], strict=False):
        template = template.replace("{" + slot + "}", name.words)
    return _fill(template, names[0], str(rng.choice(places)), "", 0)


_MIDLINE_KINDS = (
    "lymphadenopathy", "cardiomegaly", "pericardial effusion", "arterial calcification", "coronary calcification",
    "hiatal hernia", "medical device", "pleural effusion", "pneumothorax",
)  # fmt: skip


def _fill(template: str, name: Name, at: str, short: str, size_mm: float) -> str:
    size = max(1, round(size_mm))
    text = template.format(
        n=name.words,
        a=name.article,
        the="the ",
        at=at,
        short=short,
        be="are" if name.plural else "is",
        was="were" if name.plural else "was",
        has="have" if name.plural else "has",
        size=size,
        less=max(1, round(size * 0.8)),
        cm=f"{size / 10:.1f}",
        cm_less=f"{max(1, round(size * 0.8)) / 10:.1f}",
    )
    return _finished(text)


def _finished(text: str) -> str:
    text = " ".join(text.split())
    for wrong, right in ((" .", "."), (" ,", ","), (",.", "."), ("? ", "?"), ("no an ", "no "), ("no a ", "no ")):
        text = text.replace(wrong, right)
    text = text.lstrip(", ")
    return text[0].upper() + text[1:]
