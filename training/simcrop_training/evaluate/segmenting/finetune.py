"""Fine-tuning from scans to a weights file that `simcrop segment` and the Slicer module use at once."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from simcrop_core.models.config import SegmentationConfig
from simcrop_core.models.registry import SEGMENTATION_FILE
from simcrop_core.models.structures import each_alone
from simcrop_core.models.weights_file import save_weights
from simcrop_core.models.weights_metadata import Provenance, WeightsMetadata
from simcrop_core.phantom.layouts.tables import write_json_file
from simcrop_training.datasets.labelled import require_files
from simcrop_training.datasets.study import LeftOut
from simcrop_training.engine.errors import NothingToLearnFrom
from simcrop_training.engine.loop import Loop, Outcome
from simcrop_training.engine.ranks import ALONE, Ranks
from simcrop_training.engine.schedule import Compute
from simcrop_training.evaluate.segmenting.datalist import Splits
from simcrop_training.evaluate.segmenting.network import Encoder, build
from simcrop_training.evaluate.segmenting.objective import Best, Crops, FineTuning
from simcrop_training.evaluate.segmenting.prepared import Prepared, prepare
from simcrop_training.evaluate.segmenting.presets import Protocol, changed, schedule_of
from simcrop_training.provenance import training_of

_log = logging.getLogger("simcrop_training")
BEST_FILE, SPLITS_FILE, RUN_FILE = "best.safetensors", "splits.json", "finetune.json"
_LICENCE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A finished run.

    Attributes:
        weights: the exported file; None where a signal ended the run.
        outcome: of the loop.
        left_out: scans that were not used.
    """

    weights: Path | None
    outcome: Outcome
    left_out: tuple[LeftOut, ...]


def finetune(
    splits: Splits,
    protocol: Protocol,
    encoder: Encoder,
    output: Path,
    *,
    task: str,
    seed: int = 0,
    precision: Literal["bf16", "float32"] = "bf16",
    at_once: int = 1,
    steps: int | None = None,
    prepared: Path | None = None,
    ranks: Ranks = ALONE,
) -> FineTuned:
    """Train, keep the best checkpoint, export it. The same call goes on where an earlier one stopped.

    Args:
        splits: scans to train on and to choose by; the test scans are not opened.
        protocol: everything that is learned by.
        encoder: to start from.
        output: checkpoints, log and weights.
        task: under which the exported weights offer their labels.
        seed: of initialisation, orders and crops.
        precision: of the layers while training.
        at_once: crops computed together.
        steps: about so many instead of the protocol's epochs, whole epochs; the rate falls over them.
        prepared: where scans on the model's grid are kept; in `output` if None.
        ranks: processes that share the work.

    Raises:
        UnreadableFile: files are missing; no scan was opened.
        NothingToLearnFrom: no scan can be used.
        IncompatibleWeights: the encoder does not go with the protocol.
        UnusableCheckpoints: the folder holds another run.
        CannotWrite: the folder is not writable or the disk is full.
    """
    require_files((*splits.train, *splits.valid))
    folder = prepared or output / "prepared"
    train, valid, left_out = _prepared(splits, protocol, folder, ranks)
    if steps is not None:
        protocol = changed(protocol, epochs=max(1, round(steps / len(train))))
    torch.manual_seed(seed)
    model, not_taken = build(encoder, protocol, splits.labels)
    if not_taken:
        _log.info("Not taken from the encoder: %s", ", ".join(not_taken))
    identity = _identity(splits, protocol, encoder, seed, precision)
    objective = FineTuning(
        model, protocol, train=train, valid=valid, seed=seed, at_once=at_once,
        best=Best(output / BEST_FILE, hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()),
    )  # fmt: skip
    loop: Loop[Crops] = Loop(
        objective, schedule_of(protocol, len(train), precision=precision), output, seed=seed, ranks=ranks,
        compute=Compute(workers=2, ahead=1), identity=identity,
    )  # fmt: skip
    if ranks.first:
        write_json_file(output / SPLITS_FILE, _names(splits))
    outcome = loop.run()
    if outcome.signal is not None:
        return FineTuned(None, outcome, left_out)
    with loop.whole_module():
        if not ranks.first:
            return FineTuned(None, outcome, left_out)
        tensors = objective.best.tensors() or dict(objective.module.state_dict())
    file = output / SEGMENTATION_FILE
    said = _provenance(splits, protocol, encoder, outcome, objective.best.dice, identity)
    export(file, model.config, tensors, said, name=output.resolve().name, task=task)
    _write_run(output, identity, outcome, objective.best.dice, left_out, splits)
    return FineTuned(file, outcome, left_out)


