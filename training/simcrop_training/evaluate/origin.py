"""Where weights come from, as far as tables go: what tells two rows apart, and what makes two runs seeds of one.

Runs of one method are not runs of one recipe: only those that agree in everything but the seed share a cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from simcrop_core.models.checksum import sha256_of
from simcrop_core.models.config import EncoderConfig
from simcrop_core.models.registry import resolve_weights
from simcrop_core.models.weights_metadata import Provenance, WeightsMetadata, read_metadata
from simcrop_training.methods import METHODS
from simcrop_training.provenance import method_of, training_of

# Of both, the released script knows only the second.
_RANDOM, _WITHOUT_POSITIONS = "random", "random_zero_pos"
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Origin:
    """A row of a table.

    Attributes:
        model: the method that trained the weights, or their own name where nobody says.
        recipe: recipe, budget and data in words; empty where nobody says.
        training: what runs share that differ in their seed alone; empty where nobody says.
        seed: of the training; None where nobody says.
    """

    model: str
    recipe: str = ""
    training: str = ""
    seed: int | None = None

    @property
    def row(self) -> tuple[str, str]:
        """Model and training: what is one row of a table."""
        return self.model, self.training


def origin_of(weights: Path | str, *, released: bool = False) -> Origin:
    """Of weights whose image encoder is measured.

    Args:
        weights: name, folder or file.
        released: whether it is for the released probe, to which `random` is `random_zero_pos`.

    Raises:
        UnknownWeights: there are none of that name.
    """
    found = resolve_weights(weights)
    file = found.encoder or found.grounding
    if file is None:
        return Origin(found.name)
    metadata = read_metadata(file)
    model = _model(method_of(metadata), metadata)
    return _origin(_WITHOUT_POSITIONS if released and model == _RANDOM else model, metadata, file)


def segmentation_origin(weights: Path | str) -> Origin:
    """Of weights that segment: the row of the method that their image encoder began with.

    Raises:
        UnknownWeights: there are none of that name.
    """
    found = resolve_weights(weights)
    if found.segmentation is None:
        return Origin(found.name)
    metadata = read_metadata(found.segmentation)
    return _origin(_model(metadata.provenance.method, metadata), metadata, found.segmentation)


def _model(method: str | None, metadata: WeightsMetadata) -> str:
    """The method; the weights' own name where they were taught places or organs: no method is compared by these."""
    return metadata.name if method is None or (method in METHODS and METHODS[method].objective is None) else method


def row_names(origins: Iterable[Origin]) -> dict[tuple[str, str], str]:
    """What a table calls each row, by model and training.

    A model with one training alone goes by its name, the published one where it has one; several are told apart by
    recipe, budget and data, and by a hash where these agree too. A reconstruction is called one.
    """
    rows = {origin.row: origin for origin in origins}
    models, words = [model for model, _ in rows], [(origin.model, origin.recipe) for origin in rows.values()]
    names = {}
    for (model, training), origin in rows.items():
        told = ["reconstruction"] if model in METHODS and METHODS[model].reconstruction else []
        if models.count(model) > 1:
            told += [origin.recipe] if origin.recipe else []
            if words.count((model, origin.recipe)) > 1:
                told.append(training[:_SHOWN] or "training unknown")
        names[model, training] = f"{model} ({', '.join(told)})" if told else model
    return names


def run_names(origins: Sequence[Origin]) -> list[str]:
    """What each run is called where seeds stand beside each other."""
    names = row_names(origins)
    seeds = {row: len({origin.seed for origin in origins if origin.row == row}) for row in names}
    return [
        f"{names[origin.row]}, trained with seed {origin.seed}" if seeds[origin.row] > 1 else names[origin.row]
        for origin in origins
    ]


def _origin(model: str, metadata: WeightsMetadata, file: Path) -> Origin:
    made = metadata.provenance
    return Origin(model, _words(made), made.training or _training(metadata, file), made.seed)


def _words(made: Provenance) -> str:
    if made.source is not None:
        return f"imported from {made.source}"
    steps = None if made.steps is None else f"{made.steps} steps"
    return ", ".join(part for part in (made.recipe, steps, made.data) if part)


def _training(metadata: WeightsMetadata, file: Path) -> str:
    """Of weights that an earlier version wrote, by what they say of themselves; of all others the file's hash."""
    made, config = metadata.provenance, metadata.config
    if made.seed is None or made.steps is None:
        return sha256_of(file)
    recipe = dict(config.recipe) if isinstance(config, EncoderConfig) else {}
    recipe.pop("seed", None)
    said = {"config": {**config.to_dict(), "recipe": recipe}, "made": [made.recipe, made.data, made.notes]}
    return training_of(said, made.steps, None)
