"""What a step keeps in memory is counted by what autograd itself keeps."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from simcrop_training.cli import Bench
from simcrop_training.engine.parallel import Exact
from simcrop_training.engine.ranks import ALONE
from simcrop_training.memory import step_memory
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

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
    assert one.activations > one.gradients
    assert one.total == one.weights + one.gradients + one.moments + one.activations


def test_weights_gradients_and_moments_follow_from_the_parameters():
    bert = Bert(BertConfig(30522, 512, 48, 12, 12, 192, 1e-12, 2))
    network = SimCroP(TINY, bert)
    numbers = sum(p.numel() for p in network.parameters())
    trained = numbers - sum(p.numel() for p in bert.parameters())
    memory = counted(1)
    assert memory.weights == pytest.approx(4e-9 * numbers)
    assert memory.gradients == pytest.approx(4e-9 * trained)
    assert memory.moments == pytest.approx(8e-9 * trained)
    assert memory.sums == 0


class Weighted:
    """An objective that keeps nothing but its weights."""

    def __init__(self, numbers, micro_batches):
        self.module, self.micro_batches, self.weights = nn.Linear(numbers, 1, bias=False), micro_batches, {"loss": 1.0}

    def totals(self, batch):
        return {"loss": (self.module.weight[:, :2] * batch).sum()}


class Lives(TorchDispatchMode):
    """How many tensors of a size there are, and were at most since `most` was set to 0."""

    def __init__(self, size, *others):
        super().__init__()
        self.size, self.most, self._known = size, 0, {}
        self._others = {tensor.untyped_storage()._cdata for tensor in others}

    def now(self):
        self._known = {place: known for place, known in self._known.items() if not known.expired()}
        return len(self._known)

    def __torch_dispatch__(self, operation, types, given=(), named=None):
        result = operation(*given, **(named or {}))
        storages = [tensor.untyped_storage() for tensor in tree_leaves(result) if isinstance(tensor, torch.Tensor)]
        own = [s for s in storages if s.nbytes() == 4 * self.size and s._cdata not in self._others]
        self._known |= {storage._cdata: StorageWeakRef(storage) for storage in own}
        self.most = max(self.most, self.now())
        return result


@pytest.mark.parametrize("micro_batches", [1, 2, 3, 5, 8])
def test_gradients_and_sums_are_those_that_a_step_is_seen_to_keep(micro_batches):
    """After each forward pass the last gradient and the nodes; after its backward pass one copy more."""
    objective = Weighted(5000, micro_batches)
    exact = Exact(objective, ALONE)
    forward, backward = [], []
    with Lives(5000, objective.module.weight) as lives:
        for _ in range(2):
            for _ in range(micro_batches):
                totals, _ = exact.outputs(1.0)
                forward.append(lives.now())
                lives.most = 0
                exact.backward(totals["loss"])
                backward.append(lives.most)
            exact.clip(1.0)
    memory = step_memory(TINY, micro_batch=1, report_tokens=32, sentences=6, micro_batches=micro_batches)
    assert max(forward) * memory.gradients == pytest.approx(memory.gradients + memory.sums)
    bare = dataclasses.replace(memory, activations=0.0)
    assert bare.total - bare.weights - bare.moments == pytest.approx(max(backward) * memory.gradients)


def test_the_command_says_what_it_leaves_out(caplog):
    with caplog.at_level("INFO", "simcrop_training"):
        assert Bench(preset="tiny", batch=1, memory=True, micro_batches=2).run() == 0
    figures, words = caplog.messages
    counted = json.loads(figures)
    assert counted["sums"] == counted["gradients"] > 0
    assert "Not counted" in words
    assert f"{6 * counted['gradients']:.1f} GB" in words


def test_a_frozen_text_encoder_keeps_nothing():
    """A trained one of twelve layers would keep a fifth more."""
    trained = dataclasses.replace(TINY, freeze_text=False)
    assert counted(1, trained).activations > 1.15 * counted(1).activations
