"""simcrop_plus: each part against the same written down slowly, and what it notices that simcrop does not."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from plus_reports import REPORTS, plus
from simcrop_training.engine.loop import Loop
from simcrop_training.engine.schedule import Compute, Schedule
from simcrop_training.objectives import grounding_losses
from simcrop_training.objectives.plus_losses import across, aligned, scores, selected, unit
from step_gradients import assert_same, gradients, gradients_in_pieces, losses_of, reached, steady
from tiny_run import losses, tiny_method

OFF = {"across": 0.0, "instance": 0.0, "boilerplate": 0.0, "hard_negatives": 0, "label_aware": False, "softness": 0.0}


# Without its parts it is SimCroP.


def test_with_every_switch_off_it_is_simcrop():
    theirs, ours = steady("simcrop"), steady("simcrop_plus", **OFF)
    assert theirs.counts(theirs.batch(1)) == ours.counts(ours.batch(1))
    expected, found = theirs.totals(theirs.batch(1)), ours.totals(ours.batch(1))
    assert _numbers(found) == pytest.approx(_numbers(expected), 1e-12)
    assert_same(gradients(ours.module, found["alignment"]), gradients(theirs.module, expected["alignment"]))


def _numbers(losses):
    return {name: float(loss.detach()) for name, loss in losses.items()}


def test_with_every_switch_off_it_trains(tmp_path):
    schedule = Schedule(steps=2, warm_up=1, measure_every=10**6, precision="float32")
    Loop(tiny_method("simcrop_plus", **OFF), schedule, tmp_path, compute=Compute(log_every=1)).run()
    assert set(losses(tmp_path)) == {1, 2}


# Selection.


def test_a_hard_selection_is_the_nearest_in_equal_shares_and_a_soft_one_is_all():
    cosine = torch.tensor([0.9, -0.2, 0.5, 0.4], dtype=torch.float64)
    assert selected(cosine, 2, 0.0).tolist() == pytest.approx([0.5, 0, 0.5, 0])
    assert selected(cosine, 2, 1e6).tolist() == pytest.approx([0.25] * 4, abs=1e-6)
    assert selected(cosine, 9, 0.0).tolist() == [0.25] * 4
    by_hand = [1 / (1 + math.exp(-(c - 0.45) / 0.1)) for c in cosine.tolist()]
    assert selected(cosine, 2, 0.1).tolist() == pytest.approx([v / sum(by_hand) for v in by_hand])
    assert float(scores(cosine, 2, 0.0)) == pytest.approx(0.7)


def test_the_selection_hardens_step_by_step_and_measuring_is_hard():
    objective = tiny_method("simcrop_plus", micro_batch=2, softness=0.4, warm_up=4, features_first=3)
    at = [objective.batch(2 * step) for step in range(6)]
    assert [b.softness for b in at] == pytest.approx([0.4, 0.3, 0.2, 0.1, 0, 0])
    assert [b.selecting for b in at] == [0, 0, 0, 1, 1, 1]
    measured = objective.assembled(objective.data.source, range(2))
    assert (measured.softness, measured.selecting) == (0, 1)


def test_before_it_selects_only_image_report_and_instance_learn():
    objective = plus(features_first=1)
    found = _numbers(losses_of(objective))
    assert (found["alignment"], found["across"]) == (0, 0)
    assert min(found[name] for name in ("image", "report", "instance")) > 0


# Alignment and evidence, slowly.


def test_alignment_with_rivals_and_weights_is_that_of_the_plain_form():
    objective = plus(softness=0.05)
    batch = objective.batch(0)
    fast = losses_of(objective)["alignment"]
    network, shown = objective.network, objective.shown(batch)
    patches_BNC = network.vision(shown.images_B1HWD, shown.keep_BK)[:, 1:]
    slow = []
    for b in range(4):
        words = network.text_projection(shown.sentences_BSC[b])
        rivals = network.text_projection(batch.rivals.embeddings_BRC[b][batch.rivals.there_BR[b]].double())
        weights, terms = batch.claims.weights_BS[b].double(), []
        regions = [_share(word, patches_BNC[b], 4, 0.05) @ patches_BNC[b] for word in words]
        for i, region in enumerate(regions):
            repels = [j for j in range(3) if batch.claims.repels_BSS[b, i, j]]
            own = _cosine(region, words[i]) / 0.07
            rows = [own, *(_cosine(region, words[j]) / 0.07 for j in repels)]
            rows += [_cosine(region, rival) / 0.07 for rival in rivals]
            columns = [own, *(_cosine(regions[j], words[i]) / 0.07 for j in repels)]
            terms.append(torch.stack(rows).logsumexp(0) + torch.stack(columns).logsumexp(0) - 2 * own)
        slow.append((torch.stack(terms) * weights).sum() / weights.sum())
    plain = torch.stack(slow).mean()
    assert float(fast.detach()) == pytest.approx(float(plain.detach()), rel=1e-9)
    assert_same(gradients(objective.module, fast), gradients(objective.module, plain))


def test_evidence_between_studies_is_that_of_the_plain_form():
    objective = plus(softness=0.05)
    batch = objective.batch(0)
    fast = losses_of(objective)["across"]
    network, shown = objective.network, objective.shown(batch)
    patches_BNC = network.vision(shown.images_B1HWD, shown.keep_BK)[:, 1:]
    # Of each sentence that asserts something: its study, itself, and the studies where nothing like it is said.
    against = [(0, 0, (1, 2)), (1, 0, (0, 2, 3)), (1, 2, (0, 2, 3)), (2, 0, (0, 1, 3)), (2, 1, (0, 1, 3)),
               (3, 0, (1, 2)), (3, 1, (0, 1, 2))]  # fmt: skip
    terms, weights = [], []
    for b, s, others in against:
        word = network.text_projection(shown.sentences_BSC[b, s])
        place = b * shown.sentences_BSC.shape[1] + s
        of = batch.rivals.of_F2[batch.claims.asserted_F.tolist().index(place)]
        rivals = network.text_projection(batch.rivals.embeddings_BRC.double()).flatten(0, 1)[of[of >= 0]]
        own = _score(word, patches_BNC[b]) / 0.07
        logits = [own, *(_score(word, patches_BNC[o]) / 0.07 for o in others)]
        logits += [_score(rival, patches_BNC[b]) / 0.07 for rival in rivals]
        terms.append(torch.stack(logits).logsumexp(0) - own)
        weights.append(batch.claims.weights_BS[b, s].double())
    assert len(against) == len(batch.claims.asserted_F)
    plain = (torch.stack(terms) * torch.stack(weights)).sum() / torch.stack(weights).sum()
    assert float(fast.detach()) == pytest.approx(float(plain.detach()), rel=1e-9)
    assert_same(gradients(objective.module, fast), gradients(objective.module, plain))


def with_reports(objective, *reports):
    """A micro-batch of scans with these reports."""
    source = objective.data.source
    pairs = [
        dataclasses.replace(
            source.pair(n), sentences=said, embeddings_SC=source._encoder.encode(said).numpy(), findings=" ".join(said)
        )
        for n, said in enumerate(reports)
    ]
    return objective.side_by_side(pairs, range(len(pairs)))


def test_scans_against_reports_is_that_of_the_plain_form():
    """The first and the last report find the same, in other words; usual sentences weigh less in a report's mean."""
    objective = plus()
    reports = (*REPORTS[:3], ("Nodule in the right lung.", "The heart is normal.", "The heart is normal."))
    batch = with_reports(objective, *reports)
    fast = objective.compared([objective.totals_and_rows(batch)[1]])["instance"]
    network, shown, encoder = objective.network, objective.shown(batch), objective.data.source._encoder
    image, text = [], []
    for b, said in enumerate(reports):
        visible = network.vision(shown.images_B1HWD[b : b + 1], shown.keep_BK[b : b + 1])[0, 1:]
        image.append(unit(network.instance.image(visible.mean(0))))
        different = list(dict.fromkeys(said))
        weights = torch.tensor([max(sum(s in report for report in REPORTS), 1) ** -0.5 for s in different]).double()
        rows = torch.stack([encoder.encode([s])[0] for s in different]).double()
        text.append(unit(network.instance.text((weights[:, None] * rows).sum(0) / weights.sum())))
    logits = network.instance.log_scale.exp() * torch.stack(image) @ torch.stack(text).T
    wanted = torch.tensor([[0.5, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0.5, 0, 0, 0.5]]).double()
    plain = sum(torch.nn.functional.cross_entropy(scores, wanted) for scores in (logits, logits.T)) / 2
    assert float(fast.detach()) == pytest.approx(float(plain.detach()), rel=1e-6)
    assert float(logits.diagonal().std()) > 0.01


