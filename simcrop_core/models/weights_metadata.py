"""What a weights file says about itself: the typed form of its JSON metadata (docs/weights.md)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from safetensors import SafetensorError, safe_open

from simcrop_core.errors import IncompatibleWeights, UnknownWeights
from simcrop_core.imaging.heatmap import ColourScale
from simcrop_core.models.config import EncoderConfig, M3dConfig, ModelConfig, SegmentationConfig
from simcrop_core.models.structures import Structures, each_alone

FORMAT = "simcrop-weights/1"
METADATA_KEY = "simcrop"

WeightsKind = Literal["grounding", "segmentation", "encoder", "m3d"]
Config = ModelConfig | SegmentationConfig | EncoderConfig | M3dConfig


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores from which a sentence, or a finding, counts as located, and as weak."""

    located: float
    weak: float


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the numbers come from.

    Attributes:
        licence: under which the weights may be used.
        trained_on: the data, in words a user reads.
        synthetic: no real scan was used.
        data: the data set's version or list, for machines.
        recipe: name of the training recipe.
        seed: of the training run.
        steps: optimiser steps.
        wall_time_s: of the training run.
        git_commit: of the code that trained.
        date: of the training or the import, ISO 8601.
        source: name of the file the weights were imported from.
        source_sha256: of that file.
        metrics: name to value, measured before the weights were written.
        notes: what an importer had to decide or could not know.
        method: that was trained with.
        training: hash of everything that a training run follows from but its seed: runs that share it are seeds of one.
    """

    licence: str
    trained_on: str
    synthetic: bool
    data: str | None = None
    recipe: str | None = None
    seed: int | None = None
    steps: int | None = None
    wall_time_s: float | None = None
    git_commit: str | None = None
    date: str | None = None
    source: str | None = None
    source_sha256: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    method: str | None = None
    training: str | None = None


# What evidence goes by: the cosine with the mean of the top-K patches, or how far the best patches stand out.
Measure = Literal["score", "prominence"]


@dataclass(frozen=True, slots=True)
class WeightsMetadata:
    """The metadata of one weights file.

    Attributes:
        name: of the set of weights.
        config: the model, its frame included; its type is the kind of the file.
        provenance: where the numbers come from.
        tasks: task to the structures it gives, each with the labels that make it (segmentation).
        measure: what the thresholds and usual scores are of.
        thresholds: of the evidence; None where the weights have none.
        organ_thresholds: of the score of sentences that name no finding; None where those go by `thresholds` too.
        finding_thresholds: CT-RATE label to those of its own score; empty where the weights have none.
        colour_scale: of the heatmaps; None where the weights have none.
        reference_sha256: of the text of the sentence bank behind the tensor `reference.embeddings`.
    """

    name: str
    config: Config
    provenance: Provenance
    tasks: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    measure: Measure = "score"
    thresholds: Thresholds | None = None
    organ_thresholds: Thresholds | None = None
    finding_thresholds: dict[str, Thresholds] = field(default_factory=dict)
    colour_scale: ColourScale | None = None
    reference_sha256: str | None = None

    @property
    def kind(self) -> WeightsKind:
        """Which model the file holds."""
        return next(kind for kind, config in _CONFIGS.items() if isinstance(self.config, config))

    @property
    def labels(self) -> dict[int, str]:
        """Label id to name, without the background; empty for grounding."""
        names = self.config.labels[1:] if isinstance(self.config, SegmentationConfig) else ()
        return dict(enumerate(names, start=1))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, as the file stores them; the labels are there for other readers' sake."""
        tasks = {task: self._stored(structures) for task, structures in self.tasks.items()}
        fields = {**dataclasses.asdict(self), "config": self.config.to_dict(), "tasks": tasks}
        return {"format": FORMAT, "kind": self.kind, **fields, "labels": {str(k): v for k, v in self.labels.items()}}

    def _stored(self, structures: Structures) -> list[int] | Structures:
        """A task as earlier versions read it, a list of labels, where each of its structures is a label of its own."""
        values = [values[0] for values in structures.values()]
        alone = all(structures.get(self.labels.get(value, "")) == (value,) for value in values)
        return values if alone else structures

    def to_json(self) -> str:
        """The JSON document that the file stores."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> WeightsMetadata:
        """The inverse of `to_json`; fields that a later release added are left aside.

        Raises:
            IncompatibleWeights: another format version, an unknown kind, or a field missing or malformed.
        """
        try:
            stored = json.loads(text)
            _check_format(stored)
            config = _CONFIGS[stored["kind"]].from_dict(stored["config"])
            return cls(
                name=str(stored["name"]),
                config=config,
                provenance=_provenance(stored["provenance"]),
                tasks={str(task): _structures(kept, config) for task, kept in stored.get("tasks", {}).items()},
                measure=_measure(stored.get("measure", "score")),
                thresholds=_thresholds(stored["thresholds"]) if stored.get("thresholds") else None,
                organ_thresholds=_thresholds(stored["organ_thresholds"]) if stored.get("organ_thresholds") else None,
                finding_thresholds={k: _thresholds(v) for k, v in stored.get("finding_thresholds", {}).items()},
                colour_scale=_colour_scale(stored.get("colour_scale")),
                reference_sha256=stored.get("reference_sha256"),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise IncompatibleWeights(
                f"The weights file's description of itself is malformed: {fault!r}.",
                hint="Fetch the file again, or write it again with this version of SimCroP.",
            ) from fault


def read_metadata(path: Path) -> WeightsMetadata:
    """The metadata of a weights file, without reading a tensor.

    Raises:
        UnknownWeights: no such file, or not a safetensors file that SimCroP wrote.
        IncompatibleWeights: a format, kind or configuration that this version does not know.
    """
    document = stored_metadata(path).get(METADATA_KEY)
    if document is None:
        raise UnknownWeights(
            f"{path} holds tensors but does not say which model they are.",
            hint="Run `simcrop weights import` on it first.",
        )
    return WeightsMetadata.from_json(document)


def stored_metadata(path: Path) -> Mapping[str, str]:
    """The metadata strings of any safetensors file, empty where it has none.

    Raises:
        UnknownWeights: no such file, or not a whole safetensors file.
    """
    if not path.is_file():
        raise UnknownWeights(f"There is no weights file {path}.", hint="`simcrop weights list` shows what there is.")
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as fault:
        raise UnknownWeights(
            f"{path} is not a whole safetensors file: {fault}.",
            hint="Fetch it again; a .pth file goes through `simcrop weights import` first.",
        ) from fault


_CONFIGS: dict[WeightsKind, type[ModelConfig] | type[SegmentationConfig] | type[EncoderConfig] | type[M3dConfig]] = {
    "grounding": ModelConfig,
    "segmentation": SegmentationConfig,
    "encoder": EncoderConfig,
    "m3d": M3dConfig,
}


def _check_format(stored: dict[str, Any]) -> None:
    if stored["format"] != FORMAT:
        raise IncompatibleWeights(
            f"The weights file has the format {stored['format']}; this version reads {FORMAT}.",
            hint="Use the SimCroP version that wrote the file, or a newer one.",
        )


def _structures(stored: Any, config: Config) -> dict[str, tuple[int, ...]]:
    """A task: the labels of each structure, or a list of labels that are structures of their own."""
    if not isinstance(config, SegmentationConfig):
        raise ValueError("a task of a network that does not segment")
    alone = not isinstance(stored, dict)
    groups = [[value] for value in stored] if alone else list(stored.values())
    every = [int(value) for values in groups for value in values]
    if len(every) != len(set(every)) or not set(every) <= set(range(1, len(config.labels))) or not all(groups):
        raise ValueError(f"a task of the labels {groups}")
    if alone:
        return each_alone(config.labels, every)
    return {str(name): tuple(map(int, values)) for name, values in stored.items()}


def _provenance(stored: dict[str, Any]) -> Provenance:
    known = {f.name for f in dataclasses.fields(Provenance)}
    fields = {name: value for name, value in stored.items() if name in known}
    return Provenance(**{**fields, "notes": tuple(fields.get("notes", ()))})


def _measure(stored: str) -> Measure:
    if stored not in get_args(Measure):
        raise ValueError(f"evidence by {stored!r}, which this version does not know")
    return cast("Measure", stored)


def _thresholds(stored: dict[str, float]) -> Thresholds:
    return Thresholds(float(stored["located"]), float(stored["weak"]))


def _colour_scale(stored: dict[str, float] | None) -> ColourScale | None:
    if stored is None:
        return None
    low, high = float(stored["low"]), float(stored["high"])
    if not low < high:
        raise ValueError(f"a colour scale from {low} to {high}")
    return ColourScale(low, high)
