"""What became of every key of an imported checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.models.weights_metadata import WeightsMetadata

_NAMED = 8


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The account of one import, key by key.

    Attributes:
        format: which importer read the file.
        source: name of the file.
        source_sha256: of the file.
        loaded: keys of the file that the model now has.
        missing: keys of the model that the file does not have; the notes say what stands in their place.
        unexpected: keys of the file that the model has no use for.
        mismatched: keys left aside because their shape is not the model's.
        notes: what had to be decided, and what could not be known.
        licence: what using the weights is bound to.
    """

    format: str
    source: str
    source_sha256: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]
    notes: tuple[str, ...]
    licence: str


@dataclass(frozen=True, slots=True, eq=False)
class ImportedModel:
    """The tensors and metadata of the weights file to be written, and how they came about."""

    tensors: dict[str, Tensor]
    metadata: WeightsMetadata
    report: ImportReport


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A checkpoint's tensors against a model's: those that fit, and the names of the others."""

    tensors: dict[str, Tensor]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def fit(tensors: Mapping[str, Tensor], model: Mapping[str, Tensor], *, may_lack: Collection[str] = ()) -> Fit:
    """Pick the tensors that a model has.

    Args:
        tensors: of the checkpoint, under the model's names.
        model: the model's own state, for its names and shapes.
        may_lack: names that the caller fills in when the file has none.

    Raises:
        IncompatibleWeights: a tensor is missing, has another shape, or holds values that are not finite.
    """
    missing = [key for key in model if key not in tensors]
    shared = [key for key in model if key in tensors]
    faults = {
        "missing": [key for key in missing if key not in may_lack],
        "of another shape": [
            f"{key} {tuple(tensors[key].shape)}, not {tuple(model[key].shape)}"
            for key in shared
            if tensors[key].shape != model[key].shape
        ],
        "with values that are not finite": [key for key in shared if not bool(tensors[key].isfinite().all())],
    }
    if any(faults.values()):
        raise IncompatibleWeights(
            "The file does not hold the whole model: "
            + "; ".join(f"{len(keys)} tensors {what} ({_shortened(keys)})" for what, keys in faults.items() if keys),
            hint="Nothing was imported, for a model with random parts would look like a working one. "
            "Fetch the file again, or name its kind with --format.",
        )
    return Fit(
        {key: tensors[key].float() for key in shared},
        tuple(missing),
        tuple(sorted(tensors.keys() - model.keys())),
    )


def _shortened(keys: list[str]) -> str:
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + more