@pytest.mark.parametrize("aware", [True, False])
def test_what_is_said_in_other_words_repels_unless_topics_are_known(aware):
    objective = plus(label_aware=aware, hard_negatives=0, sentences=2)
    same = ("There is no pleural effusion.", "Pleural effusion was not observed.", "There is a nodule.")
    batch = with_reports(objective, ("Nodules in both lungs.",), same, same[1:])
    claims = batch.claims
    assert len(claims.said_M3) == 6, "all that reports say, also what was not drawn to take part"
    assert (claims.findings_B[0] == claims.findings_B[1]) == aware
    evidence = objective.compared([objective.totals_and_rows(batch)[1]])["across"]
    assert (float(evidence.detach()) == 0) == aware
    objective = plus(label_aware=aware)
    assert bool(with_reports(objective, same).claims.repels_BSS[0, 0, 1]) == (not aware)


def test_places_are_learned_by_the_terms_of_supervised_grounding():
    objective = plus(supervision=2.0)
    assert (objective.weights["supervision"], objective.weights["nowhere"]) == (2.0, 1.0)
    batch, network = objective.batch(0), objective.network
    shown, places, p = objective.shown(batch), batch.places, dict(objective.network.places.named_parameters())
    patches_BNC = network.vision(shown.images_B1HWD, shown.keep_BK)[:, 1:]
    logits = []
    for row, frame in zip(places.embeddings_TC.double(), places.frame_T.tolist(), strict=True):
        cosine = torch.stack([_cosine(network.text_projection(row), patch) for patch in patches_BNC[frame]])
        logits.append(p["log_scale"].exp() * cosine + p["offset"] + p["prior.weight"][0] @ row)
    there, nowhere_ = (
        torch.stack([logits[i] for i in rows.tolist()]) for rows in (places.pointing_P, places.nowhere_Q)
    )
    target = places.target_TK[places.pointing_P].double()
    found = losses_of(objective)
    wanted = grounding_losses.balanced(there, target) + 0.5 * grounding_losses.where(2 * there, target)
    assert float(found["supervision"].detach()) == pytest.approx(float(wanted.detach()), rel=1e-9)
    denied = grounding_losses.nowhere(nowhere_).mean()
    assert float(found["nowhere"].detach()) == pytest.approx(float(denied.detach()), rel=1e-9)


