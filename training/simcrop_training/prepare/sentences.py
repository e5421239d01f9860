"""Every sentence of a data set once, and each study's as rows of that list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simcrop_core.text.sentences import split_sentences
from simcrop_training.datasets.study import SourceStudy
from simcrop_training.store.records import Section, Sentence


@dataclass(frozen=True, slots=True)
class SentenceTable:
    """The sentences of a data set.

    Attributes:
        texts: every text once, sorted, so that the same reports give the same table.
        by_study: the sentences of each study, by its key.
        spoken: sentences of all reports together.
    """

    texts: tuple[str, ...]
    by_study: Mapping[str, tuple[Sentence, ...]]
    spoken: int


def sentence_table(studies: Sequence[SourceStudy]) -> SentenceTable:
    """Split all reports; a sentence that a section repeats counts once in it."""
    split: dict[str, list[tuple[str, Section]]] = {}
    for study in studies:
        findings = dict.fromkeys(split_sentences(study.findings))
        impression = dict.fromkeys(split_sentences(study.impression))
        split[study.key] = [(text, "findings") for text in findings] + [(text, "impression") for text in impression]
    texts = tuple(sorted({text for said in split.values() for text, _ in said}))
    rows = {text: row for row, text in enumerate(texts)}
    by_study = {key: tuple(Sentence(text, where, rows[text]) for text, where in said) for key, said in split.items()}
    return SentenceTable(texts, by_study, sum(map(len, by_study.values())))
