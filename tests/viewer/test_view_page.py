"""The page as a reader uses it, in a real browser: what is asked, and what is seen then."""

from __future__ import annotations

import gzip
import io
import json
import time
import zipfile

import nibabel
import numpy as np
import pytest
from page_hand import REPORT
from PIL import Image

SENTENCES = "Sentences of the report"


def sliders(page):
    return [
        float(page.tab.get_by_label(f"{view} slice, mm").input_value()) for view in ("Axial", "Coronal", "Sagittal")
    ]


def choose(page, sentence):
    page.section("Report").tab.locator(f'table[aria-label="{SENTENCES}"] tr', has_text=sentence).click()


@pytest.fixture
def reported(page):
    """The page with the report, whichever tests ran before."""
    if len(page.rows(SENTENCES)) != 4:
        page.paste(REPORT, rows=4)
    return page


def test_four_views_show_the_scan_and_windows_change_it(page):
    page.tab.get_by_role("button", name="Lung", exact=True).click()
    page.until(lambda: np.ptp(page.picture("Axial")) > 100, "a scan in the axial view")
    for view in ("Coronal", "Sagittal"):
        assert np.ptp(page.picture(view)) > 100
    lung = np.median(page.picture("Coronal"))
    page.tab.get_by_role("button", name="Bone").click()
    page.until(lambda: abs(np.median(page.picture("Coronal")) - lung) > 15, "another window")
    page.tab.get_by_role("button", name="Lung", exact=True).click()
    page.until(lambda: abs(np.median(page.picture("Coronal")) - lung) < 5, "the first window again")


def test_one_view_alone_and_four_again(page):
    buttons = page.tab.get_by_role("group", name="Layout")
    buttons.get_by_role("button", name="Sagittal").click()
    page.until(lambda: page.tab.locator(".simcrop-views img").count() == 1, "one view")
    assert page.tab.get_by_label("Sagittal slice, mm").count() == 1
    buttons.get_by_role("button", name="Four-up").click()
    page.until(lambda: page.tab.locator(".simcrop-views img").count() == 4, "four views")


def test_letters_say_which_side_of_the_patient_is_where(reported):
    """A click further along an edge's letter lies further on that side of the patient."""
    page = reported.section("What is here?")
    axes = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    for view, place in (("Axial", 0), ("Coronal", 1), ("Sagittal", 2)):
        middle = page.clicked_at(view, 0.5, 0.5)
        for edge, across, down in (("left", 0.4, 0.5), ("right", 0.6, 0.5), ("top", 0.5, 0.4), ("bottom", 0.5, 0.6)):
            axis, sign = axes[page.tab.locator(f".simcrop-side-of.{edge}").nth(place).inner_text()]
            moved = np.subtract(page.clicked_at(view, across, down), middle)
            assert moved[axis] * sign > 3
            assert np.abs(np.delete(moved, axis)).max() < abs(moved[axis]) / 3


def test_a_report_becomes_rows_and_each_shows_its_place(page):
    page.paste(REPORT, rows=4)
    rows = page.rows(SENTENCES)
    assert [row[2] for row in rows] == ["positive", "negated", "positive", "positive"]
    assert rows[0][1] in ("● located", "◐ weak")
    assert float(rows[0][4]) > 0
    assert " of " in rows[0][5]
    choose(page, "Mass in the left lower lobe.")
    page.until(lambda: page.heated("Axial") > 50, "heat over the scan")
    page.pictured("report")
    page.until(lambda: at_rest(page), "the views have gone to the mass")
    before = sliders(page)
    choose(page, "No pleural effusion.")
    page.until(lambda: page.heated("Axial") == 0, "a negated sentence lights nothing up")
    assert sliders(page) == before, "and leaves the views where they are"


def at_rest(page):
    """Whether the views stay where they are for half a second."""
    before = sliders(page)
    time.sleep(0.5)
    return sliders(page) == before


def test_what_was_checked_of_the_scan_is_shown_with_the_first_answer(reported):
    reported.section("Scan").tab.locator('table[aria-label="Checks of the scan"]').wait_for()
    rows = reported.rows("Checks of the scan")
    codes = [row[0] for row in rows]
    assert {"affine", "spacing", "orientation", "hounsfield", "lungs", "left-right"} <= set(codes)
    assert {row[1] for row in rows} <= {"pass", "repaired", "warned"}
    assert all(row[2] for row in rows)
    assert all(row[3] for row in rows if row[1] == "warned")


