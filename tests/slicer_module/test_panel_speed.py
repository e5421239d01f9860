"""How long a user of the panel waits on a real CT, and how long the window is held: shown as a table."""

from __future__ import annotations

import sys
import time

import numpy as np
import psutil
import pytest

pytest.importorskip("PySide6", reason="needs PySide6: pip install -r requirements-slicer.lock")

import nibabel
from panel_hand import Panel, foreground

pytestmark = pytest.mark.slow

REPORT = (
    "Mass in the left lower lobe. No pleural effusion. The heart is normal in "
    "size. The trachea is in the midline. Mild emphysema in both upper lobes. No pericardial effusion. Calcified "
    "granuloma in the right middle lobe. Linear atelectasis in the lingula. The liver is unremarkable. Degenerative "
    "changes of the thoracic spine. Compared with 2019."
)
# What a turn of the GUI's thread computes, whoever else wants its core; its time on the clock is printed beside it.
HELD_S = 0.050


class Watch:
    """What the GUI's thread is held for, from the start on: on the clock, and in processor time."""

    def __init__(self, panel):
        self._panel = panel
        panel.longest_event_s = panel.longest_event_cpu_s = 0.0
        self._began = time.perf_counter()

    @property
    def seconds(self):
        return time.perf_counter() - self._began

    @property
    def held(self):
        clock, processor = self._panel.longest_event_s, self._panel.longest_event_cpu_s
        return f"held for at most {clock * 1e3:.0f} ms ({processor * 1e3:.0f} ms of processor time)"

    def within(self):
        return self._panel.longest_event_cpu_s <= HELD_S


def pasted(panel, application, report):
    """Seconds to the first heatmap and to the last, and the watch."""
    watch, before = Watch(panel), foreground(application)
    panel.ui.reportTextEdit.setPlainText(report)
    panel.until(lambda: foreground(application) not in (before, None))
    first = watch.seconds
    panel.until(panel.idle)
    return first, watch.seconds, watch


def asked(panel, application, count):
    """Seconds from Enter to the overlay of sentences never asked before, and the watch."""
    took, watch = [], Watch(panel)
    for number in range(count):
        before = foreground(application)
        panel.ui.askLineEdit.text = f"Mass of {number + 20} mm in the left lower lobe."
        began = time.perf_counter()
        panel.panel.ask.ask()
        panel.until(lambda before=before: foreground(application) not in (before, None))
        took.append(time.perf_counter() - began)
        panel.until(panel.idle)
    return took, watch


def test_a_report_and_sentences_on_a_real_ct(real_ct, application, monkeypatch, tmp_path, capsys):
    image = nibabel.load(real_ct("LIDC-IDRI-0001/ct.nii.gz"))
    monkeypatch.setenv("SIMCROP_HOME", str(tmp_path))
    application.add_volume(np.asarray(image.dataobj).astype(np.int16), image.affine, "LIDC-IDRI-0001")
    application.slice_view()
    panel = Panel(application)
    lines = []
    try:
        first, whole, watch = pasted(panel, application, REPORT)
        lines.append(f"cold: paste to first heatmap {first:.1f} s, to the last of 11 {whole:.1f} s; {watch.held}")
        assert watch.within(), lines
        first, whole, watch = pasted(panel, application, REPORT.replace("Mass in", "A mass in"))
        lines.append(f"encoded: paste to first heatmap {first:.2f} s, to the last {whole:.2f} s; {watch.held}")
        assert watch.within(), lines
        took, watch = asked(panel, application, 40)
        p50, p95 = np.percentile(took, [50, 95]) * 1e3
        lines.append(f"a sentence, Enter to overlay: p50 {p50:.0f} ms, p95 {p95:.0f} ms; {watch.held}")
        assert watch.within(), lines
        lines += segmented_and_cancelled(panel)
        engine = psutil.Process(panel.widget.logic.choice.engine.pid).memory_info().rss
        own = psutil.Process().memory_info().rss
        lines.append(f"memory: engine {engine / 2**30:.2f} GiB, this process {own / 2**30:.2f} GiB")
    finally:
        panel.widget.exit()
        panel.widget.cleanup()
        with capsys.disabled():
            sys.stdout.write("\n" + "\n".join(lines) + "\n")


def segmented_and_cancelled(panel):
    panel.ui.surfacesCheckBox.setChecked(True)
    watch = Watch(panel)
    panel.widget.panel.segment.segment("lungs")
    panel.until(panel.idle)
    lines = [f"lungs with surfaces: {watch.seconds:.1f} s; {watch.held}"]
    assert watch.within(), lines
    panel.widget.panel.segment.segment("chest")
    panel.until(lambda: "Segmenting" in panel.ui.progressLabel.text and panel.ui.progressBar.maximum > 0)
    began = time.perf_counter()
    panel.ui.cancelButton.click()
    panel.until(panel.idle)
    waited = time.perf_counter() - began
    assert waited < 1
    return [*lines, f"cancel of a segmentation: {waited * 1e3:.0f} ms until the panel is idle"]
