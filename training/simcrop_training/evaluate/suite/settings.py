"""What one folder of the suite is made with, and the phantoms that follow from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from simcrop_core import __version__
from simcrop_core.errors import SimCroPError
from simcrop_core.phantom.layouts.settings import LayoutName, Settings
from simcrop_core.phantom.truth import Style
from simcrop_training.evaluate.manifest import weights_sha256
from simcrop_training.methods import METHODS

PACKAGED = "starter"
# Seeds that no packaged weights were trained on; each layout has its own, so that no chest is in two.
_FIRST_SEED = 300_000
_APART = 10_000


class UnusableModels(SimCroPError):
    """The models asked for cannot be told apart, or one of them is no method."""

    code = "unusable-models"


@dataclass(frozen=True, slots=True)
class Drawn:
    """The phantoms of one layout.

    Attributes:
        layout: the data set whose form they have.
        count: how many.
        first_seed: the first of them.
        style: the generator.
        valid_percent: how many of a hundred are held out.
    """

    layout: LayoutName
    count: int
    first_seed: int
    style: Style
    valid_percent: int

    @property
    def seeds(self) -> range:
        """Which are drawn."""
        return range(self.first_seed, self.first_seed + self.count)

    @property
    def settings(self) -> Settings:
        """Of their folder."""
        return Settings(self.layout, self.style, "frame", self.valid_percent)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done.

    Attributes:
        scans: CT-RATE's phantoms; the other sets have a share of that number.
        train_steps: of each method that is trained here.
        probe_steps: of the official probe, which encodes all training scans again at each.
        finetune_steps: of each segmentation model.
        audited: scans that are changed and asked again.
    """

    scans: int = 40
    train_steps: int = 120
    probe_steps: int = 2
    finetune_steps: int = 40
    audited: int = 3

    def drawn(self) -> tuple[Drawn, ...]:
        """The phantoms of every layout."""
        half, few = max(4, self.scans // 2), max(3, self.scans // 5)
        counts: Mapping[LayoutName, tuple[int, int]] = {
            "ct-rate": (self.scans, 40),
            "rad-chestct": (half, 60),
            "cc-ccii": (half, 40),
            "luna16": (half, 40),
            "btcv": (few, 40),
            "rexgrounding": (few, 100),
        }
        return tuple(
            Drawn(layout, count, _FIRST_SEED + place * _APART, "b" if layout == "rexgrounding" else "a", percent)
            for place, (layout, (count, percent)) in enumerate(counts.items())
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A column of the page.

    Attributes:
        name: of the column.
        weights: what every command is given.
        method: that is trained here; "" of weights that are there already.
    """

    name: str
    weights: str
    method: str = ""


def models_of(methods: tuple[str, ...], weights: tuple[str, ...], folder: Path) -> tuple[Model, ...]:
    """The models: methods trained here or given, then the packaged weights, then others that were given.

    Args:
        methods: by name.
        weights: NAME=FOLDER each; one that is named like a method stands for it.
        folder: of the suite.

    Raises:
        UnusableModels: an unknown method, a name twice, or weights without a name.
        UnknownWeights: there are none where a name points.
    """
    given: dict[str, str] = {}
    for said in weights:
        name, found, where = said.partition("=")
        if not (name and found and where) or name in given:
            raise UnusableModels(f"--weights {said} does not name weights.", hint="Write NAME=FOLDER, each name once.")
        weights_sha256(where)
        given[name] = where
    trainable = [name for name, method in METHODS.items() if method.objective is not None]
    for name in methods:
        if name not in given and name not in trainable:
            raise UnusableModels(f"{name} is no method that is trained here.", hint=f"Known: {', '.join(trainable)}.")
    found_models = [
        Model(name, given[name]) if name in given else Model(name, str(folder / "weights" / name), name)
        for name in dict.fromkeys(methods)
    ]
    rest = {PACKAGED: PACKAGED} | {name: where for name, where in given.items() if name not in methods}
    return (*found_models, *(Model(name, where) for name, where in rest.items()))


def identity_of(size: Size, models: tuple[Model, ...]) -> dict[str, object]:
    """What a folder of the suite may not be gone on with otherwise."""
    return {
        **dataclasses.asdict(size),
        "version": __version__,
        "models": {model.name: model.method or weights_sha256(model.weights) for model in models},
    }
