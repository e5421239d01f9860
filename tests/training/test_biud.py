"""BIUD's parts: corrected false negatives, an X-ray expert's bank, distillation, and entities hidden more often."""

from __future__ import annotations

import json
import logging
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from simcrop_training.engine.errors import UnusableExpertBank
from simcrop_training.engine.loop import Outcome
from simcrop_training.export import export_run
from simcrop_training.methods import METHODS
from simcrop_training.objectives.biud import corrected_targets, relation_loss
from simcrop_training.objectives.entity_words import entities, entity_pieces, focused_mask
from simcrop_training.objectives.expert_bank import bank_of, read_bank
from simcrop_training.recipe import Data, Recipe
from step_gradients import assert_same, gradients, gradients_in_pieces, losses_of, reached, steady, weighted
from tiny_run import tiny_method
from tokenizers import Tokenizer

from simcrop_core.text.ct_rate import CT_RATE_LABELS
from simcrop_core.text.encoder import MINILM

TEXT = (
    "Trachea and both main bronchi are open. Centrilobular emphysema is seen in both upper lobes, and a spiculated"
    " nodule of 8 mm lies in the right one. There is neither pericardial effusion nor peribronchial thickening today."
)


@pytest.fixture
def bank_file(tmp_path):
    """Five radiographs; the toy BERT's embeddings are 32 wide, the expert's vectors 7."""
    rng = np.random.default_rng(5)
    path = tmp_path / "expert.npz"
    text, image = (rng.normal(size=(5, width)).astype(np.float32) for width in (32, 7))
    np.savez(path, text=text, image=image)
    return path


def test_the_method_is_flagged_as_a_reconstruction():
    assert METHODS["biud"].objective.reconstruction
    assert not METHODS["ctclip"].objective.reconstruction


@pytest.mark.parametrize("bank", [False, True])
def test_the_weights_say_who_taught_them(bank, bank_file, tmp_path):
    objective = tiny_method("biud", expert_bank=str(bank_file) if bank else None)
    recipe = Recipe(name="biud", objective="biud", preset="tiny", method=objective.settings)
    export_run(objective, recipe, Data(), Outcome(0, 0.0, {}, finished=False), tmp_path)
    said = json.loads((tmp_path / "provenance.json").read_text())["trained_on"]
    assert said.endswith(f"rebuilt from its description, taught by {'expert.npz' if bank else 'no expert'}.")


def test_without_corrections_the_contrast_is_plain_infonce():
    """No cosine reaches 1.01."""
    objective = steady("biud", delta=1.01)
    losses, rows = losses_of(objective), objective.rows(objective.batch(0))
    logits, own = rows["image"] @ rows["text"].T / 0.07, torch.arange(4)
    usual = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    assert losses["contrast"].item() == pytest.approx(usual.item(), rel=1e-12)
    assert losses["corrected"] == 0


def test_reports_that_say_the_same_share_the_target():
    """The own report counts once as the own one, and once as one that says the same."""
    alike = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    expected = torch.tensor([[2 / 3, 1 / 3, 0], [1 / 3, 2 / 3, 0], [0, 0, 1]]).double()
    torch.testing.assert_close(corrected_targets(alike), expected)


def test_frames_of_like_reports_are_corrected():
    """Reports 0 and 1 at cosine 0.96, report 2 at 0.94 from the first."""
    objective = steady("biud", batch=3, micro_batch=3)
    known = torch.zeros(3, 32)
    known[0, 0] = 1
    known[1, 0], known[1, 1] = 0.96, math.sqrt(1 - 0.96**2)
    known[2, 0], known[2, 2] = 0.94, math.sqrt(1 - 0.94**2)
    rows = {**objective.rows(objective.batch(0)), "known": known}
    losses = objective.compared([rows])
    assert losses["corrected"].item() == pytest.approx(2 / 3)
    logits = rows["image"] @ rows["text"].T / 0.07
    shares = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 0, 3]]).double() / 3
    by_hand = sum(-(shares * scores.log_softmax(1)).sum(1).mean() / 2 for scores in (logits, logits.T))
    assert losses["contrast"].item() == pytest.approx(by_hand.item(), rel=1e-12)


