"""The picture of a sentence: what is drawn where, and what is not drawn at all."""

from __future__ import annotations

import dataclasses

import matplotlib.pyplot
import nibabel
import numpy as np
import pytest
from matplotlib.patches import Polygon
from PIL import Image

from simcrop_core.errors import CannotWrite
from simcrop_core.export.figure import AMBER, figure, write_figure
from simcrop_core.export.overlay import tinted
from simcrop_core.imaging.heatmap import Heatmap
from simcrop_core.imaging.volume import Volume


def pictures(page):
    return [axes.get_images()[0].get_array() for axes in page.axes[:3]]


def coloured(picture):
    return np.ptp(picture, axis=-1) > 0.02


def words(page):
    return "\n".join(text.get_text() for text in page.texts)


def pixel_ras(axes, mask):
    """Mean (across, down) patient coordinates of a picture's pixels."""
    rows, columns = mask.shape
    left, right, bottom, top = axes.get_images()[0].get_extent()
    row, column = np.argwhere(mask).mean(axis=0) + 0.5
    return left + (right - left) * column / columns, top + (bottom - top) * row / rows


@pytest.fixture(scope="module")
def drawn(chest, heatmap, located, scale):
    return figure(chest, heatmap, located, scale)


def test_heat_and_mass_are_in_the_same_place_of_every_plane(drawn, located):
    x, y, z = located.peak_ras_mm
    for axes, picture, place in zip(drawn.axes, pictures(drawn), ((x, y), (x, z), (y, z)), strict=False):
        np.testing.assert_allclose(pixel_ras(axes, coloured(picture)), place, atol=3)


def test_the_patients_left_is_on_the_right_of_the_picture(drawn):
    """The mass is in the left lung, behind and low: to the right of the middle and below it in each plane."""
    for picture in pictures(drawn):
        row, column = np.argwhere(coloured(picture)).mean(axis=0)
        assert column > 0.55 * picture.shape[1]
        assert row > 0.55 * picture.shape[0]


def test_the_best_patch_is_outlined_in_every_plane(drawn, located):
    x, y, z = located.peak_ras_mm
    for axes, place in zip(drawn.axes, ((x, y), (x, z), (y, z)), strict=False):
        (outline,) = [patch for patch in axes.patches if isinstance(patch, Polygon)]
        corners = outline.get_xy()[:-1]
        np.testing.assert_allclose(corners.mean(axis=0), place, atol=1e-6)
        np.testing.assert_allclose(np.ptp(corners, axis=0), (24, 24), atol=1e-6)


def test_planes_are_drawn_in_true_proportions_at_one_scale(drawn):
    inches_per_mm = []
    for axes in drawn.axes[:3]:
        left, right, bottom, top = axes.get_images()[0].get_extent()
        box = axes.get_position()
        width, height = drawn.get_size_inches() * (box.width, box.height)
        inches_per_mm += [width / (left - right), height / (top - bottom)]
    np.testing.assert_allclose(inches_per_mm, inches_per_mm[0], rtol=1e-6)


def test_the_title_has_the_sentence_and_its_facts(drawn):
    title = words(drawn)
    for part in ("A mass in the left lower lobe.", "located", "score 0.41", "rank 12 of 500", "72 L, 24 P, 36 I"):
        assert part in title
    assert "± 12 mm" in title


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"polarity": "negated"}, "Negated"),
        ({"polarity": "normal"}, "Normal"),
        ({"evidence": "not located"}, "Not located"),
        ({"evidence": "outside field of view"}, "Outside the field of view"),
        ({"evidence": "not groundable"}, "Not groundable"),
    ],
)
def test_what_is_absent_or_not_found_lights_nothing_up(chest, heatmap, located, scale, change, said):
    page = figure(chest, heatmap, dataclasses.replace(located, **change), scale)
    assert not any(coloured(picture).any() for picture in pictures(page))
    assert not any(axes.patches for axes in page.axes)
    assert said in words(page)
    assert "peak" not in words(page)


def test_a_map_below_the_threshold_lights_nothing_up(chest, heatmap, located, scale):
    faint = Heatmap(heatmap.scores - np.float32(0.3), heatmap.affine, heatmap.text)
    page = figure(chest, faint, located, scale)
    assert not any(coloured(picture).any() for picture in pictures(page))
    assert "below the threshold" in words(page)


def test_negated_sentences_are_drawn_on_request(chest, heatmap, negated, scale):
    page = figure(chest, heatmap, negated, scale, draw_absent=True)
    assert coloured(pictures(page)[0]).any()


