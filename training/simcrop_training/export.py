"""A finished run as a weights file with its provenance."""

from __future__ import annotations

import dataclasses
import datetime
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from simcrop_core.models.config import EncoderConfig, SegmentationConfig
from simcrop_core.models.weights_file import save_weights
from simcrop_core.models.weights_metadata import Config, Provenance, WeightsMetadata
from simcrop_core.phantom.layouts.settings import NOTICE
from simcrop_training.build import AnyObjective
from simcrop_training.data.sample import sample_paths
from simcrop_training.engine.loop import Outcome
from simcrop_training.objectives.grounding import Grounding
from simcrop_training.objectives.pairs import PairObjective
from simcrop_training.objectives.segmentation import Segmentation
from simcrop_training.objectives.simcrop import SimCroPPretraining
from simcrop_training.recipe import Data, Recipe, identity_of
from simcrop_training.store.store import Store

_LICENCE = "Apache-2.0"
# A label that overlaps the truth less than this on held-out samples is not offered.
_LEAST_DICE = 0.3
_LUNGS = ("left lung", "right lung", "trachea")
_REAL = (
    "CIP ct-64 (Chest Imaging Platform, BSD style)",
    "Lung-PET-CT-Dx A0002 (CC BY 4.0)",
    "TotalSegmentator test CT (Apache-2.0)",
)


def export_run(objective: AnyObjective, recipe: Recipe, data: Data, outcome: Outcome, output: Path) -> list[Path]:
    """Write the weights, named after what they do (fp16), and `provenance.json` into the output folder.

    A method that can tell where a sentence is leaves `grounding.safetensors`, one that has learned anything else
    `encoder.safetensors`; some leave both.

    Raises:
        CannotWrite: the folder is not writable or the disk is full.
    """
    provenance = provenance_of(recipe, data, outcome)
    if isinstance(objective, PairObjective):
        trained_on = f"{provenance.trained_on} {objective.remark}".rstrip()
        provenance = dataclasses.replace(provenance, trained_on=trained_on)
    paths = []
    for config, tensors in _networks(objective, recipe):
        tasks = _tasks(config.labels, outcome.metrics) if isinstance(config, SegmentationConfig) else {}
        metadata = WeightsMetadata(recipe.weights, config, provenance, tasks=tasks)
        # The position tables follow from the configuration.
        kept = {key: tensor for key, tensor in tensors.items() if not key.endswith("pos_embed")}
        paths.append(output / f"{metadata.kind}.safetensors")
        save_weights(paths[-1], kept, metadata, half_precision=True)
    (output / "provenance.json").write_text(
        json.dumps(dataclasses.asdict(provenance), indent=2) + "\n", encoding="utf-8"
    )
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


def _tasks(labels: Sequence[str], metrics: Mapping[str, float]) -> dict[str, tuple[int, ...]]:
    """The labels each task gives: only those that the held-out samples show to be learned."""
    learned = [v for v, name in enumerate(labels) if v and metrics.get(f"dice/{name}", 0.0) >= _LEAST_DICE]
    tasks = {"lungs": [v for v in learned if labels[v] in _LUNGS], "chest": learned}
    return {task: tuple(values) for task, values in tasks.items() if values}


def provenance_of(recipe: Recipe, data: Data, outcome: Outcome) -> Provenance:
    """Where the run's numbers come from."""
    if data.store is not None:
        return _from_store(recipe, Store.open(data.store), outcome)
    synthetic, real = len(sample_paths(data.synthetic)), len(sample_paths(data.real))
    words = "synthetic CTs"
    if real:
        words += f" plus {len(_REAL)} real scans with findings drawn into them: {'; '.join(_REAL)}"
    return Provenance(
        licence=_LICENCE,
        trained_on=f"Trained on {words}, never on a hospital report.",
        synthetic=not real,
        data=f"{synthetic} phantoms, {real} samples of real scans",
        **_how(recipe, outcome),
    )


def _from_store(recipe: Recipe, store: Store, outcome: Outcome) -> Provenance:
    """Weights inherit the terms of the data set behind a store."""
    synthetic = store.terms == NOTICE
    scans = sum(len(study.volumes) for study in store.studies if study.split == "train")
    return Provenance(
        licence=_LICENCE if synthetic else store.terms,
        trained_on=f"Trained on {scans} scans of {store.data_set} with their reports.",
        synthetic=synthetic,
        data=f"{store.data_set}: {scans} scans",
        **_how(recipe, outcome),
    )


def _how(recipe: Recipe, outcome: Outcome) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "steps": outcome.step,
        "wall_time_s": round(outcome.seconds, 1),
        "git_commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "metrics": {name: round(value, 4) for name, value in outcome.metrics.items()},
    }


def _commit() -> str | None:
    """The code's git commit, "+" behind it if files differ; None outside a repository."""
    here = Path(__file__).parent
    try:
        commit, changes = (
            subprocess.run(["git", "-C", here, *args], capture_output=True, text=True, check=True).stdout.strip()
            for args in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changes else "")
