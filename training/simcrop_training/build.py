"""How a recipe and data become an objective."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from simcrop_core.export.atomic import replacing
from simcrop_core.models.config import TextConfig
from simcrop_core.models.presets import PRESETS, SEGMENTATION_PRESETS
from simcrop_core.models.state import load_exactly
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights_file import load_tensors
from simcrop_core.text.encoder import load_text_encoder
from simcrop_core.text.short_form import closed, short_form
from simcrop_training.data.memory_source import MemorySource
from simcrop_training.data.sample import sample_paths, texts_of
from simcrop_training.data.source import SampleSource, Source
from simcrop_training.data.store_source import CropSettings, StoreSource
from simcrop_training.engine.errors import NothingToLearnFrom, UnreadData
from simcrop_training.methods import METHODS
from simcrop_training.objectives.grounding import Grounding
from simcrop_training.objectives.pairs import PairData, PairObjective
from simcrop_training.objectives.segmentation import Segmentation
from simcrop_training.recipe import Data, Recipe
from simcrop_training.store.encoder_key import encoder_key
from simcrop_training.store.store import Store

AnyObjective = Grounding | Segmentation | PairObjective


def objective_of(recipe: Recipe, data: Data, *, sentences: Path, encoder: Path | None = None) -> AnyObjective:
    """The recipe's objective on the data named.

    Args:
        recipe: what to learn and how.
        data: on what.
        sentences: file that keeps the embeddings of stored samples' sentences from one run to the next (`embed`).
        encoder: grounding weights whose image encoder a run starts from; in a segmentation it stays as it is.

    Raises:
        NothingToLearnFrom: a folder without samples, or a store without studies.
        UnreadData: data that the method does not read, or an encoder for a network that has none.
        UnknownWeights: `encoder` is no weights file.
        IncompatibleWeights: its image encoder is another one than the recipe's.
    """
    _require_read(recipe, data)
    if data.store is not None:
        if METHODS[recipe.objective].objective is None:
            raise NothingToLearnFrom(
                f"{recipe.objective} learns from stored samples with masks, not from a store.",
                hint="Give folders of samples (--synthetic, --held-out).",
            )
        objective = _on_pairs(recipe, _from_store(recipe, data.store))
        _start(objective.vision, encoder)
        return objective
    synthetic, real, held_out = (sample_paths(folders) for folders in (data.synthetic, data.real, data.held_out))
    if not synthetic or not held_out:
        raise NothingToLearnFrom(
            "Training needs synthetic samples and held-out samples; a folder named has none.",
            hint="Make them with simcrop-train phantoms, or give a store (--store) that simcrop-prepare made.",
        )
    if recipe.objective == "segmentation":
        if encoder and recipe.method.network == "unet":
            raise UnreadData("A UNet does not begin with an image encoder.", hint="Leave out --encoder.")
        return Segmentation(
            SEGMENTATION_PRESETS[recipe.preset], recipe.method, synthetic=synthetic, real=real,
            held_out=held_out, seed=recipe.seed, augmentation=recipe.augmentation,
            encoder=load_tensors(encoder) if encoder else None,
        )  # fmt: skip
    config = PRESETS[recipe.preset]
    texts = sorted({text for path in (*synthetic, *real, *held_out) for text in texts_of(path)})
    on_pairs = METHODS[recipe.objective].objective is not None
    if on_pairs:
        embeddings = embed(texts, recipe.pretraining().text, sentences)
        rows = {text: row.numpy() for text, row in embeddings.items()}
        source: Source = SampleSource(synthetic, rows, recipe.augmentation, recipe.seed)
        if recipe.in_memory:
            places = getattr(recipe.method, "supervision", 0.0) > 0
            source = MemorySource(
                synthetic, rows, config.vision.image, recipe.crop.shift_hu, recipe.seed, places=places
            )
        pairs = PairData(config.frame, source, held_out, embeddings=rows, top_k=config.top_k)
        objective = _on_pairs(recipe, pairs)
        _start(objective.vision, encoder)
        return objective
    short: dict[str, str] = {}
    read = {text: text for text in texts}
    if recipe.method.short_rate > 0:
        short = {text: said for text in texts if (said := short_form(text)) is not None}
        read = {text: closed(text) for text in (*texts, *short.values())}
    encoded = embed(sorted(set(read.values())), config.text, sentences)
    embeddings = {text: encoded[closed_text] for text, closed_text in read.items()}
    grounding = Grounding(
        config, recipe.method, synthetic=synthetic, real=real, held_out=held_out,
        embeddings=embeddings, short=short, steps=recipe.schedule.steps, seed=recipe.seed,
        augmentation=recipe.augmentation,
    )  # fmt: skip
    _start(grounding.grounding_model().vision, encoder)
    return grounding


def in_steps(recipe: Recipe, objective: AnyObjective) -> Recipe:
    """The recipe with epochs turned into steps: an epoch ends with its last whole batch.

    A method without losses takes no step.
    """
    per_epoch = 1
    if isinstance(objective, PairObjective):
        if not objective.weights:
            schedule = dataclasses.replace(recipe.schedule, steps=0, epochs=None)
            return dataclasses.replace(recipe, schedule=schedule)
        per_epoch = max(objective.data.source.pairs // objective.samples, 1)
    return dataclasses.replace(recipe, schedule=recipe.schedule.in_steps(per_epoch))


def embed(texts: list[str], tower: TextConfig, store: Path) -> dict[str, Tensor]:
    """Each sentence's embedding by a frozen text tower; new ones are added to the tower's own file.

    Processes that write it at once each write a whole file, and the last one stays.

    Args:
        texts: sentences.
        tower: the text encoder.
        store: name of the file, to which the tower's `encoder_key` is added.
    """
    file = store.with_stem(f"{store.stem}-{encoder_key(tower)}")
    known: dict[str, Tensor] = torch.load(file, weights_only=True) if file.exists() else {}
    new = [text for text in texts if text not in known]
    if new:
        encoded = load_text_encoder(tower).encode(new)
        known |= {text: row.clone() for text, row in zip(new, encoded, strict=True)}
        with replacing(file) as temporary:
            torch.save(known, temporary)
    return {text: known[text] for text in texts}


def _on_pairs(recipe: Recipe, data: PairData) -> PairObjective:
    objective = METHODS[recipe.objective].objective
    assert objective is not None
    return objective(recipe.pretraining(), data, recipe.method, recipe.seed)


def _from_store(recipe: Recipe, folder: Path) -> PairData:
    store, text, preset = Store.open(folder), recipe.pretraining().text, PRESETS[recipe.preset]
    still = CropSettings(jitter=(0, 0, 0), shift_hu=0.0)
    splits = {study.split for study in store.studies}
    method = METHODS[recipe.objective].objective
    organs = method is not None and method.needs_organs
    validation = None
    if "valid" in splits and recipe.validation:
        validation = StoreSource(store, text, split="valid", seed=0, crop=still, limit=recipe.validation, organs=organs)
    source = StoreSource(store, text, split="train", seed=recipe.seed, crop=recipe.crop, organs=organs)
    return PairData(preset.frame, source, validation=validation, top_k=preset.top_k)


def _require_read(recipe: Recipe, data: Data) -> None:
    """Refuse data that would be named with the weights without having been read.

    Raises:
        UnreadData: there are some.
    """
    if data.store is not None and (data.synthetic or data.real or data.held_out):
        raise UnreadData(
            "A run learns from a store or from folders of samples, not from both.",
            hint="Leave out --store, or --synthetic, --real and --held-out: a store has held-out studies of its own.",
        )
    if data.real and METHODS[recipe.objective].objective is not None:
        raise UnreadData(
            f"{recipe.objective} learns from scans with reports, which samples of real scans have not.",
            hint="Leave out --real; grounding and segmentation read them.",
        )


def _start(vision: VisionTransformer, encoder: Path | None) -> None:
    """Take the image encoder of weights that exist (A23); its own position table stays."""
    if encoder is not None:
        own = vision.state_dict().keys()
        taken = {k: t.float() for k, t in load_tensors(encoder).items() if k in own and k != "pos_embed"}
        load_exactly(vision, taken, optional={"pos_embed"})
