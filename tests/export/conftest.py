"""A small chest CT with one finding at a known place, and what the engine would say of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from chests import affine_of, chest_hu, volume_of

from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.heatmap import ColourScale, Heatmap
from simcrop_core.results import (
    FindingScore,
    FindingsResult,
    FrameInfo,
    GroundResult,
    ImageReference,
    MadeBy,
    PassportFinding,
    SegmentResult,
    SentenceResult,
    VolumeInfo,
    WeightsInfo,
)

# In the left lung, behind, and low: each side of each plane is told apart.
MASS_RAS = (-72.0, -24.0, -36.0)


@pytest.fixture(scope="session")
def scale():
    return ColourScale(0.25, 0.55)


@pytest.fixture(scope="session")
def chest():
    """A chest at 4 × 4 × 5 mm, stored LPS and a little tilted, with a 30 mm ball of 600 HU at MASS_RAS."""

    def hu(points):
        ball = np.linalg.norm(points - np.array(MASS_RAS), axis=-1) < 15
        return np.where(ball, 600, chest_hu(points))

    shape = (92, 70, 60)
    affine = affine_of(signs=(-1, -1, 1), spacing=(4, 4, 5), rotation=(4, -3, 6), shape=shape)
    return volume_of(hu, affine, shape)


@pytest.fixture(scope="session")
def heatmap():
    """Warm about MASS_RAS, which is the centre of patch (3, 5, 4)."""
    affine = np.diag([24.0, 24.0, 24.0, 1.0])
    affine[:3, 3] = np.array(MASS_RAS) - 24 * np.array([3, 5, 4])
    centres = apply(affine, np.stack(np.meshgrid(*[np.arange(14)] * 3, indexing="ij"), axis=-1))
    warmth = np.exp(-((centres - MASS_RAS) ** 2).sum(axis=-1) / (2 * 20**2))
    return Heatmap((0.05 + 0.45 * warmth).astype(np.float32), affine, "A mass in the left lower lobe.")


@pytest.fixture(scope="session")
def located():
    return SentenceResult(
        text="A mass in the left lower lobe.",
        polarity="positive",
        kind="finding",
        side="left",
        lobe="left lower lobe",
        score=0.4123,
        rank=(12, 500),
        evidence="located",
        peak_ras_mm=MASS_RAS,
        peak_ijk=(64, 41, 22),
        peak_patch_mm=(24.0, 24.0, 24.0),
        side_conflict=False,
    )


@pytest.fixture(scope="session")
def negated(located):
    return dataclasses.replace(located, text="No pleural effusion.", polarity="negated", evidence="weak", side=None)


@pytest.fixture(scope="session")
def grounding(chest, located, negated):
    """A result that fills every field of the contract."""
    nowhere = {"score": None, "rank": None, "peak_ras_mm": None, "peak_ijk": None, "peak_patch_mm": None}
    sentences = [
        negated,
        located,
        dataclasses.replace(
            located,
            text="A nodule in the right upper lobe (series 4, image 112).",
            side="right",
            side_conflict=True,
            evidence="weak",
            reference=ImageReference(4, 112, True, 36.0),
        ),
        dataclasses.replace(
            located, text="Follow-up is advised.", kind="recommendation", evidence="not groundable", **nowhere
        ),
    ]
    volume = VolumeInfo("chest", chest.shape, chest.spacing_mm, chest.orientation, chest.affine.tolist())
    weights = WeightsInfo("starter", "4f" * 32, "Apache-2.0", "synthetic chests")
    frame = FrameInfo(((-168.0, -168.0, -168.0), (168.0, 168.0, 168.0)), 1)
    passport = [PassportFinding("slice-spacing", "warned", "The slices are 5 mm apart.", "Thin slices show more.")]
    made = MadeBy("ab" * 32, {"simcrop": "0.1", "torch": "2.10"}, "cpu", "float32", {"force": "false", "top_k": "256"})
    return GroundResult(volume, weights, frame, sentences, made, passport, ["A warning."])


@pytest.fixture(scope="session")
def finding_sentences(located):
    """The best sentences of three findings: located, weak, and not located."""
    return [
        located,
        dataclasses.replace(located, text="Pleural effusion on the left.", lobe=None, evidence="weak", score=0.3),
        dataclasses.replace(located, text="Hiatal hernia is present.", lobe=None, evidence="not located", score=0.1),
    ]


@pytest.fixture(scope="session")
def findings(grounding, finding_sentences):
    """Their scores in the contract's form."""
    labels = (("Lung opacity", 0.5123), ("Pleural effusion", 0.4), ("Hiatal hernia", -0.05))
    scores = [
        FindingScore(
            label=label,
            score=score,
            evidence=sentence.evidence,
            sentence=sentence.text,
            side=sentence.side,
            side_conflict=sentence.side_conflict,
            peak_ras_mm=sentence.peak_ras_mm,
            peak_ijk=sentence.peak_ijk,
            peak_patch_mm=sentence.peak_patch_mm,
        )
        for (label, score), sentence in zip(labels, finding_sentences, strict=True)
    ]
    return FindingsResult(
        grounding.volume,
        grounding.weights,
        grounding.frame,
        scores,
        "reference sentences",
        grounding.made_by,
        grounding.passport,
    )


@pytest.fixture(scope="session")
def segmentation(grounding):
    names = {"1": "left lung", "2": "right lung"}
    volumes = {"left lung": 2310.4, "right lung": 2754.0}
    return SegmentResult("lungs.nii.gz", names, volumes, grounding.volume, grounding.weights, grounding.made_by)
