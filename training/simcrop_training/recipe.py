"""What a recipe file may say, and how it becomes a run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from torch import Tensor

from simcrop_core.models.config import PRESETS, PRETRAINING_PRESETS, SEGMENTATION_PRESETS
from simcrop_core.models.weights_file import load_tensors
from simcrop_core.text.encoder import load_text_encoder
from simcrop_training.data.augment import Augmentation
from simcrop_training.data.sample import sample_paths, texts_of
from simcrop_training.engine.loop import Schedule
from simcrop_training.objectives.grounding import Grounding, GroundingSettings
from simcrop_training.objectives.segmentation import Segmentation, SegmentationSettings
from simcrop_training.objectives.simcrop import SimCroPPretraining, SimCroPSettings

AnyObjective = Grounding | Segmentation | SimCroPPretraining


@dataclass(frozen=True, slots=True)
class Recipe:
    """One run: a preset, an objective, a schedule. A recipe file holds the fields that differ from these.

    `weights` is the name that the exported file bears.
    """

    name: str
    objective: Literal["grounding", "segmentation", "simcrop"]
    preset: str = "small"
    weights: str = "own"
    seed: int = 0
    schedule: Schedule = field(default_factory=Schedule)
    grounding: GroundingSettings = field(default_factory=GroundingSettings)
    segmentation: SegmentationSettings = field(default_factory=SegmentationSettings)
    simcrop: SimCroPSettings = field(default_factory=SimCroPSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True, slots=True)
class Data:
    """Folders of stored samples: drawn from nothing, of real scans, and held out to measure on."""

    synthetic: tuple[Path, ...]
    real: tuple[Path, ...] = ()
    held_out: tuple[Path, ...] = ()


def read_recipe(path: Path, *, steps: int | None = None) -> Recipe:
    """Read a recipe file.

    Args:
        path: of the YAML file.
        steps: instead of the file's.

    Raises:
        ValueError: a field that no recipe has.
    """
    recipe = _filled(Recipe, yaml.safe_load(path.read_text(encoding="utf-8")))
    assert isinstance(recipe, Recipe)
    if steps is None:
        return recipe
    return dataclasses.replace(recipe, schedule=dataclasses.replace(recipe.schedule, steps=steps))


def objective_of(recipe: Recipe, data: Data, *, sentences: Path, encoder: Path | None = None) -> AnyObjective:
    """The recipe's objective on stored samples.

    Args:
        recipe: what to learn and how.
        data: on what.
        sentences: file that keeps the sentences' embeddings from one run to the next.
        encoder: grounding weights whose image encoder a segmentation starts from.

    Raises:
        ValueError: a folder without samples.
    """
    synthetic, real, held_out = (sample_paths(folders) for folders in (data.synthetic, data.real, data.held_out))
    if not synthetic or not held_out:
        raise ValueError("Training needs synthetic samples and held-out samples; a folder named has none.")
    if recipe.objective == "segmentation":
        return Segmentation(
            SEGMENTATION_PRESETS[recipe.preset], recipe.segmentation, synthetic=synthetic, real=real,
            held_out=held_out, seed=recipe.seed, augmentation=recipe.augmentation,
            encoder=load_tensors(encoder) if encoder else None,
        )  # fmt: skip
    config = PRESETS[recipe.preset]
    texts = sorted({text for path in (*synthetic, *real, *held_out) for text in texts_of(path)})
    embeddings = embed(texts, recipe.preset, sentences)
    if recipe.objective == "simcrop":
        return SimCroPPretraining(
            PRETRAINING_PRESETS[recipe.preset], config.frame, recipe.simcrop, synthetic=synthetic, held_out=held_out,
            embeddings=embeddings, top_k=config.top_k, seed=recipe.seed, augmentation=recipe.augmentation,
        )  # fmt: skip
    return Grounding(
        config, recipe.grounding, synthetic=synthetic, real=real, held_out=held_out,
        embeddings=embeddings, steps=recipe.schedule.steps, seed=recipe.seed,
        augmentation=recipe.augmentation,
    )  # fmt: skip


def embed(texts: list[str], preset: str, store: Path) -> dict[str, Tensor]:
    """Each sentence's embedding by the preset's frozen text tower; new ones are added to the store."""
    known: dict[str, Tensor] = torch.load(store, weights_only=True) if store.exists() else {}
    new = [text for text in texts if text not in known]
    if new:
        encoded = load_text_encoder(PRESETS[preset].text).encode(new)
        known |= {text: row.clone() for text, row in zip(new, encoded, strict=True)}
        store.parent.mkdir(parents=True, exist_ok=True)
        temporary = store.with_suffix(".part")
        torch.save(known, temporary)
        temporary.replace(store)
    return {text: known[text] for text in texts}


def _filled(kind: type[Any], values: dict[str, Any]) -> Any:
    """A dataclass out of nested dictionaries, lists becoming tuples."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = values.keys() - fields.keys()
    if unknown:
        raise ValueError(f"{kind.__name__} has no field {', '.join(sorted(unknown))}.")
    nested = {"schedule": Schedule, "grounding": GroundingSettings, "segmentation": SegmentationSettings,
              "simcrop": SimCroPSettings, "augmentation": Augmentation}  # fmt: skip
    return kind(**{
        name: _filled(nested[name], value) if kind is Recipe and name in nested and isinstance(value, dict)
        else tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
    })  # fmt: skip
