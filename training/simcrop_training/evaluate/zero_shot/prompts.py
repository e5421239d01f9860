"""The prompt sets that zero-shot figures are published with, and this project's own sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from simcrop_core.text.ct_rate import CT_RATE_LABELS
from simcrop_core.text.findings import finding_sentences
from simcrop_training.objectives.fvlm_zero_shot import PROMPTS as ORGAN_PROMPTS

PromptSetName = Literal["ctclip", "ctclip_trainer", "fvlm", "hlip", "phrases"]


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is asked about one label; similarities of several are averaged.

    Attributes:
        positive: say that it is there.
        negative: deny it.
    """

    positive: tuple[str, ...]
    negative: tuple[str, ...]


def prompts_of(name: PromptSetName) -> dict[str, Prompts]:
    """The prompts of every CT-RATE label (docs/benchmarks/zero-shot.md says whose they are)."""
    return _SETS[name]()


def _of_form(positive: str, negative: str) -> dict[str, Prompts]:
    return {
        label: Prompts(
            (positive.format(label=label, lower=label.lower()),), (negative.format(label=label, lower=label.lower()),)
        )
        for label in CT_RATE_LABELS
    }


def _fvlm() -> dict[str, Prompts]:
    """With its own words for a label where it has them; it asks organs, other methods whole scans."""
    words = {prompt.label: prompt.words for prompt in ORGAN_PROMPTS}
    return {
        label: Prompts((f"{words.get(label, label)}.",), (f"Not {words.get(label, label)}.",))
        for label in CT_RATE_LABELS
    }


def _phrases() -> dict[str, Prompts]:
    """Several phrases a label, as Merlin asks; the sentences are those of `simcrop findings`."""
    return {
        finding.label: Prompts(
            tuple(statement.text for statement in finding.positive),
            tuple(statement.text for statement in finding.negated),
        )
        for finding in finding_sentences()
    }


_SETS: dict[PromptSetName, Callable[[], dict[str, Prompts]]] = {
    "ctclip": lambda: _of_form("{label} is present.", "{label} is not present."),
    "ctclip_trainer": lambda: _of_form("There is {label}.", "There is no {label}."),
    "fvlm": _fvlm,
    "hlip": lambda: _of_form("The volume shows: {lower}.", "The volume shows: not {lower}."),
    "phrases": _phrases,
}
