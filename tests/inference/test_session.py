"""A scan and sentences in, places out: on a network whose right answer is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from chests import RIGHT_LUNG, affine_of, axis_orders, chest_hu, inside, volume_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simcrop_core.errors import Cancelled, NotAChest, NothingToGround, TaskNotSupported
from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.lattice import index_in
from simcrop_core.imaging.volume import DicomOrigin, Volume
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.sentences import evidence_of
from simcrop_core.inference.session import Session
from simcrop_core.models.weights import USUAL_KEYS, load_weights, save_weights
from simcrop_core.progress import Job
from simcrop_core.text.report import parse_report, parse_sentence

PATCH_MM, BALL_MM = 24.0, 30.0


def bright_chest(at, *, spacing=6.0, **orientation):
    """The drawn chest with a very dense ball of 6 cm."""

    def field(points):
        hu = chest_hu(points)
        hu[np.linalg.norm(points - np.asarray(at), axis=-1) < BALL_MM] = 3000
        return hu

    order = orientation.get("order", (0, 1, 2))
    shape = tuple((64, 48, 56)[a] for a in order)
    return volume_of(field, affine_of(spacing=(spacing,) * 3, shape=shape, **orientation), shape)


@given(
    axis=axis_orders,
    rotation=st.tuples(*(st.floats(-12, 12) for _ in range(3))),
    at=st.sampled_from([(-75, 0, 60), (75, -10, 60), (-80, 20, -70), (70, 0, -60)]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_peak_is_where_the_bright_ball_is(engine, axis, rotation, at):
    """Whatever the storage order and tilt: peak in mm, peak voxel, heatmap affine and side conflict all agree."""
    volume = bright_chest(at, order=axis[0], signs=axis[1], rotation=rotation)
    grounded = Session(volume, [], engine).ground([parse_sentence("Nodule in the left lung.")])
    found, heatmap = grounded.result.sentences[0], grounded.heatmaps[0]
    assert np.linalg.norm(np.subtract(found.peak_ras_mm, at)) < BALL_MM
    np.testing.assert_allclose(apply(volume.affine, found.peak_ijk), found.peak_ras_mm, atol=6.0)
    best = np.unravel_index(heatmap.scores.argmax(), heatmap.scores.shape)
    # To within a hundredth of a millimetre, to which a peak is rounded.
    assert np.abs(index_in(heatmap.affine, found.peak_ras_mm) - best).max() <= 0.5 + 1e-3
    assert found.side_conflict == (at[0] > 0)


def test_a_result_carries_everything_the_contract_names(engine):
    grounded = Session(bright_chest((-75, 0, 0)), [], engine).ground(
        parse_report("Lungs: Dense mass in the left lower lobe. No pleural effusion. Follow-up CT is recommended.")
    )
    mass, effusion, follow_up = grounded.result.sentences
    assert (mass.polarity, mass.side, mass.lobe) == ("positive", "left", "left lower lobe")
    assert mass.rank[1] == 500
    assert 1 <= mass.rank[0] <= 500
    assert mass.peak_patch_mm == (PATCH_MM,) * 3
    assert effusion.polarity == "negated"
    assert (follow_up.evidence, follow_up.score, follow_up.peak_ras_mm) == ("not groundable", None, None)
    assert grounded.heatmaps[2] is None
    assert grounded.result.weights.name == "bright-finder"
    (low, high), tiles = grounded.result.frame.box_ras_mm, grounded.result.frame.tiles
    assert tiles == 1
    np.testing.assert_allclose(np.subtract(high, low), 336, atol=0.1)


def test_a_scan_is_encoded_once(engine):
    session = Session(bright_chest((75, 0, 0)), [], engine)
    steps = []
    session.ground([parse_sentence("Mass in the right lung.")], Job(steps.append))
    assert any(step.stage == "Encoding the scan" for step in steps)
    steps.clear()
    session.ground([parse_sentence("Another sentence.")], Job(steps.append))
    assert not steps


def test_a_place_outside_the_scan_has_no_peak(engine):
    """The drawn scan ends 17 cm below the middle of the lungs: no bladder, no brain."""
    session = Session(bright_chest((75, 0, 0)), [], engine)
    result = session.ground([parse_sentence("The urinary bladder is distended."), parse_sentence("Brain atrophy.")])
    for sentence in result.result.sentences:
        assert (sentence.evidence, sentence.peak_ras_mm, sentence.score) == ("outside field of view", None, None)


def test_a_sentence_about_an_opaque_lung_is_looked_for(engine):
    """Collapse and effusion leave no air on a side: that does not put the side outside the scan."""

    def field(points):
        hu = chest_hu(points)
        hu[inside(points, *RIGHT_LUNG)] = 30
        return hu

    volume = volume_of(field, affine_of(spacing=(6, 6, 6), shape=(64, 48, 56)), (64, 48, 56))
    said = [parse_sentence(text) for text in ("Complete collapse of the right lung.", "Large right pleural effusion.")]
    for sentence in Session(volume, [], engine).ground(said).result.sentences:
        assert sentence.evidence != "outside field of view"
        assert sentence.peak_ras_mm is not None


def test_half_a_chest_has_no_other_side(engine):
    volume = volume_of(chest_hu, affine_of(spacing=(6, 6, 6), shape=(31, 48, 56), centre=(93, 0, 0)), (31, 48, 56))
    said = [parse_sentence(text) for text in ("Mass in the left lower lobe.", "Mass in the right lower lobe.")]
    left, right = Session(volume, [], engine).ground(said).result.sentences
    assert left.evidence == "outside field of view"
    assert right.peak_ras_mm is not None


def test_an_image_named_in_the_sentence_is_compared_with_the_peak(engine):
    volume = bright_chest((75, 0, 0))
    # Image 101 is the lowest slice, one a voxel upwards.
    dicom = DicomOrigin(4, tuple(range(101, 101 + volume.shape[2])), "1.2.3", "chest")
    session = Session(dataclasses.replace(volume, dicom=dicom), [], engine)
    said = [f"Mass (series {s}, image {i})." for s, i in ((4, 129), (5, 129), (4, 99))]
    found, other_series, no_image = (
        s.reference for s in session.ground([parse_sentence(text) for text in said]).result.sentences
    )
    peak_s_mm = session.ground([parse_sentence(said[0])]).result.sentences[0].peak_ras_mm[2]
    plane_s_mm = apply(volume.affine, [0, 0, 129 - 101])[2]
    assert found.found
    assert found.distance_mm == pytest.approx(abs(peak_s_mm - plane_s_mm), abs=0.06)
    assert (other_series.found, no_image.found) == (False, False)


def test_text_that_is_not_english_is_said_to_be_so(engine):
    session = Session(bright_chest((75, 0, 0)), [], engine)
    german = "Im linken Unterlappen zeigt sich eine unscharf begrenzte Raumforderung mit Ausläufern zur Pleura."
    assert any("English" in warning for warning in session.ground(parse_report(german)).result.warnings)


def test_nothing_to_say_no_lungs_and_unknown_tasks_are_named(engine):
    with pytest.raises(NothingToGround):
        Session(bright_chest((0, 0, 0)), [], engine).ground([])
    water = Volume(np.zeros((40, 40, 40), dtype=np.int16), np.diag([5.0, 5.0, 5.0, 1.0]))
    with pytest.raises(NotAChest):
        Session(water, [], engine).ground([parse_sentence("Nodule.")])
    forced = Session(water, [], engine, force=True).ground([parse_sentence("Nodule.")])
    assert any("No lungs" in warning for warning in forced.result.warnings)
    with pytest.raises(TaskNotSupported, match="liver segments"):
        Session(water, [], engine).segment("liver segments")


def test_a_cancelled_encoding_can_be_asked_again(engine):
    session = Session(bright_chest((75, 0, 0)), [], engine)
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        session.ground([parse_sentence("Mass.")], job)
    assert session.ground([parse_sentence("Mass.")]).heatmaps[0] is not None


def test_weights_without_thresholds_give_no_evidence(bright_finder, tmp_path):
    from simcrop_core.models.weights import load_weights, save_weights

    tensors, metadata = load_weights(bright_finder / "grounding.safetensors")
    save_weights(tmp_path / "grounding.safetensors", tensors, dataclasses.replace(metadata, thresholds=None))
    session = Session(bright_chest((75, 0, 0)), [], Engine(str(tmp_path), "cpu"))
    found = session.ground([parse_sentence("Mass in the right lung.")]).result.sentences[0]
    assert found.evidence is None
    assert found.score is not None


def test_evidence_goes_by_the_excess_over_what_is_usual_for_a_finding(engine, tmp_path):
    """All sentences score alike here, so none says anything; one about an organ, which most chests have, does."""
    tensors, metadata = load_weights(engine.folder.grounding)
    known = torch.zeros(2, engine.config.vision.dim)
    known[0, :2], known[1, 2] = torch.tensor([1.0, -1.0]), 1.0  # Where this network puts all sentences, and elsewhere.
    usual = dict(zip(USUAL_KEYS, (known, torch.tensor([0.55, -0.55])), strict=True))
    save_weights(tmp_path / "grounding.safetensors", {**tensors, **usual}, metadata)
    chest, asked = bright_chest((-75, 0, 0)), parse_report("Dense mass in the left lung. The spleen.")
    without = Session(chest, [], engine).ground(asked).result.sentences
    mass, spleen = Session(chest, [], Engine(str(tmp_path), "cpu")).ground(asked).result.sentences
    assert [sentence.excess for sentence in without] == [sentence.score for sentence in without]
    assert [sentence.evidence for sentence in without] == ["located", "located"]
    assert mass.score == spleen.score == without[0].score
    # 0.55 on most chests; this one lifts every sentence to the same score.
    assert mass.excess == pytest.approx(0, abs=0.03)
    assert mass.evidence == evidence_of(mass.excess, metadata.thresholds) == "not located"
    assert spleen.excess == pytest.approx(0.55, abs=0.03)
    assert spleen.evidence == "located"