def test_relations_cost_nothing_where_they_agree_and_their_divergence_where_not():
    """Two vectors at a right angle, two at 60 degrees: cosines 0 and ½."""
    student, turned = torch.eye(2).double(), torch.eye(2).double().roll(1, 0)
    teacher = torch.tensor([[1, 0, 0], [0.5, 0, math.sqrt(0.75)]], dtype=torch.float64)
    assert relation_loss(student, turned, 0.07) < 1e-15
    p, q = 1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(-1.0))
    by_hand = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert relation_loss(student, teacher, 1.0).item() == pytest.approx(by_hand, rel=1e-10)


def test_values_and_gradients_are_those_of_the_plain_form(bank_file):
    """Frame by frame and word by word."""
    objective = steady("biud", expert_bank=str(bank_file), delta=0.5)
    batch, network, s = objective.batch(0), objective.network, objective.settings
    images = objective.frames(batch)
    h, t, pair, report, words = [], [], 0.0, 0.0, 0
    for b in range(4):
        length = int(batch.attended_BT[b].sum())
        tokens = network.vision(images[b : b + 1])
        image = network.image_projection.weight @ tokens[0, 1:].mean(0)
        h.append(image / image.norm())
        text = network.text_projection.weight @ network.text_encoder(batch.words_BT[b : b + 1, :length])[0, 0]
        t.append(text / text.norm())
        expert = batch.expert_BX[b].double()
        taught = network.expert_projection.weight @ h[b] + network.expert_projection.bias
        pair = pair + 1 - taught @ expert / (taught.norm() * expert.norm())
        states = network.text_encoder(batch.report_BT[b : b + 1, :length])
        scores = network.head(network.fusion(states, tokens[:, 1:]))[0]
        for place in (batch.labels_BT[b] >= 0).nonzero()[:, 0].tolist():
            report = report + scores[place].exp().sum().log() - scores[place, batch.labels_BT[b, place]]
            words += 1
    contrast = relation = 0.0
    known, experts = batch.known_BC.double(), batch.expert_BX.double()
    for i in range(4):
        shares = [float(i == j) + float(known[i] @ known[j] >= s.delta) for j in range(4)]
        for j in range(4):
            across = sum((h[i] @ t[k] / 0.07).exp() for k in range(4)).log() - h[i] @ t[j] / 0.07
            down = sum((h[k] @ t[i] / 0.07).exp() for k in range(4)).log() - h[j] @ t[i] / 0.07
            contrast = contrast + shares[j] / sum(shares) * (across + down) / 8
        wanted = [(experts[i] @ experts[k] / 0.07).exp() for k in range(4)]
        found = [(h[i] @ h[k] / 0.07).exp() for k in range(4)]
        for k in range(4):
            p, q = wanted[k] / sum(wanted), found[k] / sum(found)
            relation = relation + p * (p / q).log() / 4
    plain = {"contrast": contrast, "relation": relation, "pair": pair / 4, "report": report / words}
    ours = losses_of(objective)
    assert ours["corrected"] > 0
    for name, loss in plain.items():
        assert ours[name].item() == pytest.approx(loss.item(), rel=1e-9), name
        assert_same(gradients(network, ours[name]), gradients(network, loss))


def test_each_loss_reaches_what_it_is_about_and_nothing_else():
    objective = steady("biud")
    losses = losses_of(objective)
    towers = {"vision", "image_projection"}
    assert reached(objective.module, losses["contrast"]) == towers | {"text_encoder", "text_projection"}
    assert reached(objective.module, losses["pair"]) == towers | {"expert_projection"}
    assert reached(objective.module, losses["relation"]) == towers
    assert reached(objective.module, losses["report"]) == {"vision", "text_encoder", "fusion", "head"}