def export(
    file: Path, config: SegmentationConfig, tensors: dict[str, Tensor], provenance: Provenance, *, name: str, task: str
) -> None:
    """Write a fine-tuned UNETR as a segmentation weights file (fp16): one task with every label.

    Args:
        file: such as `segmentation.safetensors`, the name by which a folder of weights is recognised.
        config: of the model.
        tensors: of the model; the position table follows from the configuration and is not stored.
        provenance: where the numbers come from.
        name: of the weights.
        task: of `simcrop segment --task`.

    Raises:
        CannotWrite: the folder is not writable or the disk is full.
    """
    every = each_alone(config.labels, range(1, len(config.labels)))
    metadata = WeightsMetadata(name, config, provenance, tasks={task: every})
    kept = {key: tensor for key, tensor in tensors.items() if not key.endswith("pos_embed")}
    save_weights(file, kept, metadata, half_precision=True)


def _prepared(
    splits: Splits, protocol: Protocol, folder: Path, ranks: Ranks
) -> tuple[list[Prepared], list[Prepared], tuple[LeftOut, ...]]:
    """The scans on the model's grid; the first process makes them, and the others find them made."""
    classes = len(splits.labels)
    for turn in (True, False):
        if ranks.first is turn:
            train, unusable = prepare(splits.train, classes, protocol, folder)
            valid, unusable_too = prepare(splits.valid, classes, protocol, folder)
        ranks.wait()
    if not train or not valid:
        part = "training" if not train else "validation"
        raise NothingToLearnFrom(
            f"None of the {part} scans can be used: {'; '.join(n.reason for n in (*unusable, *unusable_too)[:3])}",
            hint="See the list, and whether its label maps lie on their scans' voxels.",
        )
    return train, valid, (*splits.left_out, *unusable, *unusable_too)


def _identity(splits: Splits, protocol: Protocol, encoder: Encoder, seed: int, precision: str) -> dict[str, Any]:
    return {
        "protocol": protocol.to_dict(),
        "data": splits.described(),
        "labels": list(splits.labels),
        "encoder": encoder.start.sha256 if encoder.start else encoder.name,
        "seed": seed,
        "precision": precision,
    }


def _names(splits: Splits) -> dict[str, Any]:
    by_split = {split: [scan.name for scan in getattr(splits, split)] for split in ("train", "valid", "test")}
    return {**splits.described(), "labels": list(splits.labels), "remarks": list(splits.remarks), "scans": by_split}


def _provenance(
    splits: Splits, protocol: Protocol, encoder: Encoder, outcome: Outcome, best: float, identity: dict[str, Any]
) -> Provenance:
    """Weights inherit the terms of the scans and of the encoder."""
    start, own = encoder.start, _LICENCE if splits.synthetic else splits.terms or _unknown(splits)
    before = start.provenance if start else Provenance(_LICENCE, "", synthetic=True)
    licences = [terms for terms in dict.fromkeys([own, before.licence]) if terms != _LICENCE] or [_LICENCE]
    kind = "synthetic scans" if splits.synthetic else "scans"
    words = f"Fine-tuned on {len(splits.train)} {kind} of {splits.name} with label maps ({protocol.name} protocol)."
    if start:
        words += f" The image encoder began as that of {start.name}: {before.trained_on}"
    return Provenance(
        licence="; ".join(licences),
        trained_on=words,
        synthetic=splits.synthetic and before.synthetic,
        data=f"{splits.name}: {len(splits.train)} scans",
        recipe=f"finetune {protocol.name}",
        seed=identity["seed"],
        steps=outcome.step,
        wall_time_s=round(outcome.seconds, 1),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        metrics={**{name: round(value, 4) for name, value in outcome.metrics.items()}, "best": round(best, 4)},
        notes=(f"The image encoder began as that of {start.file}, sha256 {start.sha256}.",) if start else (),
        method=start.method if start else encoder.name,
        training=training_of({**identity, "encoder": ""}, outcome.step, start.training if start else encoder.name),
    )


def _unknown(splits: Splits) -> str:
    return f"not stated by the list of {splits.name}: ask who gave the scans"


def _write_run(
    output: Path, identity: dict[str, Any], outcome: Outcome, best: float, left_out: tuple[LeftOut, ...], splits: Splits
) -> None:
    document = {
        "schema": "simcrop.finetune/1",
        **identity,
        "steps": outcome.step,
        "seconds": round(outcome.seconds, 1),
        "validation": outcome.metrics,
        "chosen_by": best,
        "left_out": [dataclasses.asdict(note) for note in left_out],
        "remarks": list(splits.remarks),
    }
    write_json_file(output / RUN_FILE, document)
