"""The rules against sentences written by hand, each with what a reader would say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from simcrop_core.text.report import parse_sentence

_TABLE = Path(__file__).with_name("sentence_table.txt")


def _rows() -> list[tuple[str, ...]]:
    lines = _TABLE.read_text(encoding="utf-8").splitlines()
    return [tuple(cell.strip() for cell in line.split("|")) for line in lines if line and not line.startswith("#")]


def test_the_table_has_at_least_a_hundred_sentences():
    sentences = [row[-1] for row in _rows()]
    assert len(set(sentences)) == len(sentences) >= 100


@pytest.mark.parametrize(("polarity", "kind", "side", "lobe", "sentence"), _rows(), ids=lambda cell: cell[:60])
def test_a_sentence_reads_as_a_reader_would_read_it(polarity, kind, side, lobe, sentence):
    statement = parse_sentence(sentence)
    said = "*" if polarity == "*" else statement.polarity
    read = (said, statement.kind, statement.side or "-", statement.lobe or "-")
    assert read == (polarity, kind, side, lobe)