def test_the_gradient_is_the_same_in_one_piece_and_in_four():
    whole = steady("biud")
    at_once = gradients(whole.module, weighted(whole, losses_of(whole)))
    assert_same(gradients_in_pieces(steady("biud", micro_batch=1)), at_once)


# The expert's bank.


def test_a_report_is_taught_by_the_radiograph_whose_report_is_nearest(bank_file):
    objective = tiny_method("biud", batch=4, micro_batch=4, expert_bank=str(bank_file))
    stored = np.load(bank_file)
    batch, source = objective.batch(0), objective.data.source
    for b in range(4):
        text = source.pair(b).embeddings_SC.astype(np.float64).mean(0)
        cosines = [text @ row / np.linalg.norm(row) for row in stored["text"]]
        image = stored["image"][int(np.argmax(cosines))]
        np.testing.assert_allclose(batch.expert_BX[b], image / np.linalg.norm(image), rtol=1e-5)
    assert objective.network.expert_projection.out_features == 7
    assert objective.bank.expert == "expert.npz"


def test_a_mean_text_can_be_taken_off():
    """Texts that differ little beside what they share are nearest by what they differ in."""
    shared = np.array([[10.0, 0, 0]], np.float32)
    text = shared + np.array([[0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32)
    bank = bank_of(text, np.eye(4, dtype=np.float32), centred=True)
    asked = bank.placed(shared + np.array([[5, 0.1, 0.2]], np.float32) * np.array([[0, 1, 1]], np.float32))
    np.testing.assert_allclose(asked, [[0, 1 / math.sqrt(5), 2 / math.sqrt(5)]], atol=1e-6)
    np.testing.assert_allclose(bank.nearest(asked), [[0, 0, 1, 0]])


def test_without_a_bank_the_run_says_that_there_is_no_expert(caplog):
    with caplog.at_level(logging.INFO, logger="simcrop_training"):
        objective = tiny_method("biud", simulated=5)
    assert "no expert" in caplog.text
    assert objective.bank.expert == "no expert"
    assert objective.bank.image_MX.shape == (5, 32)
    np.testing.assert_allclose(np.linalg.norm(objective.bank.image_MX, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"text": np.ones((2, 32))}, "image is not a file"),
        ({"text": np.ones((2, 32)), "image": np.ones((3, 4))}, r"text of \(2, 32\) and image of \(3, 4\)"),
        ({"text": np.ones(32), "image": np.ones((1, 4))}, "text of"),
        ({"text": np.ones((0, 32)), "image": np.ones((0, 4))}, "text of"),
        ({"text": np.ones((2, 31)), "image": np.ones((2, 4))}, "31 wide, those of the run's text encoder 32"),
        ({"text": np.full((2, 32), np.nan), "image": np.ones((2, 4))}, "2 rows of text"),
        ({"text": np.ones((2, 32)), "image": np.diag([1.0, 0.0])}, "1 rows of image"),
        ({"text": np.array(["no", "numbers"]), "image": np.ones((2, 4))}, "is no expert bank"),
        ({"text": np.array([{}, {}]), "image": np.ones((2, 4))}, "is no expert bank"),
    ],
)
def test_an_unusable_bank_is_refused_in_words(arrays, words, tmp_path):
    np.savez(tmp_path / "bank.npz", **arrays)
    with pytest.raises(UnusableExpertBank, match=words):
        read_bank(tmp_path / "bank.npz", width=32, centred=False)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut short", b"neither"])
def test_a_file_that_is_no_bank_is_refused(content, tmp_path):
    path = tmp_path / "bank.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnusableExpertBank, match="is no expert bank"):
        read_bank(path, width=32, centred=False)


def test_an_array_that_is_no_archive_is_refused(tmp_path):
    np.save(tmp_path / "bank.npy", np.ones((2, 32)))
    with pytest.raises(UnusableExpertBank, match="is no expert bank"):
        read_bank(tmp_path / "bank.npy", width=32, centred=False)


