"""How a recipe and data become an objective."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from simcrop_core.models.config import PRESETS, SEGMENTATION_PRESETS
from simcrop_core.models.state import load_exactly
from simcrop_core.models.weights_file import load_tensors
from simcrop_core.text.encoder import load_text_encoder
from simcrop_training.data.sample import sample_paths, texts_of
from simcrop_training.data.source import SampleSource
from simcrop_training.data.store_source import CropSettings, StoreSource
from simcrop_training.engine.errors import NothingToLearnFrom
from simcrop_training.objectives.grounding import Grounding
from simcrop_training.objectives.segmentation import Segmentation
from simcrop_training.objectives.simcrop import SimCroPPretraining
from simcrop_training.recipe import Data, Recipe
from simcrop_training.store.store import Store

AnyObjective = Grounding | Segmentation | SimCroPPretraining


def objective_of(recipe: Recipe, data: Data, *, sentences: Path, encoder: Path | None = None) -> AnyObjective:
    """The recipe's objective on the data named.

    Args:
        recipe: what to learn and how.
        data: on what.
        sentences: file that keeps the embeddings of stored samples' sentences from one run to the next.
        encoder: grounding weights whose image encoder a run starts from; in a segmentation it stays as it is.

    Raises:
        NothingToLearnFrom: a folder without samples, or a store without studies.
    """
    if recipe.objective == "simcrop" and data.store is not None:
        return _from_store(recipe, data.store, encoder)
    synthetic, real, held_out = (sample_paths(folders) for folders in (data.synthetic, data.real, data.held_out))
    if not synthetic or not held_out:
        raise NothingToLearnFrom(
            "Training needs synthetic samples and held-out samples; a folder named has none.",
            hint="Make them with simcrop-train phantoms, or give a store (--store) that simcrop-prepare made.",
        )
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
        rows = {text: row.numpy() for text, row in embeddings.items()}
        objective = SimCroPPretraining(
            recipe.pretraining(), config.frame, recipe.simcrop, top_k=config.top_k, seed=recipe.seed,
            source=SampleSource(synthetic, rows, recipe.augmentation, recipe.seed), held_out=held_out, embeddings=rows,
        )  # fmt: skip
        return _started_from(objective, encoder)
    return Grounding(
        config, recipe.grounding, synthetic=synthetic, real=real, held_out=held_out,
        embeddings=embeddings, steps=recipe.schedule.steps, seed=recipe.seed,
        augmentation=recipe.augmentation,
    )  # fmt: skip


def in_steps(recipe: Recipe, objective: AnyObjective) -> Recipe:
    """The recipe with epochs turned into steps: an epoch ends with its last whole batch."""
    per_epoch = 1
    if isinstance(objective, SimCroPPretraining):
        per_epoch = max(objective.source.pairs // objective.samples, 1)
    return dataclasses.replace(recipe, schedule=recipe.schedule.in_steps(per_epoch))


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


def _from_store(recipe: Recipe, folder: Path, encoder: Path | None) -> SimCroPPretraining:
    store, config = Store.open(folder), recipe.pretraining()
    still = CropSettings(jitter=(0, 0, 0), shift_hu=0.0)
    splits = {study.split for study in store.studies}
    validation = None
    if "valid" in splits and recipe.validation:
        validation = StoreSource(store, config.text, split="valid", seed=0, crop=still, limit=recipe.validation)
    objective = SimCroPPretraining(
        config, PRESETS[recipe.preset].frame, recipe.simcrop, top_k=PRESETS[recipe.preset].top_k, seed=recipe.seed,
        source=StoreSource(store, config.text, split="train", seed=recipe.seed, crop=recipe.crop),
        validation=validation,
    )  # fmt: skip
    return _started_from(objective, encoder)


def _started_from(objective: SimCroPPretraining, encoder: Path | None) -> SimCroPPretraining:
    """With the image encoder of weights that exist (A23); its own position table stays."""
    if encoder is not None:
        vision = objective.network.vision
        own = vision.state_dict().keys()
        taken = {k: t.float() for k, t in load_tensors(encoder).items() if k in own and k != "pos_embed"}
        load_exactly(vision, taken, optional={"pos_embed"})
    return objective
