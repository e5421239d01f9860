"""The recipe that a method is trained by here: that of `simcrop-eval methods`, shortened."""

from __future__ import annotations

from pathlib import Path

import yaml

from simcrop_core.export.atomic import replacing
from simcrop_training.recipe import Recipe, identity_of, overridden, read_recipe

_OWN = {"simcrop_plus": Path("compare_plus")}
_SOFT_SHARE = 0.75
_RISE = 0.1


def recipe_of(method: str, steps: int) -> Recipe:
    """`compare` with a method and so many steps; whatever counts steps keeps its share of them.

    Args:
        method: which.
        steps: of the optimiser; a method without losses takes none.

    Raises:
        UnusableRecipe: there is no such method.
    """
    own = method in _OWN
    recipe = read_recipe(_OWN.get(method, Path("compare")), steps=steps, objective=None if own else method)
    values: dict[str, object] = {"name": f"suite-{method}", "weights": method}
    values["schedule"] = {"warm_up": max(1, round(steps * _RISE))}
    if own:
        values["method"] = {"warm_up": round(steps * _SOFT_SHARE)}
    return overridden(recipe, values)


def write_recipe(method: str, steps: int, folder: Path) -> Path:
    """Write it as it is run.

    Raises:
        UnusableRecipe: there is no such method.
        CannotWrite: the folder is not writable.
    """
    path = folder / f"{method}.yaml"
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(identity_of(recipe_of(method, steps)), sort_keys=False), encoding="utf-8")
    return path
