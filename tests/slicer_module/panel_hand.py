"""The module's panel in a window, and a hand that uses it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from PySide6 import QtCore, QtGui
from PySide6.QtTest import QTest
from SimCroPSlicerLib import views
from slicer_widgets import qt

MASS = "Mass in the left lower lobe."
REPORT = f"{MASS} No pleural effusion. The heart is normal in size. Compared with 2019."
# A machine that does other work too starts an engine later.
PATIENCE_S = 90 * float(os.environ.get("SIMCROP_TEST_PATIENCE", "1"))


class Panel:
    """The module's widget in a window, and a hand that uses it."""

    def __init__(self, application):
        from SimCroPSlicer import SimCroPSlicerWidget

        self.application = application
        self.window = qt.QWidget()
        self.window.setLayout(qt.QVBoxLayout())
        self.window.resize(470, 1250)
        self.widget = SimCroPSlicerWidget(self.window)
        self.widget.setup()
        self.ui, self.panel = self.widget.ui, self.widget.panel
        self.widget.enter()
        self.window.show()
        self.longest_event_s = self.longest_event_cpu_s = 0.0

    def events(self):
        began, cpu = time.perf_counter(), time.thread_time()
        self.application.qt_application.processEvents(QtCore.QEventLoop.AllEvents, 5)
        self.longest_event_s = max(self.longest_event_s, time.perf_counter() - began)
        self.longest_event_cpu_s = max(self.longest_event_cpu_s, time.thread_time() - cpu)

    def until(self, what, patience_s=PATIENCE_S):
        end = time.monotonic() + patience_s
        while not what():
            assert time.monotonic() < end, f"waited in vain; the panel says: {self.ui.messageLabel.text}"
            self.events()
            time.sleep(0.002)

    def idle(self):
        return not self.widget.logic.engineLogic.scheduler.tasks

    def click(self, button):
        QTest.mouseClick(button, QtCore.Qt.LeftButton)

    def column(self, table, column):
        return [table.item(row, column).text() for row in range(table.rowCount)]


def shot(panel, name):
    folder = os.environ.get("SIMCROP_SCREENSHOTS")
    if folder:
        panel.events()
        panel.window.grab().save(str(Path(folder) / f"{name}.png"))


def evidence(panel):
    return panel.column(panel.ui.reportTable, 1)


def foreground(application):
    (composite,) = views.composites(application.scene)
    return composite.GetForegroundVolumeID()


def paste(panel, report=REPORT, rows=4):
    panel.ui.reportTextEdit.setPlainText(report)
    panel.until(lambda: panel.ui.reportTable.rowCount == rows)
    panel.until(panel.idle)


def pictured(panel, slices, name):
    """Write the panel, as high as it wants to be, with slice views beside it; where pictures are asked for."""
    folder = os.environ.get("SIMCROP_SCREENSHOTS")
    if not folder:
        return
    panel.events()
    panel.window.resize(panel.window.width, panel.window.sizeHint.height())
    panel.events()
    grabbed = panel.window.grab()
    drawn = [np.ascontiguousarray(view.picture()) for view in slices]
    width = grabbed.width() + max(pixels.shape[1] for pixels in drawn)
    page = QtGui.QPixmap(width, max(grabbed.height(), sum(pixels.shape[0] for pixels in drawn)))
    page.fill(QtCore.Qt.black)
    painter = QtGui.QPainter(page)
    painter.drawPixmap(0, 0, grabbed)
    top = 0
    for pixels in drawn:
        rows, columns, _ = pixels.shape
        image = QtGui.QImage(pixels.data, columns, rows, 3 * columns, QtGui.QImage.Format_RGB888)
        painter.drawImage(grabbed.width(), top, image)
        top += rows
    painter.end()
    page.save(str(Path(folder) / f"{name}.png"))
