"""What a recipe file may say."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from simcrop_core.models.config import PretrainingConfig
from simcrop_core.models.presets import PRETRAINING_PRESETS, SEGMENTATION_PRESETS
from simcrop_training.data.augment import Augmentation
from simcrop_training.data.store_source import CropSettings
from simcrop_training.engine.errors import UnusableRecipe
from simcrop_training.engine.schedule import Compute, Schedule
from simcrop_training.methods import METHODS
from simcrop_training.objectives.pairs import PairSettings
from simcrop_training.recipe_values import WrongValue, changed, mapping_of

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
        method = METHODS[self.objective].model
        config = changed(PRETRAINING_PRESETS[self.preset], {**method, **mapping_of(self.model, "model")}, "model")
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
    except (OSError, ValueError, yaml.YAMLError) as fault:
        raise UnusableRecipe(f"{path} is no recipe: {fault}", hint=_hint_of(fault)) from fault
    return recipe if steps is None else overridden(recipe, {"schedule": {"steps": steps, "epochs": None}})


def overridden(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """A recipe with what a command says instead.

    Raises:
        UnusableRecipe: a field or a value that no recipe has.
    """
    try:
        new = changed(recipe, values)
    except ValueError as fault:
        raise UnusableRecipe(f"The recipe {recipe.name} cannot be run so: {fault}", hint=_hint_of(fault)) from fault
    assert isinstance(new, Recipe)
    return new


def recipe_of(values: Mapping[str, Any]) -> Recipe:
    """A recipe from its fields as plain JSON or YAML types; those that are missing have their defaults.

    Raises:
        ValueError: a field or a value that no recipe has.
    """
    objective = values.get("objective")
    if objective == "m3d":
        raise WrongValue(
            "m3d is M3D-CLIP's published weights, which are not trained here.",
            hint="Import them (simcrop weights import, docs/methods/m3d.md), or train its method: m3d_shared.",
        )
    if not isinstance(objective, str) or objective not in METHODS:
        raise WrongValue(
            f"objective is one of {', '.join(METHODS)}, not {objective!r}.", hint="Write one of them behind objective:."
        )
    recipe = changed(Recipe(name="", objective=objective, method=METHODS[objective].settings()), values)
    assert isinstance(recipe, Recipe)
    presets = SEGMENTATION_PRESETS if objective == "segmentation" else PRETRAINING_PRESETS
    if recipe.preset not in presets:
        raise WrongValue(
            f"preset is one of {', '.join(presets)} for {objective}, not {recipe.preset!r}.",
            hint="Write one of them behind preset:.",
        )
    return recipe


def identity_of(recipe: Recipe) -> dict[str, Any]:
    """What two runs must agree on to be one run: everything but how it is computed, as plain JSON."""
    fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    del fields["compute"]
    return fields


def _values(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The fields of a file, on top of those of the file it extends; `above` are those that extend it."""
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file." if above else "there is no such file.")
    if path.resolve() in above:
        ring = " extends ".join(p.stem for p in (*above[above.index(path.resolve()) :], path))
        raise WrongValue(f"{ring}.", hint="Write `extends:` with the name of a recipe that does not lead back to it.")
    least = "Write `field: value`, one a line; at least `name:` and `objective:`, or `extends:`."
    values = mapping_of(yaml.safe_load(path.read_text(encoding="utf-8")), "the file", hint=least)
    if "extends" not in values:
        return values
    base = values.pop("extends")
    if not isinstance(base, str):
        raise WrongValue(f"extends cannot be {base!r}.", hint="Write one recipe's name without .yaml behind extends:.")
    return _merged(_values(path.with_name(f"{base}.yaml"), (*above, path.resolve())), values)


def _with_objective(values: dict[str, Any], objective: str) -> dict[str, Any]:
    """The fields of a recipe with another method; of the old one's settings, those that the new one has too."""
    if objective not in METHODS:
        return {**values, "objective": objective}
    own = {field.name for field in dataclasses.fields(METHODS[objective].settings)}
    kept = {name: value for name, value in mapping_of(values.get("method", {}), "method").items() if name in own}
    return {**values, "name": f"{values.get('name', '')}-{objective}", "objective": objective, "method": kept}


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = below.keys() & above.keys()
    nested = {k: _merged(below[k], above[k]) for k in both if isinstance(below[k], dict) and isinstance(above[k], dict)}
    return below | above | nested


def _hint_of(fault: Exception) -> str:
    """What to write instead."""
    if isinstance(fault, WrongValue):
        return fault.hint
    if isinstance(fault, yaml.YAMLError):
        return "Write YAML: `field: value`, one a line, what belongs to a field indented under it."
    known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml")))
    return f"Known by name: {known}."
