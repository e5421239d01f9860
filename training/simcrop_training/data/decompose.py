"""A report to what it says of each organ: by rules, from files, or by anything that can be called."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from simcrop_core.text.assertion import polarity_of
from simcrop_core.text.lexicon import finding_mentions
from simcrop_core.text.rules import rule
from simcrop_core.text.sentences import split_sentences
from simcrop_training.data.anatomies import mentioned
from simcrop_training.engine.errors import UnusableOrganTexts

NormalRule = Literal["impression", "lexical"]
_DROPPED = str.maketrans("", "", "\"'()")


class Said(NamedTuple):
    """What the sections of a report say of one organ; "" where they do not speak of it."""

    impression: str
    findings: str


class ReportDecomposer(Protocol):
    """Some way to tell which words of a report are about which organ."""

    def decompose(self, findings: str, impression: str, study: str) -> Mapping[str, Said]:
        """By organ; those that the report does not speak of are left out.

        Args:
            findings: the section as written.
            impression: the section as written.
            study: the data set's key of the examination, "" where it has none.
        """


class RuleDecomposer:
    """Each sentence to every organ that it has a word of (`anatomies.mentioned`), in the report's order."""

    def decompose(self, findings: str, impression: str, _study: str) -> Mapping[str, Said]:
        """See `ReportDecomposer`."""
        of_impression, of_findings = (self._by_organ(section) for section in (impression, findings))
        return {
            organ: Said(" ".join(of_impression.get(organ, ())), " ".join(of_findings.get(organ, ())))
            for organ in sorted(of_impression.keys() | of_findings.keys())
        }

    def _by_organ(self, section: str) -> dict[str, list[str]]:
        said: dict[str, list[str]] = {}
        for sentence in split_sentences(section):
            for organ in mentioned(sentence):
                said.setdefault(organ, []).append(sentence)
        return said


class JsonDecomposer:
    """Decompositions that were made elsewhere: two files, each {study: {organ: text}}.

    Args:
        findings: of the section Findings, such as fVLM's desc_info.json.
        impression: of the section Impression, such as its conc_info.json.

    Raises:
        UnusableOrganTexts: one cannot be read, or holds something else.
    """

    def __init__(self, findings: Path, impression: Path) -> None:
        self._files = f"{findings.name} and {impression.name}"
        self._findings, self._impression = _texts_in(findings), _texts_in(impression)

    def decompose(self, _findings: str, _impression: str, study: str) -> Mapping[str, Said]:
        """See `ReportDecomposer`.

        Raises:
            UnusableOrganTexts: neither file knows the study.
        """
        if study not in self._findings and study not in self._impression:
            raise UnusableOrganTexts(
                f"The study {study!r} is neither in {self._files}.",
                hint='Add it, with {} where the report speaks of no organ: "train_7_a": {}.',
            )
        desc, conc = self._findings.get(study, {}), self._impression.get(study, {})
        return {organ: Said(conc.get(organ, ""), desc.get(organ, "")) for organ in sorted(desc.keys() | conc.keys())}


class CalledDecomposer:
    """A function of findings and impression, such as one that asks a language model."""

    def __init__(self, function: Callable[[str, str], Mapping[str, tuple[str, str]]]) -> None:
        self._function = function

    def decompose(self, findings: str, impression: str, _study: str) -> Mapping[str, Said]:
        """See `ReportDecomposer`; the function gives (impression, findings) by organ."""
        return {organ: Said(*said) for organ, said in self._function(findings, impression).items()}


@dataclass(frozen=True, slots=True)
class OrganText:
    """What an organ is compared with.

    Attributes:
        whole: impression, or a sentence that says that nothing is wrong, and findings: what decides whether two texts
            are the same.
        encoded: what is given to the text encoder: findings alone, where there is no impression.
        normal: whether nothing is wrong with it.
    """

    whole: str
    encoded: str
    normal: bool


def organ_text(organ: str, said: Said, normal_rule: NormalRule) -> OrganText:
    """Put together what a report says of an organ.

    Args:
        organ: its name.
        said: of it.
        normal_rule: "impression": it is normal where the impression does not speak of it, whatever the findings say;
            "lexical": where no sentence asserts a finding, or a doubtful one.
    """
    template = f"{organ} shows no significant abnormalities."
    impression, findings = said.impression.strip(), said.findings.strip()
    if impression and not impression.endswith("."):
        impression += "."
    whole = _plain(f"{impression or template} {findings}")
    encoded = _plain(findings) if findings and not impression else whole
    if normal_rule == "impression":
        return OrganText(whole, encoded, normal=whole.startswith(template))
    spoken = split_sentences(f"{impression}\n{findings}")
    return OrganText(whole, encoded, normal=not any(map(asserts_finding, spoken)))


def asserts_finding(sentence: str) -> bool:
    """Whether a sentence says of something abnormal that it is, or may be, there; "The trachea is central" does not."""
    plain = sentence.lower()
    names_one = bool(finding_mentions(plain)) or rule("not_normal").search(plain) is not None
    return names_one and polarity_of(sentence) in ("positive", "uncertain")


def _plain(text: str) -> str:
    return " ".join(text.translate(_DROPPED).split())


def _texts_in(path: Path) -> dict[str, dict[str, str]]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise UnusableOrganTexts(f"{path} cannot be read: {fault}.", hint="It is {study: {organ: text}}.") from fault
    inner = content.values() if isinstance(content, dict) else [None]
    if not all(isinstance(texts, dict) and all(isinstance(t, str) for t in texts.values()) for texts in inner):
        raise UnusableOrganTexts(f"{path} is not {{study: {{organ: text}}}}.", hint="Each organ has one text.")
    texts_by_study: dict[str, dict[str, str]] = content
    return texts_by_study
