"""Figures of any benchmark beside published ones, as Markdown and LaTeX, and their pictures."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from simcrop_training.evaluate.plots import label_bars, roc_curves, save, sweep
from simcrop_training.evaluate.published import published
from simcrop_training.evaluate.statistics import label_rows
from simcrop_training.evaluate.summary import ENTRIES, Entry, NoResults, as_json, read_entries, summarised
from simcrop_training.evaluate.written import RESULTS


def entry(
    model: str, value: float, column: str = "ct-rate 1 %", lo: float = math.nan, hi: float = math.nan, **more: str
) -> Entry:
    told = {"data": "20 synthetic scans", **more}
    return Entry("linear_probe", column, model, "clean", "AUROC", value, lo, hi, **told)


def test_published_tables_are_whole() -> None:
    for name in ("linear_probe", "segmentation", "ablation", "zero_shot"):
        table = published(name)
        assert len(table.columns) == len(table.metrics)
        assert all(len(figures) == len(table.columns) for figures in table.rows.values())
    assert published("linear_probe").figure("simcrop", "rad-chestct 100 %") == 75.8
    assert published("segmentation").figure("mrm", "btcv") == 80.3
    assert published("zero_shot").figure("mrm", "ct-rate") is None


def test_measured_figures_stand_beside_published_ones_in_the_order_of_the_paper() -> None:
    (table,) = summarised([entry("simcrop", 0.7123, "rad-chestct 10 %"), entry("simcrop", 0.65, lo=0.6, hi=0.71)])
    assert table.head == ("model", "ct-rate 1 %, AUROC", "rad-chestct 10 %, AUROC")
    assert table.rows[0] == ("simcrop, clean", "65.0 (60.0–71.0)", "71.2")
    assert ("simcrop, as published", "81.0", "73.4") in table.rows
    assert "not a comparison" in table.markdown()
    assert "20 synthetic scans" in table.markdown()
    assert "pleural effusion twice" in table.markdown()


def test_seeds_of_a_model_share_a_cell_with_their_spread() -> None:
    (table,) = summarised(
        [entry("mrm", v, training="a", seeds=s) for v, s in ((0.5, "1"), (0.6, "2"), (math.nan, "3"))]
    )
    assert table.rows[0] == ("mrm, clean", "55.0 ± 7.1")


def test_runs_of_one_method_by_several_recipes_are_rows_of_their_own() -> None:
    long = {"training": "a", "recipe": "paper, 9000 steps"}
    short = {"training": "b", "recipe": "paper, 90 steps"}
    (table,) = summarised(
        [
            entry("mrm", 0.5, seeds="1", **long),
            entry("mrm", 0.9, seeds="1", **short),
            entry("mrm", 0.6, seeds="2", **long),
            entry("mae3d", 0.4, training="c", recipe="mae3d, 90 steps"),
        ]
    )
    assert table.rows[:3] == (
        ("mrm (paper, 9000 steps), clean", "55.0 ± 7.1"),
        ("mrm (paper, 90 steps), clean", "90.0"),
        ("mae3d, clean", "40.0"),
    )
    assert "± is over seeds of one recipe" in table.markdown()
    same_words = summarised([entry("mrm", v, training=t, recipe="paper") for v, t in ((0.5, "1234567890"), (0.6, "b"))])
    assert [row[0] for row in same_words[0].rows[:2]] == ["mrm (paper, 12345678), clean", "mrm (paper, b), clean"]


def test_what_is_no_other_seed_is_not_averaged() -> None:
    """The same result given twice counts once; other scans, or the same seed with another figure, stand apart."""
    first = entry("mrm", 0.5, training="a", seeds="1")
    figures = [first, first, replace(first, value=0.7), replace(first, seeds="2", data="9 scans")]
    (table,) = summarised(figures)
    assert table.rows[0] == ("mrm, clean", "50.0 / 70.0 / 50.0")


def test_latex_escapes_what_latex_reads_as_its_own() -> None:
    (table,) = summarised([entry("simcrop_plus", 0.5)])
    text = table.latex()
    assert r"simcrop\_plus, clean & 50.0 \\" in text
    assert r"ct-rate 1 \%, AUROC" in text
    assert text.count("&") == len(table.rows) + 1


def test_entries_come_back_as_they_were_written(tmp_path: Path) -> None:
    entries = [entry("a", 0.5), entry("b", math.nan, lo=0.1, hi=0.2)]
    (tmp_path / RESULTS).write_text(json.dumps({ENTRIES: as_json(entries)}), encoding="utf-8")
    for kept, written in zip(read_entries(tmp_path), entries, strict=True):
        assert str(kept) == str(written)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"entries": [{"model": "a"}]}', '{"entries": 3}'])
def test_what_is_no_result_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / RESULTS).write_text(content, encoding="utf-8")
    with pytest.raises(NoResults, match="holds no results"):
        read_entries(tmp_path)


def test_pictures_show_every_model_and_say_where_there_is_no_area(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (40, 3))
    truth[:, 0] = 1
    scores = {name: rng.random((40, 3)) for name in ("random", "simcrop")}
    labels, patients = ["Emphysema", "Atelectasis", "Lung nodule"], [str(i) for i in range(40)]
    rows = {name: label_rows(labels, its, truth, patients, rounds=20).rows for name, its in scores.items()}
    bars = label_bars(rows, title="synthetic")
    legend = bars.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["random", "simcrop"]
    assert [note.get_text() for note in bars.axes[0].texts] == ["no area"]
    heights = [bar.get_height() for bar in bars.axes[0].patches[:3] if isinstance(bar, Rectangle)]
    assert heights == pytest.approx([0, rows["random"][1].auroc, rows["random"][2].auroc])
    curves = roc_curves(scores, truth, labels, title="synthetic")
    assert [len(axes.lines) for axes in curves.axes] == [1, 3, 3]
    assert [text.get_text() for text in curves.legends[0].get_texts()] == ["random", "simcrop"]
    points = sweep([16, 64], {"AUROC": [0.7, 0.8]}, axis="patches a sentence", title="synthetic")
    assert points.axes[0].lines[0].get_ydata() == pytest.approx([0.7, 0.8])
    save(bars, tmp_path / "bars.png")
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")
