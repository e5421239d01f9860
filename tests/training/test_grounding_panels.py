"""The picture of a grounding run: which sentences are in it, and that outline and heat are where mask and map are."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from chests import affine_of, chest_hu, volume_of
from masked_scans import write_table
from matplotlib.image import imread
from simcrop_training.evaluate.grounding_benchmark.command import Ground
from simcrop_training.evaluate.grounding_benchmark.controls import MODEL
from simcrop_training.evaluate.grounding_benchmark.masks import Region
from simcrop_training.evaluate.grounding_benchmark.measure import Measured
from simcrop_training.evaluate.grounding_benchmark.panels import Panel, Shown, chosen, numbered, panels_figure
from simcrop_training.evaluate.grounding_benchmark.tables import Asked

from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.heatmap import ColourScale, Heatmap

SHAPE = (100, 70, 80)
CYAN = np.array([0.0, 0xE5 / 255, 1.0])


def sentence(dice, away=10.0, *, empty=False):
    rows = {} if empty else {MODEL: {"dice_at_size": dice, "distance_mm": away}}
    return Measured("A nodule.", "nodule", 1.0, "located", True, False, False, rows)


def asked(*rows):
    return [Asked("scan", "patient", row) for row in rows]


def test_sentences_keep_their_number_beside_empty_masks():
    found = numbered(asked(sentence(0.1), sentence(0.0, empty=True), sentence(0.3)))
    assert list(found) == [("scan", 0), ("scan", 2)]


def test_best_median_and_worst_are_those_of_the_mean_over_models():
    one = numbered(asked(sentence(0.9), sentence(0.2), sentence(0.5), sentence(0.0, 90.0), sentence(0.0, 20.0)))
    other = numbered(asked(sentence(0.1), sentence(0.2), sentence(0.7), sentence(0.0, 5.0), sentence(0.0, math.nan)))
    # Means: 0.5, 0.2, 0.6, 0, 0; of the last two the one with a distance is better.
    assert chosen({"a": one, "b": other}) == {"best": ("scan", 2), "median": ("scan", 1), "worst": ("scan", 4)}
    assert chosen({"a": numbered(asked(sentence(0.4)))}) == {"best": ("scan", 0)}
    assert chosen({"a": numbered(asked(sentence(0.4))), "b": {}}) == {}


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (-1, 1, -1)])
def test_the_outline_is_that_of_the_masks_largest_slice_the_right_on_the_left(signs):
    affine = affine_of(signs=signs, spacing=(4, 4, 4), shape=SHAPE)
    volume = volume_of(chest_hu, affine, SHAPE)
    centres = apply(affine, np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1))
    # In the patient's left lung: a thin rod, and on one level a plate.
    rod = (np.abs(centres[..., 0] + 60) < 7) & (np.abs(centres[..., 1]) < 7) & (np.abs(centres[..., 2]) < 60)
    plate = (np.abs(centres[..., 0] + 60) < 31) & (np.abs(centres[..., 1]) < 23) & (np.abs(centres[..., 2] - 22) < 2.5)
    region = Region(rod | plate, affine)
    scores = np.zeros((8, 8, 8), np.float32)
    scores[2, 4, 4] = 0.9
    heatmap = Heatmap(scores, affine_of(spacing=(24, 24, 24), shape=(8, 8, 8), centre=(0, 0, 20)), "")
    figures = {"dice_at_size": 0.5, "distance_mm": 0.0}
    shown = [
        Shown(name, heatmap, ColourScale(0.2, 0.8), drawn, "located", figures)
        for name, drawn in (("one", True), ("two", False))
    ]
    page = panels_figure([Panel("best", "A plate.", volume, region, shown)])
    assert len(page.axes) == 3
    expected = centres[plate]
    for axes in page.axes:
        left, right = axes.get_xlim()
        assert left > right  # R at the left edge
        vertices = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
        np.testing.assert_allclose(vertices.min(axis=0), expected.min(axis=0)[:2] - 2, atol=1.5)
        np.testing.assert_allclose(vertices.max(axis=0), expected.max(axis=0)[:2] + 2, atol=1.5)
    said = [[text.get_text() for text in axes.texts] for axes in page.axes]
    assert all(words[:2] == ["R", "L"] for words in said)
    assert "nothing drawn" in said[2][-1]
    assert "nothing drawn" not in said[1][-1]
    plain, heated, silent = (np.asarray(axes.images[0].get_array()) for axes in page.axes)
    assert (plain == silent).all()
    tinted = np.abs(heated - plain).max(axis=-1) > 0.05
    columns = np.linspace(*page.axes[1].get_xlim(), tinted.shape[1])[tinted.any(axis=0)]
    assert columns.max() < 12  # heat on the patient's left alone, where the patch is


def test_the_command_shows_them_on_its_page(tmp_path, coarse_chest, bright_finder):
    rows = [(f"p{n}", side, f"There is a mass in the {side} lung.") for n, side in enumerate(("left", "right", "left"))]
    table = write_table(tmp_path, coarse_chest, rows)
    Ground(table, tmp_path / "out", (str(bright_finder),)).run()
    assert "![Best, median and worst sentence](panels.png)" in (tmp_path / "out/results.md").read_text()
    picture = imread(tmp_path / "out/panels.png")[..., :3]
    outlined = np.abs(picture - CYAN).max(axis=-1) < 0.1
    halves = np.array_split(outlined, 2, axis=1)
    assert all(half.sum() > 100 for half in halves)  # on the reference and on the model's picture
    assert set(json.loads((tmp_path / "out/results.json").read_text())) >= {"models", "notice"}