def test_a_sentence_is_answered_in_grey_while_it_is_typed_and_kept_in_colour(page):
    box = page.section("Ask").tab.get_by_label("Type a sentence, Enter keeps it")
    box.fill("Mass in the left lower lobe")
    page.tab.get_by_text("· score").wait_for()
    assert page.heated("Axial") == 0, "grey"
    box.press("Enter")
    page.until(lambda: page.heated("Axial") > 50, "kept in colour")
    box.fill("")
    page.tab.get_by_text("· score").wait_for(state="detached")


@pytest.mark.slow
def test_opacity_threshold_and_colours_change_the_heat(reported):
    page = reported
    choose(page, "Mass in the left lower lobe.")
    page.until(lambda: page.heated("Axial") > 50, "heat")
    opacity = page.section("Heatmap").tab.get_by_role("slider", name="Opacity")
    as_it_was = opacity.input_value()
    opacity.fill("0")
    page.until(lambda: page.heated("Axial") == 0, "an opacity of 0 is drawn, though nothing else changes")
    opacity.fill("1")
    page.until(lambda: page.heated("Axial") > 50, "and not")
    plasma = page.picture("Axial")
    page.tab.get_by_role("button", name="viridis").click()
    page.until(lambda: np.abs(page.picture("Axial") - plasma).max() > 60, "other colours")
    page.tab.get_by_role("button", name="plasma").click()
    page.until(lambda: page.heated("Axial") > 50, "the first colours again")
    threshold = page.tab.get_by_role("slider", name="Hide below")
    threshold.focus()
    threshold.press("End")
    page.until(lambda: page.heated("Axial") < 20, "everything below the threshold is hidden")
    threshold.press("Home")
    page.until(lambda: page.heated("Axial") > 50, "and back")
    page.tab.get_by_label("Hide the heat").check()
    page.until(lambda: page.heated("Axial") == 0, "hidden")
    opacity.press("ArrowLeft")
    page.tab.wait_for_timeout(1000)
    assert page.heated("Axial") == 0, "hidden is hidden, whatever else is changed"
    choose(page, "Mass in the left lower lobe.")
    page.until(lambda: page.heated("Axial") > 50, "who chooses a sentence wants to see it")
    assert not page.tab.get_by_label("Hide the heat").is_checked()
    opacity.fill(as_it_was)


@pytest.mark.slow
def test_a_click_in_a_slice_ranks_the_sentences_for_that_place(reported):
    page = reported
    page.section("What is here?")
    before = sliders(page)
    page.click_in("Coronal", 0.55, 0.45)
    page.tab.locator('table[aria-label="Sentences ranked for this place"]').wait_for()
    rows = page.rows("Sentences ranked for this place")
    assert len(rows) >= 3
    assert all("% of the scan" in row[1] for row in rows)
    assert {row[2] for row in rows} == {"report"}
    page.until(lambda: sliders(page) != before, "the views go there")


@pytest.mark.slow
def test_segments_with_one_click_and_a_table_of_volumes(page):
    page.section("Segment").tab.get_by_role("button", name="Lungs", exact=True).click()
    page.tab.locator('table[aria-label="Volumes of the segments"]').wait_for()
    page.idle()
    rows = page.rows("Volumes of the segments")
    assert {row[0] for row in rows} >= {"left lung", "right lung"}
    assert all(float(row[1]) >= 0 for row in rows)
    labels = nibabel.Nifti1Image.from_bytes(gzip.decompress(page.download("Segmentation (NIfTI)")))
    assert labels.shape == page.scan.shape
    table = page.download("Volumes (CSV)").decode()
    assert table.splitlines()[0] == "structure,volume_ml,mean_hu"


@pytest.mark.slow
def test_findings_are_scored_and_each_shows_its_heatmap(page):
    page.section("Findings").tab.get_by_role("button", name="Score the findings").click()
    page.tab.locator('table[aria-label="Findings"]').wait_for()
    rows = page.rows("Findings")
    assert len(rows) == 18
    page.tab.locator('table[aria-label="Findings"] tbody tr').first.click()
    page.tab.locator('table[aria-label="Findings"] tr.chosen').wait_for()
    page.pictured("findings")


