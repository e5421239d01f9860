"""The findings of one scan: the formula, and places that are those of `ground`."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from chests import affine_of, axis_orders, chest_hu, volume_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simcrop_core.errors import Cancelled, NotAChest
from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.session import Session
from simcrop_core.models.weights import Thresholds, load_weights, save_weights
from simcrop_core.progress import Job
from simcrop_core.text.ct_rate import CT_RATE_LABELS
from simcrop_core.text.findings import finding_sentences
from simcrop_core.text.report import parse_sentence

SHAPE, BALL_MM = (64, 48, 56), 30.0


@pytest.fixture(scope="module")
def starter():
    return Engine("starter", "cpu")


def chest(*, ball_at=None, order=(0, 1, 2), **orientation):
    """The drawn chest at 6 mm, with a very dense ball of 6 cm where one is wanted."""

    def field(points):
        hu = chest_hu(points)
        if ball_at is not None:
            hu[np.linalg.norm(points - np.asarray(ball_at), axis=-1) < BALL_MM] = 3000
        return hu

    shape = tuple(SHAPE[axis] for axis in order)
    return volume_of(field, affine_of(order=order, spacing=(6.0,) * 3, shape=shape, **orientation), shape)


@pytest.fixture(scope="module")
def oblique(starter):
    """A scan stored sagittally, from left to right, and tilted."""
    return Session(chest(order=(1, 2, 0), signs=(-1, 1, -1), rotation=(7, -5, 9)), [], starter)


def test_the_place_and_words_are_those_of_ground_for_the_same_sentence(oblique):
    found = oblique.findings()
    assert [finding.label for finding in found.result.findings] == list(CT_RATE_LABELS)
    grounded = oblique.ground([parse_sentence(finding.sentence) for finding in found.result.findings])
    assert [s.text for s in found.sentences] == [s.text for s in grounded.result.sentences]
    for finding, same, heatmap, its in zip(
        found.result.findings, grounded.result.sentences, found.heatmaps, grounded.heatmaps, strict=True
    ):
        for field in ("side", "side_conflict", "peak_ras_mm", "peak_ijk", "peak_patch_mm"):
            assert getattr(finding, field) == getattr(same, field), field
        limits = oblique.engine.finding_thresholds[finding.label]
        said = (
            "located" if finding.score >= limits.located else "weak" if finding.score >= limits.weak else "not located"
        )
        assert finding.evidence == said
        np.testing.assert_allclose(apply(oblique.volume.affine, finding.peak_ijk), finding.peak_ras_mm, atol=6.0)
        np.testing.assert_allclose(heatmap.scores, its.scores, atol=1e-5)
        np.testing.assert_array_equal(heatmap.affine, its.affine)


def test_a_score_is_the_best_sentence_less_the_mean_of_the_denials(oblique, starter):
    """Against float64 written out, from patch features and embeddings, each sentence above what is usual for it."""
    features = oblique.encode()
    patches = features.features_NC.double().numpy()
    directions = patches / np.linalg.norm(patches, axis=1, keepdims=True)
    inside = features.within_scan_N.numpy()

    def score(statement):
        embedding = starter.embed([statement.text])
        sentence = embedding[0].double().numpy() / np.linalg.norm(embedding[0].double().numpy())
        cosines = np.where(inside, directions @ sentence, -np.inf)
        usual = float(starter.usual_scores.of(embedding)[0])
        if starter.measure == "prominence":
            highest = np.sort(cosines[inside])[::-1]
            return float(highest[:2].mean() - 0.6 * highest[100:400].mean()) - usual
        region = patches[np.argsort(cosines)[-starter.config.top_k :]].mean(axis=0)
        return float(region @ sentence / np.linalg.norm(region)) - usual

    for finding, sentences in zip(oblique.findings().result.findings, finding_sentences(), strict=True):
        positive = {s.text: score(s) for s in sentences.positive}
        expected = max(positive.values()) - np.mean([score(s) for s in sentences.negated])
        assert finding.score == pytest.approx(expected, abs=2e-4)
        assert positive[finding.sentence] == pytest.approx(max(positive.values()), abs=1e-5)


@given(
    axis=axis_orders,
    rotation=st.tuples(*(st.floats(-12, 12) for _ in range(3))),
    at=st.sampled_from([(-75, 0, 60), (75, -10, 60), (70, 0, -60)]),
)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_peak_is_where_the_bright_ball_is(engine, axis, rotation, at):
    """Whatever the storage order and tilt; these weights find what is bright, whichever finding is asked for."""
    volume = chest(ball_at=at, order=axis[0], signs=axis[1], rotation=rotation)
    for finding in Session(volume, [], engine).findings().result.findings:
        assert np.linalg.norm(np.subtract(finding.peak_ras_mm, at)) < BALL_MM
        np.testing.assert_allclose(apply(volume.affine, finding.peak_ijk), finding.peak_ras_mm, atol=6.0)


def test_half_a_chest_is_asked_for_nothing_on_the_other_side(starter):
    """Left-sided sentences may fit a right lung well; they do not count there."""
    half = volume_of(chest_hu, affine_of(spacing=(6, 6, 6), shape=(31, 48, 56), centre=(93, 0, 0)), (31, 48, 56))
    found = Session(half, [], starter).findings()
    assert "left" not in {finding.side for finding in found.result.findings}
    assert all(finding.peak_ras_mm is not None for finding in found.result.findings)


def test_the_scan_is_encoded_once_for_findings_and_sentences(starter):
    session = Session(chest(), [], starter)
    steps = []
    session.findings(Job(steps.append))
    assert {step.stage for step in steps} == {"Encoding the scan", "Scoring findings"}
    steps.clear()
    session.findings(Job(steps.append))
    assert {step.stage for step in steps} == {"Scoring findings"}


@pytest.mark.parametrize("stage", ["Encoding the scan", "Scoring findings"])
def test_a_cancelled_scoring_can_be_asked_again(engine, stage):
    session = Session(chest(), [], engine)
    job = Job(lambda step: job.cancel() if step.stage == stage else None)
    with pytest.raises(Cancelled):
        session.findings(job)
    assert len(session.findings().result.findings) == 18


def test_weights_without_thresholds_give_scores_and_no_evidence(bright_finder, tmp_path):
    tensors, metadata = load_weights(bright_finder / "grounding.safetensors")
    save_weights(tmp_path / "grounding.safetensors", tensors, dataclasses.replace(metadata, thresholds=None))
    for finding in Session(chest(), [], Engine(str(tmp_path), "cpu")).findings().result.findings:
        assert finding.evidence is None
        assert np.isfinite(finding.score)


@pytest.mark.parametrize(("margin", "evidence"), [(-0.01, "located"), (0.01, "weak"), (0.2, "not located")])
def test_a_label_with_thresholds_of_its_own_has_the_evidence_of_its_score(bright_finder, tmp_path, margin, evidence):
    tensors, metadata = load_weights(bright_finder / "grounding.safetensors")
    plain = Session(chest(), [], Engine(str(bright_finder), "cpu")).findings().result.findings[12]
    own = {plain.label: Thresholds(plain.score + margin, plain.score + margin - 0.1)}
    save_weights(tmp_path / "grounding.safetensors", tensors, dataclasses.replace(metadata, finding_thresholds=own))
    findings = Session(chest(), [], Engine(str(tmp_path), "cpu")).findings()
    assert findings.result.findings[12].evidence == evidence
    assert findings.sentences[12].evidence == evidence


def test_a_scan_without_lungs_is_refused_unless_forced(engine):
    water = Volume(np.zeros((40, 40, 40), dtype=np.int16), np.diag([5.0, 5.0, 5.0, 1.0]))
    with pytest.raises(NotAChest):
        Session(water, [], engine).findings()
    forced = Session(water, [], engine, force=True).findings()
    assert any("No lungs" in warning for warning in forced.result.warnings)