def _cosine(a, b):
    return (a * b).sum() / (a.norm() * b.norm())


def _share(word, patches, top_k, softness):
    cosine = torch.stack([_cosine(word, patch) for patch in patches]).detach()
    ranked = cosine.sort(descending=True).values
    shares = 1 / (1 + torch.exp(-(cosine - (ranked[top_k - 1] + ranked[top_k]) / 2) / softness))
    return shares / shares.sum()


def _score(word, patches):
    shares = _share(word, patches, 4, 0.05)
    return sum(share * _cosine(word, patch) for share, patch in zip(shares, patches, strict=True))


def test_across_by_hand():
    """Two studies, scores 0.07 ln 3 and 0: the own one has three quarters; a rival as good as it halves the rest."""
    third = 0.07 * math.log(3)
    score, own = torch.tensor([[third, 0.0]]), torch.tensor([0])
    nothing, none = torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool)
    plain = across(score, own, none, nothing, none, torch.ones(1), 0.07)
    assert float(plain) == pytest.approx(math.log(4 / 3), rel=1e-6)
    rivals = torch.tensor([[third, 9.0]])
    there = torch.tensor([[True, False]])
    assert float(across(score, own, none, rivals, there, torch.ones(1), 0.07)) == pytest.approx(math.log(7 / 3))
    alike = torch.tensor([[True, True]])
    assert float(across(score, own, alike, nothing, none, torch.ones(1), 0.07)) == 0


def test_an_alignment_of_sentences_that_are_all_alike_knows_nothing():
    same = torch.ones(1, 5, 8)
    taking_part = torch.ones(1, 5, dtype=torch.bool)
    loss = aligned(
        same, same, torch.ones(1, 3, 8), distinct_BS=taking_part, repels_BSS=~torch.eye(5, dtype=torch.bool)[None],
        rivals_BR=torch.tensor([[True, True, False]]), weights_BS=torch.rand(1, 5), temperature=0.07,
    )  # fmt: skip
    assert float(loss) == pytest.approx(math.log(7) + math.log(5), rel=1e-6)


# Where gradients go.


def test_gradients_flow_where_the_method_says():
    objective = plus(supervision=1.0)
    parts = {name: reached(objective.module, loss) for name, loss in losses_of(objective).items()}
    assert parts == {
        "image": {"vision", "image_decoder"},
        "report": {"vision", "fusion", "text_decoder"},
        "alignment": {"vision", "text_projection"},
        "across": {"vision", "text_projection"},
        "instance": {"vision", "instance"},
        "supervision": {"vision", "text_projection", "places"},
        "nowhere": {"vision", "text_projection", "places"},
    }


def test_evidence_moves_the_selected_patches_of_the_studies_compared_and_no_others():
    patches = torch.randn(3, 10, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    words = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    cosine = (unit(words) @ unit(patches).flatten(0, 1).T).unflatten(1, (3, 10))
    alike = torch.tensor([[False, False, True], [False, False, True]])
    nothing, none = torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.bool)
    across(scores(cosine, 2, 0.0), torch.tensor([0, 1]), alike, nothing, none, torch.ones(2), 0.07).backward()
    moved = patches.grad.abs().sum(dim=2) > 1e-8
    expected = (selected(cosine, 2, 0.0) > 0.1).any(dim=0)
    expected[2] = False
    assert moved.equal(expected)


# One step, however it is cut.


@pytest.mark.parametrize("size", [1, 2])
def test_a_step_has_the_same_gradient_in_micro_batches(size):
    whole, pieces = steady("simcrop_plus", micro_batch=4), steady("simcrop_plus", micro_batch=size)
    assert_same(gradients_in_pieces(pieces), gradients_in_pieces(whole))


def test_rows_alone_are_those_of_the_losses_to_the_last_bit():
    objective = tiny_method("simcrop_plus", micro_batch=4)
    batch = objective.batch(0)
    for dropout in (1, 2):
        torch.manual_seed(dropout)
        alone = objective.rows(batch)
        torch.manual_seed(dropout)
        beside = objective.totals_and_rows(batch)[1]
        assert alone.keys() == beside.keys()
        assert all(alone[name].equal(beside[name]) for name in alone)
