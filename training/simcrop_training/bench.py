"""A step of pre-training, ours beside the same losses as one would first write them, in one run."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.presets import PRESETS, PRETRAINING_PRESETS
from simcrop_core.text.encoder import MINILM, load_text_encoder
from simcrop_core.text.reference import reference_sentences
from simcrop_training.data.source import Pair, draws, evenly_spread
from simcrop_training.engine.schedule import Schedule, adamw
from simcrop_training.objectives.pairs import PairData, PairSettings
from simcrop_training.objectives.plain_simcrop import plain_losses
from simcrop_training.objectives.simcrop import SimCroPPretraining

# What findings of CT-RATE have at the median.
_SENTENCES = 18


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Medians over the rounds, seconds.

    Attributes:
        ours_s: a step as `simcrop-train` computes it.
        plain_s: the same step written plainly, in float32.
        samples: of a step.
        flops: of a step, counted.
    """

    ours_s: float
    plain_s: float
    samples: int
    flops: float

    @property
    def ratio(self) -> float:
        """How much faster ours is."""
        return self.plain_s / self.ours_s


class NoiseSource:
    """Frames of noise with reports of as many sentences as real ones have.

    Args:
        texts: sentences to draw from.
        embeddings_SC: theirs.
        shape: of a frame.
    """

    pairs = 1 << 20

    def __init__(self, texts: Sequence[str], embeddings_SC: NDArray[np.float32], shape: tuple[int, int, int]) -> None:
        self._texts, self._embeddings, self._shape = texts, embeddings_SC, shape
        self.pair_bytes = 2 * int(np.prod(shape))

    def pair(self, ordinal: int) -> Pair:
        """See `data.source.Source`."""
        rng = draws(0, ordinal, 0)
        rows = rng.permutation(len(self._texts))[:_SENTENCES]
        said = tuple(self._texts[row] for row in rows)
        image = rng.integers(-1000, 1000, self._shape, dtype=np.int16)
        return Pair(image, said, self._embeddings[rows], " ".join(said[:-1]), said[-1])

    def sentence_embeddings(self, limit: int) -> NDArray[np.float32]:
        """See `data.source.Source`."""
        return self._embeddings[evenly_spread(len(self._embeddings), limit)]


Preset = Literal["tiny", "small", "base"]
Step = Callable[[int], None]


def step_times(preset: Preset, *, batch: int, rounds: int) -> StepTimes:
    """Time both ways of a step in turn, so that whatever else the machine does meets both.

    Reading is left out: it happens beside the step.

    Args:
        preset: sizes of the network.
        batch: frames a step.
        rounds: of each, after one to warm up.
    """
    taken: dict[str, list[float]] = {"ours": [], "plain": []}
    with _config(preset) as config:
        objective, plain, ours = _both(config, preset, batch, rounds + 1)
    for turn in range(rounds + 1):
        for name, step in (("ours", ours), ("plain", plain)):
            began = time.perf_counter()
            step(turn)
            if turn:
                taken[name].append(time.perf_counter() - began)
    return StepTimes(median(taken["ours"]), median(taken["plain"]), batch, batch * objective.sample_flops)


def profiles(preset: Preset, *, batch: int) -> tuple[str, str]:
    """Where the time of a step goes, as tables: plain, then ours."""
    with _config(preset) as config:
        _, plain, ours = _both(config, preset, batch, 2)
    tables = []
    for step in (plain, ours):
        step(0)
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            step(1)
        tables.append(str(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=12)))
    return tables[0], tables[1]


@contextmanager
def _config(preset: Preset) -> Iterator[PretrainingConfig]:
    """The preset; where it names a text tower that has to be downloaded, a BERT-base of random weights in its place."""
    config = PRETRAINING_PRESETS[preset]
    if config.text.encoder == "minilm":
        yield config
        return
    # Seconds of import that only this preset needs.
    from transformers import BertConfig, BertModel

    with tempfile.TemporaryDirectory() as folder:
        BertModel(BertConfig()).save_pretrained(folder)
        shutil.copy(MINILM / "tokenizer.json", Path(folder))
        yield dataclasses.replace(config, text=dataclasses.replace(config.text, encoder=folder))


def _both(config: PretrainingConfig, preset: Preset, batch: int, turns: int) -> tuple[SimCroPPretraining, Step, Step]:
    """An objective, and its step written plainly and as it is, on batches prepared in advance."""
    encoder = load_text_encoder(config.text)
    texts = reference_sentences()
    source = NoiseSource(texts, encoder.encode(texts).numpy(), config.vision.image)
    data = PairData(PRESETS[preset].frame, source, top_k=PRESETS[preset].top_k)
    objective = SimCroPPretraining(config, data, PairSettings(batch=batch, micro_batch=batch), seed=0)
    batches = [objective.batch(turn) for turn in range(turns)]
    optimiser = adamw(objective.module, Schedule())

    def learn(losses: dict[str, Tensor]) -> None:
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def encode(said: Sequence[str]) -> Tensor:
        return encoder.encode(said).clone()  # Outside of inference mode a gradient may pass by.

    def plain(turn: int) -> None:
        said = [source.pair(turn * batch + b).sentences for b in range(batch)]
        learn(plain_losses(objective.network, objective.shown(batches[turn]), said, encode))

    def ours(turn: int) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            totals = objective.totals(batches[turn])
        counts = objective.counts(batches[turn])
        learn({name: total / max(counts[name], 1) for name, total in totals.items()})

    return objective, plain, ours
