"""simcrop_plus: each part against the same written down slowly, and what it notices that simcrop does not."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from simcrop_training.data.augment import Augmentation
from simcrop_training.data.sample import CELLS, Sample, Truth, save_sample
from simcrop_training.data.source import Pair, SampleSource, reports_in
from simcrop_training.engine.errors import NothingToLearnFrom, UnusableRecipe
from simcrop_training.engine.loop import Loop
from simcrop_training.engine.schedule import Compute, Schedule
from simcrop_training.methods import METHODS
from simcrop_training.objectives import grounding_losses
from simcrop_training.objectives.pairs import PairData
from simcrop_training.objectives.plus_batch import SentenceWeights
from simcrop_training.objectives.plus_losses import across, aligned, scores, selected, unit
from simcrop_training.objectives.simcrop_plus import SimCroPPlus
from step_gradients import assert_same, gradients, gradients_in_pieces, losses_of, reached, steady
from tiny_run import TinySource, losses, tiny_method

from simcrop_core.models.presets import PRESETS
from simcrop_core.text.encoder import load_text_encoder

OFF = {"across": 0.0, "instance": 0.0, "boilerplate": 0.0, "hard_negatives": 0, "label_aware": False, "softness": 0.0}
REPORTS = (
    ("A nodule of 8 mm is seen in the right upper lobe.", "There is no pleural effusion.", "The heart is normal."),
    ("There is a nodule in the left lung.", "There is no pleural effusion.", "The aorta is calcified."),
    ("Emphysema is present in both upper lobes.", "Pleural effusion on the right.", "The heart is normal."),
    ("Nodules in the right lung.", "There is a consolidation in the left lower lobe.", "The heart is normal."),
)


class SaidSource:
    """The reports above with images of noise, and a place for the first sentence of each."""

    pairs = len(REPORTS)
    pair_bytes = 1

    def __init__(self, encoder):
        self._encoder = encoder

    def pair(self, ordinal):
        texts = REPORTS[ordinal % len(REPORTS)]
        image = np.random.default_rng(ordinal).integers(-1000, 500, (32, 32, 16)).astype(np.int16)
        cells = np.flatnonzero(np.arange(np.prod(CELLS)) % 7 == ordinal % 4).astype(np.int32)
        full = np.full(len(cells), 32, np.uint8)
        none = (np.zeros(0, np.int32), np.zeros(0, np.uint8))
        truths = (
            Truth(texts[0], "positive", "nodule", "", "", cells, full),
            Truth(texts[1], "negated", "pleural effusion", "", "", *none),
        )
        rows = self._encoder.encode(texts).numpy()
        return Pair(image, texts, rows, " ".join(texts), truths=truths)

    def sentence_embeddings(self, limit):
        return self._encoder.encode(sorted({text for report in REPORTS for text in report})[:limit]).numpy()


def plus(**settings):
    """The method in float64 and without dropout on the reports above."""
    made = tiny_method("simcrop_plus", batch=4, micro_batch=4)
    encoder = load_text_encoder(made.config.text)
    texts = sorted({text for report in REPORTS for text in report})
    known = {text: row.numpy() for text, row in zip(texts, encoder.encode(texts), strict=True)}
    data = PairData(PRESETS["tiny"].frame, SaidSource(encoder), embeddings=known, top_k=4)
    chosen = METHODS["simcrop_plus"].settings(**{"batch": 4, "micro_batch": 4, "report_tokens": 24, **settings})
    objective = SimCroPPlus(made.config, data, chosen, 3)
    objective.module.double().eval()
    return objective


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


# Weights, rivals, places, vectors.


def test_sentences_that_every_report_holds_weigh_less():
    weights = SentenceWeights(REPORTS, 0.5)
    heart, nodule = (3**-0.5, 1.0)
    mean = (heart + nodule) / 2
    assert weights.of(["The heart is normal.", REPORTS[0][0]]).tolist() == pytest.approx([heart / mean, nodule / mean])
    assert SentenceWeights(REPORTS, 0.0).of(REPORTS[0]).tolist() == [1, 1, 1]
    tiny = TinySource(3)
    assert [set(said) for said in reports_in(tiny)] == [set(tiny.pair(n).sentences) for n in range(tiny.pairs)]


def test_rivals_are_not_true_of_the_report_and_do_not_depend_on_what_was_new_before():
    objective, again = plus(), plus()
    batch = objective.batch(0)
    list(map(again.batch, (3, 2, 1)))
    assert again.batch(0).rivals.embeddings_BRC.equal(batch.rivals.embeddings_BRC)
    encoder = load_text_encoder(objective.config.text)
    wanted = encoder.encode(["A nodule of 8 mm is seen in the left upper lobe."])[0]
    assert batch.rivals.embeddings_BRC[0, batch.rivals.of_F2[0, 0]].allclose(wanted, atol=1e-6)
    assert plus(hard_negatives=0).batch(0).rivals.there_BR.sum() == 0
    assert plus(hard_negatives=1).batch(0).rivals.there_BR.sum(dim=1).tolist() == [1] * 4


def test_places_that_are_known_are_learned():
    objective = plus(supervision=1.0)
    batch = objective.batch(0)
    assert objective.counts(batch)["supervision"] == objective.counts(batch)["nowhere"] == 4
    optimiser = torch.optim.Adam([p for p in objective.module.parameters() if p.requires_grad], lr=3e-3)
    values = []
    for _ in range(30):
        found = losses_of(objective)
        loss = found["supervision"] + 0.5 * found["nowhere"]
        values.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert values[-1] < 0.6 * values[0]
    with pytest.raises(NothingToLearnFrom):
        tiny_method("simcrop_plus", supervision=1.0)


def test_stored_samples_bring_the_places_of_their_sentences_and_their_reports(tmp_path):
    cells = np.array([5, 6], np.int32)
    truth = Truth("A mass.", "positive", "mass", "", "", cells, np.array([32, 32], np.uint8))
    image = np.zeros((224, 224, 112), np.int16)
    save_sample(tmp_path / "one.npz", Sample(image, image.astype(np.uint8), (), (truth,), "A mass. No effusion."))
    known = {text: np.zeros(4, np.float32) for text in ("A mass.", "No effusion.")}
    still = Augmentation((0, 0, 0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    source = SampleSource([tmp_path / "one.npz"], known, still, 0)
    assert source.pair(0).truths[0].cells.tolist() == cells.tolist()
    assert list(reports_in(source)) == [("A mass.", "No effusion.")]


@pytest.mark.parametrize("pool", ["mean", "attention"])
@pytest.mark.parametrize("text", ["sentences", "report"])
def test_scans_and_prompts_have_vectors_for_zero_shot(pool, text):
    objective = plus(instance_pool=pool, instance_text=text)
    batch = objective.batch(0)
    images = objective.image_vectors(objective.frames(batch))
    prompts = objective.text_vectors(batch.words_BT, batch.attended_BT)
    assert images.shape == prompts.shape == (4, 512)
    for vectors in (images, prompts):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4, dtype=torch.float64))
    assert ("instance.query" in dict(objective.module.named_parameters())) == (pool == "attention")
    assert reached(objective.module, losses_of(objective)["instance"]) == {"vision", "instance"}
    with pytest.raises(UnusableRecipe):
        plus(instance=0.0).image_vectors(objective.frames(batch))


def test_what_was_learned_is_a_grounding_model():
    objective = plus()
    objective.module.float()
    batch = objective.batch(0)
    model = objective.grounding_model()
    with torch.no_grad():
        frames = objective.frames(batch)
        torch.testing.assert_close(model.encode(frames), objective.vision.patch_features(frames))
        words = batch.sentences_BSC[0]
        torch.testing.assert_close(model.project(words), objective.network.text_projection(words))


def test_it_compares_nothing_but_cosines():
    made = tiny_method("simcrop_plus")
    for changes in ({"normalise": False}, {"negatives": "batch"}, {"pooled_by": "softmax"}):
        with pytest.raises(UnusableRecipe):
            SimCroPPlus(dataclasses.replace(made.config, **changes), made.data, made.settings, 3)
