"""What became of every key of an imported checkpoint."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from simcrop_core.errors import IncompatibleWeights
from simcrop_core.models.config import ModelConfig
from simcrop_core.models.importers.checkpoint import Checkpoint
from simcrop_core.models.importers.licences import LICENCES, WeightsFormat
from simcrop_core.models.weights_metadata import Provenance, WeightsMetadata

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
    """A checkpoint's tensors against a model's: those that fit, and the model's names that have none."""

    tensors: dict[str, Tensor]
    missing: tuple[str, ...]


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's own state, as `fit` takes them."""
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def fit(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], *, may_lack: Collection[str] = ()) -> Fit:
    """Pick the tensors that a model has, in float32.

    Args:
        tensors: of the checkpoint, under the model's names.
        shapes: of the model's tensors.
        may_lack: names that the caller fills in when the file has none.

    Raises:
        IncompatibleWeights: a tensor is missing, has another shape, or holds values that are not finite.
    """
    missing = [key for key in shapes if key not in tensors]
    shared = [key for key in shapes if key in tensors]
    faults = {
        "missing": [key for key in missing if key not in may_lack],
        "of another shape": [
            f"{key} {tuple(tensors[key].shape)}, not {shapes[key]}"
            for key in shared
            if tuple(tensors[key].shape) != shapes[key]
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
    return Fit({key: tensors[key].float() for key in shared}, tuple(missing))


def _shortened(keys: list[str]) -> str:
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + more


def report_of(
    checkpoint: Checkpoint,
    source_format: WeightsFormat,
    *,
    loaded: Collection[str],
    missing: Collection[str],
    mismatched: Collection[str] = (),
    notes: Sequence[str],
) -> ImportReport:
    """The account of a checkpoint: keys that are neither loaded nor mismatched were not expected."""
    unexpected = (checkpoint.tensors.keys() - set(loaded) - set(mismatched)) | set(checkpoint.not_tensors)
    epoch = checkpoint.values.get("epoch")
    return ImportReport(
        format=source_format,
        source=checkpoint.source.name,
        source_sha256=checkpoint.sha256,
        loaded=tuple(sorted(loaded)),
        missing=tuple(sorted(missing)),
        unexpected=tuple(sorted(unexpected)),
        mismatched=tuple(sorted(mismatched)),
        notes=(*notes, f"Saved by its makers after epoch {epoch}.") if isinstance(epoch, int) else tuple(notes),
        licence=LICENCES[source_format],
    )


def provenance_of(report: ImportReport, *, trained_on: str, data: str | None) -> Provenance:
    """Where imported weights come from, as their file will say."""
    return Provenance(
        licence=report.licence,
        trained_on=trained_on,
        synthetic=False,
        data=data,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        source=report.source,
        source_sha256=report.source_sha256,
        notes=report.notes,
    )


def require_one_width(config: ModelConfig) -> None:
    """Refuse an encoder whose patches cannot be compared with the sentence encoder's embeddings.

    Raises:
        IncompatibleWeights: the two differ in width, and an imported file has no projection between them.
    """
    if config.vision.dim != config.text.dim:
        raise IncompatibleWeights(
            f"The patches are {config.vision.dim} wide and the sentences of {config.text.encoder} {config.text.dim}.",
            hint="Name the folder of the sentence encoder the weights were trained with: --text FOLDER.",
        )
