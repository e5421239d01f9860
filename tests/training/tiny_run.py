"""A pre-training run so small that three ranks of it fit into seconds; also a program that tests start and kill."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from simcrop_training.data.organs import Organs
from simcrop_training.data.source import Pair, draws, epoch_order
from simcrop_training.engine.loop import Loop, Outcome
from simcrop_training.engine.ranks import ALONE, Ranks, joined_ranks
from simcrop_training.engine.schedule import Compute, Schedule
from simcrop_training.engine.trackers import Tracking
from simcrop_training.methods import METHODS
from simcrop_training.objectives.pairs import PairData, PairObjective, PairSettings
from simcrop_training.objectives.simcrop import SimCroPPretraining
from torch import Tensor

from simcrop_core.models.config import TextConfig
from simcrop_core.models.presets import PRESETS, PRETRAINING_PRESETS

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

    def __init__(self, seed: int, width: int = 384) -> None:
        self._seed = seed
        self._embeddings = np.random.default_rng(8).standard_normal((len(SENTENCES), width), dtype=np.float32)

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
        return Pair(
            image.astype(np.int16), texts, self._embeddings[said], " ".join(texts[:-1]), texts[-1],
            organs=_tiny_organs(volume),
        )  # fmt: skip

    def sentence_embeddings(self, limit: int) -> np.ndarray:
        return self._embeddings[:limit]


def _tiny_organs(volume: int) -> Organs:
    """Boxes about where sentences brighten the frame; the frame cuts one organ of every second volume."""
    labels = np.zeros((32, 32, 16), np.uint8)
    labels[2:16, 2:12, 2:8], labels[16:30, 2:12, 2:8] = 1, 2
    labels[9:15, 4:14, 9:14], labels[20:24, 2:14, 9:14], labels[25:31, 2:14, 9:14] = 3, 4, 5
    if volume % 2:
        labels[{1: 9, 3: 20, 5: 26, 7: 29}[volume], 5, 9:] = {1: 3, 3: 4, 5: 5, 7: 5}[volume]
    names = ("background", "lung_upper_lobe_left", "lung_upper_lobe_right", "heart", "esophagus", "aorta")
    return Organs.whole(labels, names)


@functools.cache
def toy_bert() -> TextConfig:
    """Two layers of random numbers over the words of the sentences above, in a folder as Hugging Face has them."""
    folder = Path(tempfile.mkdtemp(prefix="toy-bert-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    words = sorted({word for text in SENTENCES for word in text.lower().replace(".", " .").split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    config = {
        "model_type": "bert", "vocab_size": len(vocabulary), "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 64, "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    save_file(_bert_tensors(len(vocabulary)), folder / "model.safetensors")
    return TextConfig(encoder=str(folder), dim=32, pooling="cls", max_tokens=32)


def _bert_tensors(words: int) -> dict[str, Tensor]:
    """By the names of Hugging Face."""
    shapes: dict[str, tuple[int, int]] = {}
    for i in range(2):
        layer = f"encoder.layer.{i}."
        shapes |= {f"{layer}attention.self.{part}": (32, 32) for part in ("query", "key", "value")}
        shapes |= {f"{layer}attention.output.dense": (32, 32), f"{layer}intermediate.dense": (64, 32)}
        shapes[f"{layer}output.dense"] = (32, 64)
    numbers = torch.Generator().manual_seed(11)
    tensors = {}
    for name, rows in (("word", words), ("position", 64), ("token_type", 2)):
        tensors[f"embeddings.{name}_embeddings.weight"] = torch.randn(rows, 32, generator=numbers) * 0.2
    for name, (out, width) in shapes.items():
        tensors[f"{name}.weight"] = torch.randn(out, width, generator=numbers) * width**-0.5
        tensors[f"{name}.bias"] = torch.zeros(out)
    norms = [f"encoder.layer.{i}.{part}.output" for i in range(2) for part in ("attention", "")]
    for name in ("embeddings", *(norm.replace("..", ".") for norm in norms)):
        tensors |= {f"{name}.LayerNorm.weight": torch.ones(32), f"{name}.LayerNorm.bias": torch.zeros(32)}
    return tensors


# Settings that say how large a method is beside the encoder.
_FEWER: dict[str, dict[str, object]] = {"m3ae": {"co_layers": 2, "read_before": 1}}


def tiny_method(name: str, seed: int = 3, **settings: object) -> PairObjective:
    """A method on the tiny network and the toy BERT: by default four frames a step in four micro-batches."""
    method, text, tiny = METHODS[name], toy_bert(), PRETRAINING_PRESETS["tiny"]
    assert method.objective is not None
    words = len((Path(text.encoder) / "vocab.txt").read_text().splitlines())
    decoder = dataclasses.replace(tiny.report_decoder, vocabulary=words)
    config = dataclasses.replace(tiny, text=text, report_dim=text.dim, report_decoder=decoder, **method.model)
    fewer = _FEWER.get(name, {})
    chosen = method.settings(**{"batch": 4, "micro_batch": 1, "report_tokens": 24, **fewer, **settings})
    data = PairData(PRESETS["tiny"].frame, TinySource(seed, text.dim), top_k=4)
    return method.objective(config, data, chosen, seed)


def tiny_objective(seed: int = 3, batch: int = 4, micro_batch: int = 1, **changes: object) -> SimCroPPretraining:
    """The same of `simcrop`; `changes` are of the network."""
    config = dataclasses.replace(PRETRAINING_PRESETS["tiny"], **changes)
    settings = PairSettings(batch=batch, micro_batch=micro_batch, report_tokens=24)
    data = PairData(PRESETS["tiny"].frame, TinySource(seed), top_k=4)
    return SimCroPPretraining(config, data, settings, seed)


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
    """Train, with fields of `Schedule`, `Compute` and `Tracking`, and the name of a method, as options."""
    schedule = Schedule(steps=6, learning_rate=2e-3, warm_up=2, measure_every=10**6, precision="float32")
    schedule = dataclasses.replace(schedule, **_fields(Schedule, options))
    compute = dataclasses.replace(Compute(log_every=1), **_fields(Compute, options))
    torch.manual_seed(int.from_bytes(os.urandom(4)))  # What the process drew before must not matter.
    objective = tiny_method(str(options["method"])) if "method" in options else tiny_objective()
    tracking = Tracking(**_fields(Tracking, options))
    recipe = {"name": "tiny", "schedule": {"steps": schedule.steps}}
    return Loop(
        objective, schedule, folder, seed=3, ranks=ranks, compute=compute, identity=recipe, tracking=tracking
    ).run()


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
