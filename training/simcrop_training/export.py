"""A finished run as a weights file with its provenance."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from simcrop_core.models.config import EncoderConfig, SegmentationConfig
from simcrop_core.models.structures import CHEST_TASKS, made_of
from simcrop_core.models.weights_file import save_weights
from simcrop_core.models.weights_metadata import Config, Provenance, WeightsMetadata
from simcrop_training.build import AnyObjective
from simcrop_training.engine.loop import Outcome
from simcrop_training.objectives.grounding import Grounding
from simcrop_training.objectives.pairs import PairObjective
from simcrop_training.objectives.plain_unet import UNET_FILE, PlainUnet, save_unet
from simcrop_training.objectives.segmentation import Segmentation
from simcrop_training.objectives.simcrop import SimCroPPretraining
from simcrop_training.provenance import Start, provenance_of
from simcrop_training.recipe import Data, Recipe, identity_of

# A structure that overlaps the truth less than this on held-out samples is not offered.
_LEAST_DICE = 0.3


def export_run(
    objective: AnyObjective, recipe: Recipe, data: Data, outcome: Outcome, output: Path, *, start: Start | None = None
) -> list[Path]:
    """Write the weights, named after what they do (fp16), and `provenance.json` into the output folder.

    A method that can tell where a sentence is leaves `grounding.safetensors`, one that has learned anything else
    `encoder.safetensors`; some leave both. A UNet is left as `unet.safetensors`, which nothing but `simcrop-eval real`
    reads.

    Args:
        objective: what was learned.
        recipe: of the run.
        data: that it learned from.
        outcome: where it stopped.
        output: the folder.
        start: the weights whose image encoder it began with, or None.

    Raises:
        CannotWrite: the folder is not writable or the disk is full.
    """
    if isinstance(objective, PairObjective):
        learned, remark = bool(objective.weights), objective.remark
    else:
        learned, remark = True, ""
    provenance = provenance_of(recipe, data, outcome, learned=learned, remark=remark, start=start)
    if isinstance(objective.module, PlainUnet):
        paths = [output / UNET_FILE]
        save_unet(paths[0], objective.module)
    else:
        paths = _write_weights(objective, recipe, outcome, provenance, output)
    (output / "provenance.json").write_text(
        json.dumps(dataclasses.asdict(provenance), indent=2) + "\n", encoding="utf-8"
    )
    return paths


def _write_weights(
    objective: AnyObjective, recipe: Recipe, outcome: Outcome, provenance: Provenance, output: Path
) -> list[Path]:
    paths = []
    for config, tensors in _networks(objective, recipe):
        tasks = _tasks(config.labels, outcome.metrics) if isinstance(config, SegmentationConfig) else {}
        metadata = WeightsMetadata(recipe.weights, config, provenance, tasks=tasks)
        # The position tables follow from the configuration.
        kept = {key: tensor for key, tensor in tensors.items() if not key.endswith("pos_embed")}
        paths.append(output / f"{metadata.kind}.safetensors")
        save_weights(paths[-1], kept, metadata, half_precision=True)
    return paths


def _networks(objective: AnyObjective, recipe: Recipe) -> Iterator[tuple[Config, Mapping[str, Tensor]]]:
    if isinstance(objective, Segmentation):
        yield objective.config, objective.module.state_dict()
        return
    if isinstance(objective, Grounding | SimCroPPretraining):
        model = objective.grounding_model()
        yield model.config, model.flat_state_dict()
    if isinstance(objective, PairObjective) and type(objective) is not SimCroPPretraining:
        vision, frame = objective.config.vision, objective.data.frame
        yield EncoderConfig(recipe.objective, vision, frame, identity_of(recipe)), objective.flat_state_dict()


def _tasks(labels: Sequence[str], metrics: Mapping[str, float]) -> dict[str, dict[str, tuple[int, ...]]]:
    """The structures each task gives: only those that the held-out samples show to be learned."""
    tasks = {
        task: {name: made_of(name, labels) for name in names if metrics.get(f"dice/{name}", 0.0) >= _LEAST_DICE}
        for task, names in CHEST_TASKS.items()
    }
    return {task: structures for task, structures in tasks.items() if structures}
