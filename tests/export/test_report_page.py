"""The page of a report: every sentence and its picture, nothing from outside, nothing unescaped."""

from __future__ import annotations

import base64
import dataclasses
import io
from html.parser import HTMLParser

import pytest
from PIL import Image

from simcrop_core.errors import Cancelled
from simcrop_core.export.html import write_report_page
from simcrop_core.progress import Job

HOSTILE = """<script>alert("x")</script><img src=http://evil.example/x onerror='x()'> & {{ 7*7 }} </details>"""
VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Elements in order with their attributes and text; fails where tags do not close as they opened."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.elements, self._open = [], []
        self.feed(source)
        self.close()
        assert not self._open, f"left open: {[element['tag'] for element in self._open]}"

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.elements.append({"tag": tag, "text": "", **dict(attributes)})

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def all(self, tag, of_class=None):
        return [
            e for e in self.elements
            if e["tag"] == tag and (of_class is None or of_class in (e.get("class") or "").split())
        ]  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory, chest, grounding, heatmap, scale, segmentation):
    path = tmp_path_factory.mktemp("page") / "report.html"
    heatmaps = [heatmap, heatmap, heatmap, None]
    write_report_page(path, chest, grounding, heatmaps, scale, segmentation=segmentation, attribution="CC BY 3.0")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


def test_every_sentence_stands_in_order_with_its_evidence(page, grounding):
    summaries = page.all("summary")
    assert len(summaries) == len(grounding.sentences)
    for summary, sentence, chip in zip(
        summaries, grounding.sentences, ("negated", "located", "weak", "not groundable"), strict=True
    ):
        assert sentence.text in summary["text"]
        assert chip in summary["text"]
    assert "score 0.41, rank 12 of 500" in summaries[1]["text"]
    assert "score" not in summaries[0]["text"], "a number beside a negated sentence invites misreading"


def test_the_first_sentence_with_a_heatmap_is_open_without_any_script(page):
    assert ["open" in details for details in page.all("details")] == [False, True, False, False]
    assert not page.all("script")


def test_drawn_sentences_have_a_picture_of_their_own_and_the_others_share_a_plain_one(page):
    own = [image for image in page.all("img") if image["src"].startswith("data:image/jpeg;base64,")]
    assert len(own) == 2
    for image in own:
        with Image.open(io.BytesIO(base64.b64decode(image["src"].split(",", 1)[1]))) as picture:
            assert picture.size == (int(image["width"]), int(image["height"]))
    assert [use["href"] for use in page.all("use")] == ["#plain", "#plain"]
    assert len([image for image in page.all("image") if image.get("id") == "plain"]) == 1
    assert all("nothing drawn" in svg["aria-label"] for svg in page.all("svg") if svg.get("role") == "img")


def test_a_negated_sentence_is_greyed_and_says_why_nothing_is_drawn(page):
    assert ["absent" in (details.get("class") or "") for details in page.all("details")] == [True, False, False, False]
    assert "so nothing is drawn" in page.all("details")[0]["text"]
    assert "Peak" not in page.all("details")[0]["text"]


def test_facts_are_in_the_contracts_own_numbers(page):
    facts = page.all("details")[2]["text"]
    for part in ("-72.0, -24.0, -36.0 mm", "24 × 24 × 24 mm", "64, 41, 22", "series 4, image 112, 36 mm from the peak"):
        assert part in facts


def test_a_side_conflict_is_said_in_words_and_marked(page):
    (mark,) = page.all("span", "conflict")
    assert "side conflict" in mark["text"]
    assert "the sentence says right, the peak is on the left" in page.all("details")[2]["text"]


def test_the_page_says_what_it_is_about_and_what_it_is_not(page):
    header, footer, body = (page.all(tag)[0]["text"] for tag in ("header", "footer", "body"))
    for part in ("92 × 70 × 60", "4.00 × 4.00 × 5.00 mm", "LPS", "336 × 336 × 336 mm", "starter", "synthetic chests"):
        assert part in header
    assert "4 sentences" in header
    assert "1 side conflict" in header
    assert "Not a medical device; for research use only." in footer
    assert "CC BY 3.0" in footer
    for part in ("A warning.", "The slices are 5 mm apart.", "2,310 mL", "left lung", "not a probability", "0.25"):
        assert part in body


def test_the_page_is_accessible(page):
    assert page.all("html")[0]["lang"] == "en"
    assert all(image["alt"].strip() for image in page.all("img"))
    assert [e["tag"] for e in page.elements if e["tag"] in ("h1", "h2")] == ["h1", "h2", "h2", "h2", "h2"]
    shapes = {chip["class"]: chip["text"].split()[0] for chip in page.all("span", "chip")}
    evidence = ("located", "weak", "not-located", "outside-field-of-view", "not-groundable")
    assert len({shapes[f"chip {kind}"] for kind in evidence}) == 5, "told apart without colour"


def test_the_page_asks_the_network_for_nothing(page, source):
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "img-src data:" in policy
    for element in page.elements:
        for attribute in ("src", "href", "srcset", "action", "data", "poster"):
            assert (element.get(attribute) or "#").startswith(("data:image/", "#"))
    assert "url(" not in source
    assert "@import" not in source


def test_hostile_words_are_shown_and_not_obeyed(tmp_path, chest, grounding, heatmap, scale, segmentation):
    """Whatever a report, a header, a file name, or a label table holds."""
    sentences = [dataclasses.replace(grounding.sentences[1], text=HOSTILE)]
    finding = dataclasses.replace(grounding.passport[0], message=HOSTILE, hint=HOSTILE)
    result = dataclasses.replace(
        grounding,
        sentences=sentences,
        volume=dataclasses.replace(grounding.volume, name=HOSTILE),
        weights=dataclasses.replace(grounding.weights, name=HOSTILE, trained_on=HOSTILE, licence=HOSTILE),
        passport=[finding],
        warnings=[HOSTILE],
    )
    volumes = dataclasses.replace(segmentation, volume_ml={HOSTILE: 1.0})
    path = tmp_path / "report.html"
    write_report_page(path, chest, result, [heatmap], scale, segmentation=volumes, attribution=HOSTILE)
    page = Page(path.read_text(encoding="utf-8"))
    assert not page.all("script")
    assert len(page.all("details")) == 1
    assert len(page.all("img")) == 2
    assert not any(name.startswith("on") for element in page.elements for name in element)
    assert page.all("body")[0]["text"].count(HOSTILE) == 11
    assert page.all("title")[0]["text"].startswith(HOSTILE)


def test_twenty_sentences_stay_below_six_megabytes(source, page):
    pictures = [image["src"] for image in page.all("img") if "jpeg" in image["src"]]
    rest = len(source) - sum(map(len, pictures))
    assert 20 * max(map(len, pictures)) + rest < 6e6


def test_cancelling_leaves_no_page(tmp_path, chest, grounding, heatmap, scale):
    job = Job(lambda progress: job.cancel() if progress.done == 1 else None)
    with pytest.raises(Cancelled):
        write_report_page(tmp_path / "report.html", chest, grounding, [heatmap] * 4, scale, job=job)
    assert not list(tmp_path.iterdir())