@pytest.mark.slow
def test_what_is_saved_can_be_read_again(reported):
    page = reported
    choose(page, "Mass in the left lower lobe.")
    heat = nibabel.Nifti1Image.from_bytes(gzip.decompress(page.download("Heatmap (NIfTI)")))
    assert heat.shape == (14, 14, 14)
    picture = Image.open(io.BytesIO(page.download("Picture (PNG)")))
    assert picture.size[0] > 500
    with zipfile.ZipFile(io.BytesIO(page.download("Everything (zip)"))) as results:
        names = {name.rsplit("/", 1)[-1] for name in results.namelist()}
        ground = json.loads(results.read(next(n for n in results.namelist() if n.endswith("ground.json"))))
    assert {"report.html", "01-heatmap.nii.gz"} <= names
    assert ground["sentences"][0]["text"] == "Mass in the left lower lobe."
    assert b"<html" in page.download("Report (HTML)")[:400].lower()


@pytest.mark.slow
def test_the_saved_scene_opens_in_slicers_data_model(reported, tmp_path):
    page = reported
    choose(page, "Mass in the left lower lobe.")
    page.until(lambda: page.heated("Axial") > 50, "heat")
    slicer_module = pytest.importorskip("bare_slicer", reason="needs the stand-ins of tests/slicer_module")
    file = tmp_path / "scene.mrb"
    file.write_bytes(page.download("Scene for Slicer (.mrb)"))
    from SimCroPSlicerLib import provenance

    scene = slicer_module.BareSlicer.loaded(file).scene
    heat = provenance.results_in(scene, "heatmap")
    assert any(provenance.fact(node, "sentence") == "Mass in the left lower lobe." for node in heat)
    assert provenance.source_of(heat[0]).GetName() == page.scan.file.name


@pytest.mark.slow
def test_arrows_go_through_sentences_and_slices(reported):
    page = reported
    choose(page, "Mass in the left lower lobe.")
    page.tab.keyboard.press("ArrowDown")
    page.tab.locator("tr.chosen", has_text="No pleural effusion.").wait_for()
    page.tab.keyboard.press("ArrowUp")
    page.tab.locator("tr.chosen", has_text="Mass in the left lower lobe.").wait_for()
    axial, *others = sliders(page)
    page.click_in("Axial", 0.5, 0.5)
    page.until(lambda: sliders(page)[1] != others[0] and sliders(page)[2] != others[1], "the place that was clicked")
    page.idle()
    page.tab.keyboard.press("ArrowRight")
    page.until(lambda: sliders(page)[0] > axial, "the next slice")
    for key, window in (("m", "Mediastinum"), ("l", "Lung")):
        page.tab.keyboard.press(key)
        page.tab.locator("button[aria-pressed=true]", has_text=window).wait_for()
    page.section("Ask").tab.get_by_label("Type a sentence, Enter keeps it").press("ArrowDown")
    assert page.tab.locator("tr.chosen", has_text="Mass in the left lower lobe.").count() == 1, "a box keeps its keys"


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1280, 800), (820, 1180)])
def test_everything_fits_and_every_control_has_a_name(reported, size):
    page = reported
    page.tab.set_viewport_size({"width": size[0], "height": size[1]})
    for title in ("Scan", "Ask", "Report", "Segment", "Findings", "What is here?", "Heatmap", "Save", "Engine"):
        page.section(title)
    page.tab.wait_for_timeout(500)
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= size[0]
    views = page.tab.locator(".simcrop-views").bounding_box()
    assert views["height"] > 380
    assert views["width"] > 600
    nameless = page.tab.evaluate(NAMELESS)
    assert nameless == []
    choose(page, "No pleural effusion.")
    page.until(lambda: page.heated("Axial") == 0, "the scan alone, in views of this size")
    choose(page, "Mass in the left lower lobe.")
    page.until(lambda: page.heated("Axial") > 50, "heat")
    page.pictured(str(size[0]))
    page.tab.set_viewport_size({"width": 1280, "height": 800})


# Controls without a label, a title, a text, or a name said for those who do not see.
NAMELESS = """() => [...document.querySelectorAll('button, a[href], input, textarea, [role=slider]')]
  .filter(e => e.type !== 'hidden' && !e.closest('[hidden]'))
  .filter(e => !(e.getAttribute('aria-label') || e.title || e.textContent.trim() || (e.labels && e.labels.length)
    || e.getAttribute('aria-labelledby')))
  .map(e => e.outerHTML.slice(0, 160))"""
