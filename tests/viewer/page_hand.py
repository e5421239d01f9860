"""A hand on the page: opens sections, waits for what a user would wait for, and looks at pictures."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
from PIL import Image

ROOT = Path(__file__).parents[2]
REPORT = (
    "Mass in the left lower lobe. No pleural effusion. Mass in the right upper lobe. The trachea is in the midline."
)
# Each step may have to wait for a core.
PATIENCE_MS = 240_000 * float(os.environ.get("SIMCROP_TEST_PATIENCE", "1"))
PLACES = {"Axial": 0, "3D": 1, "Coronal": 2, "Sagittal": 3}


class Served:
    """One `simcrop view` of a scan; `folder` is where it puts what is temporary."""

    def __init__(self, scan, *more):
        self.scan = scan
        self._temporary = TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        command = [
            sys.executable,
            "-m",
            "simcrop_core.cli",
            "view",
            str(scan.file),
            "--weights",
            scan.weights,
            *map(str, more),
            "--port",
            "0",
            "--no-browser",
        ]
        path = os.pathsep.join(str(ROOT / folder) for folder in ("", "training", "SimCroPSlicer"))
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self.process.stdout.readline().strip()
        assert self.address, "the command ended before it listened"

    def left_over(self):
        """What a session has put on the disk and not removed."""
        return list(self.folder.glob("simcrop-view-*"))

    def child(self, words):
        """The youngest process below it whose command line has these words."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if words in " ".join(child.cmdline())][-1]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self._temporary.cleanup()


class Page:
    """One tab."""

    def __init__(self, browser, served, size=(1280, 800)):
        self.served, self.scan = served, served.scan
        self._context = browser.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
        self.tab = self._context.new_page()
        self.tab.set_default_timeout(PATIENCE_MS)
        self.faults = []
        self.tab.on("pageerror", lambda error: self.faults.append(str(error)))
        self.tab.goto(served.address, wait_until="domcontentloaded")
        self.tab.wait_for_selector(".simcrop-views img")

    def close(self):
        self._context.close()
        assert self.faults == []

    def open_scan(self):
        """Wait for the scan that the command named."""
        self.named(self.scan.file.name)
        return self

    def named(self, name):
        """Wait until the scan of that name is open."""
        self.tab.locator(".simcrop-name", has_text=name).wait_for()
        self.idle()

    def section(self, title):
        """Open a section of the side; what is in it can be seen then, and have the keyboard."""
        button = self.tab.locator(".v-expansion-panel-title", has_text=title)
        if button.get_attribute("aria-expanded") != "true":
            button.click()
        self.tab.locator(".v-expansion-panel", has=button).locator(".v-expansion-panel-text").wait_for()
        return self

    def idle(self):
        """Wait until nothing is under way."""
        self.tab.wait_for_selector(".simcrop-busy", state="detached")

    def rows(self, table):
        """The cells of a table."""
        found = self.tab.locator(f'table[aria-label="{table}"] tbody tr').all()
        return [row.locator("td").all_inner_texts() for row in found]

    def paste(self, report, rows):
        """Paste a report and wait until its sentences have been looked for."""
        self.section("Report")
        self.tab.get_by_label("Paste the report").fill(report)
        table = 'table[aria-label="Sentences of the report"]'
        self.tab.wait_for_function(f"document.querySelectorAll('{table} tbody tr').length === {rows}")
        self.tab.wait_for_selector(f"{table} tr.chosen")
        self.idle()

    def picture(self, view):
        """(rows, columns, 3) of a view as the browser shows it, without what lies over it."""
        image = self.tab.locator(".simcrop-views img").nth(PLACES[view])
        return np.asarray(Image.open(io.BytesIO(image.screenshot())).convert("RGB")).astype(int)

    def heated(self, view):
        """How many of a view's pixels have the purple of weak heat; crosshair and outlines are of other colours."""
        red, green, blue = np.moveaxis(self.picture(view), 2, 0)
        return int(((red > green + 25) & (blue > green + 25)).sum())

    def until(self, holds, what):
        """Wait for something that only a picture shows."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while time.monotonic() < deadline:
            if holds():
                return
            self.tab.wait_for_timeout(250)
        raise AssertionError(f"in vain: {what}")

    def click_in(self, view, across, down):
        """Click at a share of a view's width and height."""
        box = self.tab.locator(".simcrop-views img").nth(PLACES[view]).bounding_box()
        self.tab.mouse.click(box["x"] + box["width"] * across, box["y"] + box["height"] * down)

    def clicked_at(self, view, across, down):
        """The patient's R, A, S in mm that the page names after a click at a share of a view's width and height."""
        note = self.tab.locator(".simcrop-note", has_text="R, A, S:")
        before = note.inner_text() if note.count() else ""
        self.click_in(view, across, down)
        self.until(lambda: note.count() and note.inner_text() != before, "another place")
        return [float(part) for part in re.findall(r"-?\d+", note.inner_text())]

    def download(self, words):
        """What a button of the section "Save" gives."""
        self.section("Save")
        with self.tab.expect_download() as coming:
            self.tab.get_by_role("link", name=words).click()
        return Path(coming.value.path()).read_bytes()

    def pictured(self, name):
        """A picture of the whole page, where a folder is named for them."""
        folder = os.environ.get("SIMCROP_SCREENSHOTS")
        if folder:
            self.tab.screenshot(path=Path(folder) / f"{self.scan.key}-{name}.png")
