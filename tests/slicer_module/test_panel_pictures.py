"""The pictures of docs/slicer.md, from a real CT: the panel beside three slices, in stand-ins for Slicer's windows.

They go to SIMCROP_SCREENSHOTS where it is set.
"""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

pytest.importorskip("PySide6", reason="needs PySide6: pip install -r requirements-slicer.lock")

from panel_hand import Panel, paste, pictured
from SimCroPSlicerLib import provenance, views

pytestmark = pytest.mark.slow

REPORT = (
    "Mass in the left lower lobe. No pleural effusion. The trachea is in the "
    "midline. The spleen is seen below the left hemidiaphragm."
)
SLICES = (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal"))


def test_the_panel_beside_the_slices_it_drives(real_ct, application, monkeypatch, tmp_path):
    image = nibabel.load(real_ct("LIDC-IDRI-0001/ct.nii.gz"))
    monkeypatch.setenv("SIMCROP_HOME", str(tmp_path))
    application.add_volume(np.asarray(image.dataobj).astype(np.int16), image.affine, "LIDC-IDRI-0001")
    slices = [application.slice_view(*which, size=(420, 400)) for which in SLICES]
    panel = Panel(application)
    try:
        paste(panel, REPORT, rows=4)
        panel.click(panel.ui.lungWindowButton)
        shown_at_the_peak(slices, application)
        pictured(panel, slices, "slicer-report")

        panel.widget.panel.segment.segment("lungs")
        panel.until(panel.idle)
        for name in ("report", "ask", "heatmap"):
            getattr(panel.ui, f"{name}Button").collapsed = True
        for name in ("segment", "engine"):
            getattr(panel.ui, f"{name}Button").collapsed = False
        pictured(panel, slices, "slicer-segment")
    finally:
        panel.widget.exit()
        panel.widget.cleanup()


def shown_at_the_peak(slices, application):
    peak = views.crosshair_of(application.scene).GetCrosshairRAS()
    assert provenance.results_in(application.scene, "heatmap")
    for view in slices:
        view.fit()
        view.node.JumpSliceByOffsetting(*peak)
        row, column = view.pixel_of(peak)
        red, green, blue = view.picture()[row, column].astype(int)
        assert max(red, green, blue) - min(red, green, blue) > 20, "the peak is in colour"
