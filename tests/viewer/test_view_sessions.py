"""Tabs are apart, the token opens, and the engine may die without taking a page with it."""

from __future__ import annotations

import re
import time
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from page_hand import PATIENCE_MS, REPORT, Page, Served

pytestmark = pytest.mark.slow

SENTENCES = 'table[aria-label="Sentences of the report"]'


def status(address):
    try:
        with urlopen(address, timeout=PATIENCE_MS / 1000) as answer:
            return answer.status
    except HTTPError as fault:
        return fault.code


def test_the_token_opens_and_nothing_else_does(served):
    front, token = served.address.split("/?token=")
    assert front.startswith("http://127.0.0.1:")
    assert len(token) >= 32
    assert status(f"{front}/") == 403
    assert status(f"{front}/?token=") == 403
    assert status(f"{front}/?token={token[:-1]}") == 403
    assert status(f"{front}/s/{'0' * 48}/") == 404
    assert status(f"{front}/engine") == 404, "the sessions' own door is elsewhere"


def test_a_session_lets_only_its_own_front_in(served, page):
    """Whoever finds its port on this machine finds no scan there."""
    session = served.child("SimCroPViewer.session")
    ports = [c.laddr.port for c in session.net_connections("tcp") if c.status == "LISTEN" and c.laddr.ip == "127.0.0.1"]
    assert [status(f"http://127.0.0.1:{port}/export/views.png") for port in ports] == [403]
    assert page.tab.evaluate("location.search") == "", "no secret stays in the address"


def test_two_tabs_see_their_own_session(browser, served, page):
    other = Page(browser, served).open_scan()
    try:
        page.paste("Mass in the left lower lobe.", rows=1)
        assert other.rows("Sentences of the report") == []
        assert other.tab.url != page.tab.url
        assert other.heated("Axial") == 0
        other.paste("Pleural effusion on the right. No nodule.", rows=2)
        assert len(page.rows("Sentences of the report")) == 1
    finally:
        other.close()


def test_a_reloaded_page_is_the_same_session(page):
    page.paste("Mass in the left lower lobe.", rows=1)
    page.tab.reload()
    page.tab.locator("tr", has_text="Mass in the left lower lobe.").wait_for()
    page.tab.wait_for_selector(".simcrop-views img")


def test_the_engine_dies_and_the_page_says_so_and_starts_it_again(served, page):
    page.paste("Mass in the left lower lobe.", rows=1)
    served.child("simcrop_core.cli serve").kill()
    page.tab.get_by_text("The engine has ended unexpectedly.").wait_for()
    page.pictured("engine-gone")
    assert len(page.rows("Sentences of the report")) == 1, "what was found stays"
    page.tab.get_by_role("button", name="Restart the engine").first.click()
    page.tab.get_by_text("engine: running").wait_for()
    box = page.section("Ask").tab.get_by_label("Type a sentence, Enter keeps it")
    box.fill("Pleural effusion on the right.")
    box.press("Enter")
    page.tab.get_by_text(re.compile(r"score -?\d")).wait_for()


def test_the_report_of_the_command_is_there_and_everything_ends_with_the_command(browser, scan, tmp_path):
    (tmp_path / "report.txt").write_text(REPORT, encoding="utf-8")
    viewer = Served(scan, "--report", tmp_path / "report.txt")
    try:
        page = Page(browser, viewer).open_scan()
        page.tab.locator(f"{SENTENCES} tr.chosen", has_text="Mass in the left lower lobe.").wait_for()
        page.until(lambda: page.heated("Axial") > 50, "heat without a word typed")
        assert len(page.rows("Sentences of the report")) == 4
        children = [viewer.child(words) for words in ("SimCroPViewer.session", "simcrop_core.cli serve")]
        page.close()
    finally:
        viewer.stop()
    deadline = time.monotonic() + 30
    while any(child.is_running() and child.status() != "zombie" for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.2)
