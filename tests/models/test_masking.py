"""What a pre-training step hides."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop_core.models.masking import keep_indices, mask_report, masked_patches, visible_count, words_of

CLS, SEP, PAD, MASK = 1, 2, 0, 3


def report(words, pieces_a_word=3, padding=5):
    """[CLS], words of 1 to 3 pieces, [SEP], padding: ids (from 10 on) and the word of each piece."""
    ids, continues, special = [CLS], [False], [True]
    for word in range(words):
        for piece in range(1 + word % pieces_a_word):
            ids.append(10 + len(ids))
            continues.append(piece > 0)
            special.append(False)
    ids += [SEP] + [PAD] * padding
    continues += [False] * (1 + padding)
    special += [True] * (1 + padding)
    as_row = lambda values: torch.tensor(values).unsqueeze(0)  # noqa: E731
    return as_row(ids), words_of(as_row(continues), as_row(special))


def noise(ids, seed=0):
    return torch.rand(ids.shape, generator=torch.Generator().manual_seed(seed))


def test_a_quarter_of_the_papers_patches_stays_visible():
    assert visible_count(2744, 0.75) == 686


def test_visible_and_hidden_patches_share_the_grid():
    noise_BN = noise(torch.zeros(3, 2744))
    keep_BK = keep_indices(noise_BN, 686)
    assert keep_BK.shape == (3, 686)
    masked_BN = masked_patches(keep_BK, 2744)
    assert (masked_BN.sum(dim=1) == 2744 - 686).all()
    assert not masked_BN.gather(1, keep_BK).any()
    for b in range(3):  # those with the least noise, and nothing but the noise decides
        assert noise_BN[b][~masked_BN[b]].max() < noise_BN[b][masked_BN[b]].min()
    assert torch.equal(keep_BK, keep_indices(noise_BN.clone(), 686))


def test_words_are_counted_over_their_pieces():
    ids, words = report(4)
    assert words.tolist() == [[-1, 0, 1, 1, 2, 2, 2, 3, -1, -1, -1, -1, -1, -1]]
    assert ids.shape == words.shape


@given(words=st.integers(1, 60), seed=st.integers(0, 1000), ratio=st.sampled_from([0.15, 0.5, 0.75, 1.0]))
@settings(max_examples=30, deadline=None)
def test_whole_words_are_hidden_and_nothing_else(words, seed, ratio):
    ids, index = report(words)
    masked, labels = mask_report(ids, index, noise(ids, seed), ratio=ratio, mask_id=MASK)
    hidden = masked != ids
    assert not hidden[index < 0].any(), "special tokens and padding stay"
    assert (masked[hidden] == MASK).all(), "always [MASK], never another word"
    assert torch.equal(labels, ids.masked_fill(~hidden, -100))
    hidden_words = [bool(hidden[index == word].all()) for word in range(words)]
    assert hidden_words == [bool(hidden[index == word].any()) for word in range(words)]
    assert sum(hidden_words) == round(words * ratio)


@pytest.mark.parametrize("unit", ["word", "token"])
def test_three_quarters_of_a_long_report_are_hidden(unit):
    ids, index = report(400)
    masked, _ = mask_report(ids, index, noise(ids), ratio=0.75, mask_id=MASK, unit=unit)
    share = (masked == MASK).sum() / (index >= 0).sum()
    assert share == pytest.approx(0.75, abs=0.02)


def test_single_pieces_can_be_hidden_too():
    ids, index = report(100)
    masked, _ = mask_report(ids, index, noise(ids), ratio=0.5, mask_id=MASK, unit="token")
    hidden = masked == MASK
    parted = [0 < int(hidden[index == w].sum()) < int((index == w).sum()) for w in range(100)]
    assert any(parted)
    assert not hidden[index < 0].any()


def test_every_piece_can_be_a_target():
    ids, index = report(20)
    masked, labels = mask_report(ids, index, noise(ids), ratio=0.75, mask_id=MASK, targets="all")
    assert torch.equal(labels, ids.masked_fill(index < 0, -100))
    assert (masked == MASK).any()


def test_reports_of_different_lengths_are_masked_as_if_alone():
    (short, short_words), (long, long_words) = report(6, padding=20), report(12, padding=2)
    length = max(short.shape[1], long.shape[1])

    def pad(row, value):
        return torch.nn.functional.pad(row, (0, length - row.shape[1]), value=value)

    ids = torch.cat([pad(short, PAD), pad(long, PAD)])
    words = torch.cat([pad(short_words, -1), pad(long_words, -1)])
    noise_BT = noise(ids)
    together, _ = mask_report(ids, words, noise_BT, ratio=0.75, mask_id=MASK)
    alone, _ = mask_report(ids[:1], words[:1], noise_BT[:1], ratio=0.75, mask_id=MASK)
    assert torch.equal(together[:1], alone)


def test_an_empty_report_has_nothing_to_hide():
    ids = torch.tensor([[CLS, SEP, PAD]])
    words = words_of(torch.zeros_like(ids, dtype=torch.bool), torch.ones_like(ids, dtype=torch.bool))
    masked, labels = mask_report(ids, words, noise(ids), ratio=0.75, mask_id=MASK)
    assert torch.equal(masked, ids)
    assert (labels == -100).all()
