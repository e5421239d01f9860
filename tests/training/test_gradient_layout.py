"""A network learns the same whichever way its weights lie in memory."""

from __future__ import annotations

import pytest
import torch
from simcrop_training.engine.errors import UnsuitableRanks
from simcrop_training.engine.parallel import parallel
from simcrop_training.engine.ranks import ALONE
from simcrop_training.engine.schedule import Schedule, adamw
from torch import nn
from torch.nn import functional as F


class Convolved:
    """Two convolutions that are to give back an image."""

    micro_batches, weights = 1, {"loss": 1.0}

    def __init__(self, memory_format):
        torch.manual_seed(0)
        self.module = nn.Sequential(nn.Conv3d(3, 5, 3, padding=1), nn.Conv3d(5, 3, 3, padding=1))
        self.module.to(memory_format=memory_format)

    def totals(self, images):
        return {"loss": F.mse_loss(self.module(images), images)}


def learned(way, memory_format, steps=5):
    objective = Convolved(memory_format)
    optimiser = adamw(objective.module, Schedule(learning_rate=0.01))
    shared = parallel(way, objective, ALONE)
    images = torch.rand(2, 3, 6, 5, 4, generator=torch.Generator().manual_seed(1))
    for _ in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.01
        totals, _ = shared.outputs(images)
        shared.backward(totals["loss"])
        shared.clip(1.0)
        optimiser.step()
    return [parameter.detach().clone() for parameter in objective.module.parameters()]


@pytest.mark.parametrize("way", ["exact", "ddp"])
def test_channels_last_learns_what_contiguous_weights_learn(way):
    """The fused optimiser reads memory in its own order: a gradient laid out otherwise moves the wrong weights."""
    rows, last = (learned(way, order) for order in (torch.contiguous_format, torch.channels_last_3d))
    assert not last[0].is_contiguous()
    for expected, found in zip(rows, last, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_what_fsdp_cannot_split_is_named(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    with pytest.raises(UnsuitableRanks, match="channels last"):
        parallel("fsdp", Convolved(torch.channels_last_3d), ALONE)
