"""A pre-training run so small that three ranks of it fit into seconds; also a program that tests start and kill."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from simcrop_training.data.source import Pair, draws, epoch_order
from simcrop_training.engine.loop import Loop, Outcome
from simcrop_training.engine.ranks import ALONE, Ranks, joined_ranks
from simcrop_training.engine.schedule import Compute, Schedule
from simcrop_training.objectives.simcrop import SimCroPPretraining, SimCroPSettings

from simcrop_core.models.config import PRESETS, PRETRAINING_PRESETS

STUDIES = (1, 2, 2, 1, 3)
SENTENCES = (
    "A nodule of 8 mm is seen in the right upper lobe.",
    "There is no pleural effusion.",
    "The heart is of normal size.",
    "Emphysema is present in both upper lobes.",
    "No enlarged lymph nodes are seen.",
    "A hiatal hernia is noted.",
    "The aorta is calcified.",
)


class TinySource:
    """Frames of 32 × 32 × 16 voxels, brighter where a sentence of theirs says so, in the order of real epochs."""

    pairs = sum(STUDIES)
    pair_bytes = 2 * 32 * 32 * 16

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._embeddings = np.random.default_rng(8).standard_normal((len(SENTENCES), 384), dtype=np.float32)

    def pair(self, ordinal: int) -> Pair:
        epoch, place = divmod(ordinal, self.pairs)
        volume = int(epoch_order(STUDIES, self._seed, epoch)[place])
        rng = np.random.default_rng(volume)
        said = sorted(rng.permutation(len(SENTENCES))[: 1 + volume % 5].tolist())
        image = rng.normal(-400, 250, (32, 32, 16))
        for sentence in said:
            image[4 * sentence : 4 * sentence + 8, :16] += 500
        image += draws(self._seed, ordinal, 0).normal(0, 20, image.shape)
        texts = tuple(SENTENCES[s] for s in said)
        return Pair(image.astype(np.int16), texts, self._embeddings[said], " ".join(texts[:-1]), texts[-1])


def tiny_objective(seed: int = 3, batch: int = 4, micro_batch: int = 1, **changes: object) -> SimCroPPretraining:
    """By default four frames a step in four micro-batches; `changes` are of the network."""
    config = dataclasses.replace(PRETRAINING_PRESETS["tiny"], **changes)
    settings = SimCroPSettings(batch=batch, micro_batch=micro_batch, report_tokens=24)
    frame = PRESETS["tiny"].frame
    return SimCroPPretraining(config, frame, settings, source=TinySource(seed), top_k=4, seed=seed)


def losses(folder: Path, name: str = "loss") -> dict[int, float]:
    """A figure by step; where steps were done twice, the later line."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def start(world: int, plans: dict[Path, dict[str, object]]) -> list[subprocess.Popen[str]]:
    """Start the ranks, as torchrun would, on runs to be done one after the other: their folders and options."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = Path(__file__).parents[2]
    shared = {
        "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (root, root / "training", Path(__file__).parent))),
    }  # fmt: skip
    asked = json.dumps({str(folder): options for folder, options in plans.items()})
    return [
        subprocess.Popen(
            [sys.executable, __file__, asked],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(world)
    ]  # fmt: skip


def ended(ranks: list[subprocess.Popen[str]]) -> list[str]:
    """What the ranks said, once all have ended well."""
    said = [rank.communicate(timeout=900)[0] for rank in ranks]
    assert all(rank.returncode == 0 for rank in ranks), "\n".join(said)
    return said


def run(folder: Path, ranks: Ranks = ALONE, **options: object) -> Outcome:
    """Train, with fields of `Schedule` and `Compute` as options."""
    schedule = Schedule(steps=6, learning_rate=2e-3, warm_up=2, measure_every=10**6, precision="float32")
    schedule = dataclasses.replace(schedule, **_fields(Schedule, options))
    compute = dataclasses.replace(Compute(log_every=1), **_fields(Compute, options))
    torch.manual_seed(int.from_bytes(os.urandom(4)))  # What the process drew before must not matter.
    return Loop(tiny_objective(), schedule, folder, seed=3, ranks=ranks, compute=compute).run()


def _fields(kind: type, options: dict[str, object]) -> dict[str, object]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in options.items() if name in names}


def main() -> None:
    torch.set_num_threads(1)
    with joined_ranks() as ranks:
        for folder, options in json.loads(sys.argv[1]).items():
            outcome = run(Path(folder), ranks, **options)
            sys.stdout.write(f"ended {outcome.step} {outcome.signal}\n")
            if outcome.signal:
                return


if __name__ == "__main__":
    main()
