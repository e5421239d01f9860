"""Real scans labelled by networks and by the threshold, beside what is known of them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from simcrop_training.evaluate.real_segmentation import labelled_scans
from simcrop_training.objectives.plain_unet import PlainUnet

from simcrop_core.models.presets import SEGMENTATION_PRESETS
from simcrop_core.models.unetr import UNETR


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_scan_is_labelled_by_everybody_and_has_dice_where_there_is_a_truth(real_ct):
    """The networks are random; the threshold finds whole lungs."""
    scans = real_ct("LIDC-IDRI-0001").parent
    torch.manual_seed(0)
    config = dataclasses.replace(SEGMENTATION_PRESETS["tiny"], lung_edges=False)
    networks = {"weights": UNETR(config).eval(), "unet": PlainUnet(config).eval()}
    rows = {(row.scan, row.structure, row.by): row for row in labelled_scans(scans, networks)}
    for scan, least in (("LIDC-IDRI-0001", 0.96), ("CIP_ct-64", 0.9)):
        for side in ("left lung", "right lung"):
            threshold = rows[scan, side, "threshold"]
            assert threshold.dice > least
            assert threshold.ml == pytest.approx(threshold.true_ml, rel=0.15)
            assert {by for _, structure, by in rows if structure == side} == {"weights", "unet", "threshold"}
    lobe = rows["LIDC-IDRI-0001", "right middle lobe", "unet"]
    assert 0 <= lobe.dice <= 1
    assert lobe.true_ml > 100
    body = rows["COVID-CT-MD_normal001", "body", "weights"]
    assert (body.dice, body.true_ml) == (None, None)
    assert body.ml > 0
