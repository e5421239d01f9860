"""What a step keeps in memory is counted by what autograd itself keeps."""

from __future__ import annotations

import dataclasses

import pytest
from simcrop_training.memory import step_memory

from simcrop_core.models.presets import PRETRAINING_PRESETS
from simcrop_core.models.simcrop import SimCroP
from simcrop_core.text.bert import Bert, BertConfig

TINY = dataclasses.replace(PRETRAINING_PRESETS["tiny"], report_dim=48)


def counted(frames, config=TINY):
    return step_memory(config, micro_batch=frames, report_tokens=32, sentences=6)


def test_activations_grow_with_the_frames_and_nothing_else_does():
    one, two, three = (counted(frames) for frames in (1, 2, 3))
    # Not by the same for each frame: how many words are hidden is drawn.
    assert two.activations - one.activations == pytest.approx(three.activations - two.activations, rel=0.3)
    assert (one.weights, one.gradients, one.moments) == (three.weights, three.gradients, three.moments)
    assert one.total == one.weights + one.gradients + one.moments + one.activations


def test_weights_gradients_and_moments_follow_from_the_parameters():
    bert = Bert(BertConfig(30522, 512, 48, 12, 12, 192, 1e-12, 2))
    network = SimCroP(TINY, bert)
    numbers = sum(p.numel() for p in network.parameters())
    trained = numbers - sum(p.numel() for p in bert.parameters())
    memory = counted(1)
    assert memory.weights == pytest.approx(4e-9 * numbers)
    assert memory.gradients == memory.moments == pytest.approx(8e-9 * trained)


def test_a_frozen_text_encoder_keeps_nothing():
    """A trained one of twelve layers would keep a fifth more."""
    trained = dataclasses.replace(TINY, freeze_text=False)
    assert counted(1, trained).activations > 1.15 * counted(1).activations
