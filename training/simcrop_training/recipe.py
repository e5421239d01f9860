"""What a recipe file may say."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.presets import PRETRAINING_PRESETS
from simcrop_training.data.augment import Augmentation
from simcrop_training.data.store_source import CropSettings
from simcrop_training.engine.errors import UnusableRecipe
from simcrop_training.engine.schedule import Compute, Schedule
from simcrop_training.methods import METHODS
from simcrop_training.objectives.pairs import PairSettings

RECIPES = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One run: a preset, an objective, a schedule. A recipe file holds the fields that differ from these.

    Attributes:
        name: of the run.
        objective: the method, one of `methods.METHODS`.
        preset: sizes of the network.
        model: fields of `PretrainingConfig` that differ from the preset's and the method's.
        method: settings of the method, of the type that it names.
        weights: the name that the exported file bears.
        seed: of every random draw.
        schedule: how long and how fast.
        compute: how it is computed.
        augmentation: of stored samples.
        in_memory: stored samples are averaged to the network's frame once and kept, changed by `crop.shift_hu` alone.
        crop: of a store's scans.
        validation: so many held-out studies of a store are measured on.
    """

    name: str
    objective: str
    preset: str = "small"
    model: dict[str, Any] = field(default_factory=dict)
    weights: str = "own"
    seed: int = 0
    schedule: Schedule = field(default_factory=Schedule)
    compute: Compute = field(default_factory=Compute)
    method: Any = field(default_factory=PairSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)
    in_memory: bool = False
    crop: CropSettings = field(default_factory=CropSettings)
    validation: int = 64

    def pretraining(self) -> PretrainingConfig:
        """The network of a method that learns from scans with reports.

        Raises:
            ValueError: `model` has a field that no network has.
        """
        config = _changed(PRETRAINING_PRESETS[self.preset], {**METHODS[self.objective].model, **self.model})
        assert isinstance(config, PretrainingConfig)
        return config


@dataclass(frozen=True, slots=True)
class Data:
    """What a run learns from.

    Attributes:
        synthetic: folders of stored samples drawn from nothing.
        real: of real scans.
        held_out: to measure on.
        store: a training store, for methods on scans with reports, instead of samples.
    """

    synthetic: tuple[Path, ...] = ()
    real: tuple[Path, ...] = ()
    held_out: tuple[Path, ...] = ()
    store: Path | None = None


def read_recipe(name: Path, *, steps: int | None = None, objective: str | None = None) -> Recipe:
    """Read a recipe.

    A file may begin with `extends: NAME`: then it holds what differs from that recipe beside it.

    Args:
        name: of a file, or of a recipe in training/recipes without its ending.
        steps: instead of the file's.
        objective: another method than the file's, everything that methods share (batch, schedule, network) as it is.

    Raises:
        UnusableRecipe: there is no such recipe, or it has a field or a value that no recipe has.
    """
    path = name if name.suffix else RECIPES / f"{name}.yaml"
    try:
        values = _values(path) if objective is None else _with_objective(_values(path), objective)
        recipe = recipe_of(values)
        recipe.pretraining()
    except (ValueError, yaml.YAMLError) as fault:
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml")))
        raise UnusableRecipe(f"{path} is no recipe: {fault}", hint=f"Known by name: {known}.") from fault
    if steps is None:
        return recipe
    schedule = dataclasses.replace(recipe.schedule, steps=steps, epochs=None)
    return dataclasses.replace(recipe, schedule=schedule)


def recipe_of(values: Mapping[str, Any]) -> Recipe:
    """A recipe from its fields as plain JSON or YAML types; those that are missing have their defaults.

    Raises:
        ValueError: a field or a value that no recipe has.
    """
    objective = values.get("objective")
    if objective not in METHODS:
        raise ValueError(f"objective is one of {', '.join(METHODS)}, not {objective!r}.")
    recipe = _changed(Recipe(name="", objective=objective, method=METHODS[objective].settings()), values)
    assert isinstance(recipe, Recipe)
    return recipe


def identity_of(recipe: Recipe) -> dict[str, Any]:
    """What two runs must agree on to be one run: everything but how it is computed, as plain JSON."""
    fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    del fields["compute"]
    return fields


def _values(path: Path) -> dict[str, Any]:
    """The fields of a file, on top of those of the file it extends."""
    if not path.is_file():
        raise ValueError("there is no such file.")
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    base = values.pop("extends", None)
    return values if base is None else _merged(_values(path.with_name(f"{base}.yaml")), values)


def _with_objective(values: dict[str, Any], objective: str) -> dict[str, Any]:
    """The fields of a recipe with another method; of the old one's settings, those that the new one has too."""
    if objective not in METHODS:
        return {**values, "objective": objective}
    own = {field.name for field in dataclasses.fields(METHODS[objective].settings)}
    kept = {name: value for name, value in values.get("method", {}).items() if name in own}
    return {**values, "name": f"{values.get('name', '')}-{objective}", "objective": objective, "method": kept}


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = below.keys() & above.keys()
    nested = {k: _merged(below[k], above[k]) for k in both if isinstance(below[k], dict) and isinstance(above[k], dict)}
    return below | above | nested


def _changed(settings: Any, values: Mapping[str, Any]) -> Any:
    """A dataclass with some fields changed, nested ones from nested dictionaries; lists become tuples.

    Raises:
        ValueError: a field that the dataclass does not have, or a value that is none of those it may have.
    """
    kind = type(settings)
    hints = typing.get_type_hints(kind)
    if unknown := sorted(values.keys() - {f.name for f in dataclasses.fields(kind)}):
        raise ValueError(f"{kind.__name__} has no field {', '.join(unknown)}.")
    changed = {}
    for name, value in values.items():
        now = getattr(settings, name)
        if dataclasses.is_dataclass(now):
            changed[name] = _changed(now, value)
            continue
        changed[name] = tuple(value) if isinstance(value, list) else value
        _require(changed[name], hints[name], f"{kind.__name__}.{name}")
    return dataclasses.replace(settings, **changed)


def _require(value: Any, hint: Any, name: str) -> None:
    """Catch what YAML reads otherwise than meant, such as 1e-4, which it takes for a word."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise ValueError(f"{name} is one of {', '.join(map(str, typing.get_args(hint)))}, not {value!r}.")
        return
    kinds = typing.get_args(hint) if origin in (typing.Union, types.UnionType) else (hint,)
    plain = [typing.get_origin(kind) or kind for kind in kinds]
    whole = isinstance(value, int) and not isinstance(value, bool) and float in plain
    if not whole and not (isinstance(value, tuple(plain)) and (bool in plain or not isinstance(value, bool))):
        raise ValueError(f"{name} cannot be {value!r}.")