# Entities.


@pytest.fixture(scope="module")
def tokenizer():
    """One that cuts words into pieces."""
    found = Tokenizer.from_file(str(MINILM / "tokenizer.json"))
    found.no_padding()
    found.no_truncation()
    return found


@pytest.mark.parametrize("label", CT_RATE_LABELS)
def test_every_label_is_an_entity_as_a_whole(label):
    said = f"There may be {label.lower()} today."
    left = entities().sub("", said).split()
    assert left == ["There", "may", "be", "today."]


def test_places_are_entities_and_ordinary_words_are_none(tokenizer):
    encoding = tokenizer.encode(TEXT, add_special_tokens=False)
    named = [piece for piece, entity in zip(encoding.tokens, entity_pieces(TEXT, encoding), strict=True) if entity]
    words = "".join(f" {piece}" for piece in named).replace(" ##", "").split()
    expected = "trachea bronchi emphysema lobes nodule pericardial effusion peribronchial thickening"
    assert words == expected.split()
    assert entities().findall("The wall is of normal pattern, size and width; nothing is open.") == []
    assert entities().findall("Calcified plaques in the aorta; GROUND-GLASS opacities; sublobe") == [
        "Calcified", "plaques", "aorta", "GROUND-GLASS opacities",
    ]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), repeats=st.integers(1, 6))
def test_half_of_the_entities_words_are_hidden_and_few_of_the_others(tokenizer, seed, repeats):
    """In whole words, exactly to the next word, and never [CLS], [SEP] or padding."""
    text = " ".join([TEXT] * repeats)
    encoding = tokenizer.encode(text, add_special_tokens=False)
    pad = [0, 0]
    ids = torch.tensor([[101, *encoding.ids, 102, *pad]])
    continues = torch.tensor([[False, *(t.startswith("##") for t in encoding.tokens), False, False, False]])
    entity = torch.tensor([[False, *entity_pieces(text, encoding), False, False, False]])
    special = torch.ones_like(entity)
    special[0, 1:-3] = False
    noise = torch.rand(2, 1, ids.shape[1], generator=torch.Generator().manual_seed(seed))
    shown, labels = focused_mask(ids, continues, special, entity, noise, ratios=(0.5, 0.15), mask_id=103)
    hidden = labels != -100
    assert not (hidden & special).any()
    assert labels[hidden].equal(ids[hidden])
    assert (shown == 103).equal(hidden | (ids == 103))
    assert shown[~hidden].equal(ids[~hidden])
    starts = ~continues & ~special
    for kind, ratio in ((entity, 0.5), (~entity, 0.15)):
        words = int((starts & kind).sum())
        assert int((starts & kind & hidden).sum()) == round(words * ratio)
    goes_on = continues[0, 1:]
    assert hidden[0, 1:][goes_on].equal(hidden[0, :-1][goes_on])


def test_entities_are_hidden_in_the_reports_of_a_run():
    """Over many reports about half of their entities' words, and a seventh of the others."""
    objective = tiny_method("biud", batch=8, micro_batch=8)
    hidden, words = {True: 0, False: 0}, {True: 0, False: 0}
    for index in range(12):
        batch = objective.batch(index)
        for ids, labels in zip(batch.words_BT, batch.labels_BT, strict=True):
            for piece, label in zip(ids.tolist(), labels.tolist(), strict=True):
                token = objective.tokenizer.id_to_token(piece)
                if token.startswith("["):
                    assert label == -100
                    continue
                entity = entities().fullmatch(token) is not None or token in ("lymph", "nodes")
                words[entity] += 1
                hidden[entity] += label != -100
    assert hidden[True] / words[True] == pytest.approx(0.5, abs=0.08)
    assert hidden[False] / words[False] == pytest.approx(0.15, abs=0.05)