def test_a_score_has_the_same_colour_in_every_map(scale):
    """Never stretched to a map's own maximum."""
    grey = np.full((1, 2), 0.4, dtype=np.float32)
    weak, strong = (tinted(grey, np.array([[0.3, top]], dtype=np.float32), scale) for top in (0.31, 0.9))
    np.testing.assert_array_equal(weak[0, 0], strong[0, 0])
    below = tinted(grey, np.array([[0.2499, np.nan]], dtype=np.float32), scale)
    np.testing.assert_allclose(below, 0.4, atol=1e-6)


def test_the_colour_grows_lighter_along_the_scale_on_any_ct(scale):
    """Readable without colour vision: luminance only rises, over lung and over bone."""
    scores = np.linspace(scale.low, scale.high, 50, dtype=np.float32)[None]
    for grey in (0.2, 0.6):
        luminance = tinted(np.full_like(scores, grey), scores, scale)[0] @ (0.2126, 0.7152, 0.0722)
        assert (np.diff(luminance) > 0).all()


def test_the_colour_bar_shows_the_fixed_scale(chest, heatmap, located, scale):
    hotter = Heatmap(heatmap.scores * np.float32(1.8), heatmap.affine, heatmap.text)
    for page in (figure(chest, heatmap, located, scale), figure(chest, hotter, located, scale)):
        bar = page.axes[3]
        assert bar.get_ylim() == (scale.low, scale.high)
        assert bar.get_ylabel() == "cosine similarity (not a probability)"
        assert [label.get_text() for label in bar.get_yticklabels()] == ["0.25", "0.40", "≥ 0.55"]


def test_a_side_conflict_is_marked_in_amber(chest, heatmap, located, scale):
    page = figure(chest, heatmap, dataclasses.replace(located, side="right", side_conflict=True), scale)
    (mark,) = [text for text in page.texts if "Side conflict" in text.get_text()]
    assert mark.get_color() == AMBER
    assert "says right, the peak is on the left" in mark.get_text()


def test_a_long_sentence_is_wrapped_and_keeps_its_dollars(chest, heatmap, located, scale, tmp_path):
    text = r"A nodule $\frac{1}{ & <b> " + "next to the fissure and " * 60
    page = figure(chest, heatmap, dataclasses.replace(located, text=text), scale)
    page.savefig(tmp_path / "long.png", dpi=50)
    lines = [line.get_text() for line in page.texts]
    assert lines[0].startswith(r"A nodule $\frac{1}{ & <b> next")
    assert lines[3].endswith("…")
    assert len(lines) == 5
    assert all(len(line) <= 92 for line in lines)


def test_a_volume_of_any_shape_has_a_figure(located, scale, tmp_path):
    """A slab of three slices, and one without any body in it."""
    for value, shape in ((40, (40, 40, 3)), (-1000, (5, 4, 6))):
        volume = Volume(np.full(shape, value, dtype=np.int16), np.diag([4.0, 4.0, 5.0, 1.0]))
        nowhere = dataclasses.replace(located, evidence="not groundable", peak_ras_mm=None)
        write_figure(tmp_path / "figure.png", volume, None, nowhere, scale)


def test_the_file_is_a_picture_of_that_format_or_an_error(chest, heatmap, located, scale, tmp_path):
    write_figure(tmp_path / "figure.png", chest, heatmap, located, scale)
    with Image.open(tmp_path / "figure.png") as picture:
        assert picture.format == "PNG"
        assert picture.width == 1800
    with pytest.raises(CannotWrite) as caught:
        write_figure(tmp_path / "figure.docx", chest, heatmap, located, scale)
    assert ".png" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
    assert matplotlib.pyplot.get_fignums() == []


def test_a_real_mass_is_on_the_side_it_was_read(real_ct, heatmap, located, scale):
    """LIDC-IDRI-0001: four radiologists outlined a mass at LPS (56, 86, -116), in the left lower lobe."""
    image = nibabel.load(real_ct("LIDC-IDRI-0001/ct.nii.gz"))
    volume = Volume(np.asarray(image.dataobj), image.affine)
    mass = (-56.4, -86.3, -116.0)
    affine = np.diag([24.0, 24.0, 24.0, 1.0])
    affine[:3, 3] = np.array(mass) - 24 * np.array([3, 5, 4])
    sentence = dataclasses.replace(located, peak_ras_mm=mass)
    axial = pictures(figure(volume, Heatmap(heatmap.scores, affine, ""), sentence, scale))[0]
    row, column = np.argwhere(coloured(axial)).mean(axis=0)
    assert column > axial.shape[1] / 2
    assert row > axial.shape[0] / 2
    plain = pictures(figure(volume, Heatmap(heatmap.scores, affine, ""), sentence, dataclasses.replace(scale, low=0.5)))
    assert plain[0][int(row), int(column)].mean() > 0.85, "solid tissue where the mass is"
