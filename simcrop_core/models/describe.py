"""What the sets of weights say of themselves, in short."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from simcrop_core.errors import SimCroPError
from simcrop_core.models.checksum import sha256_of
from simcrop_core.models.config import ModelConfig
from simcrop_core.models.registry import WeightsFolder
from simcrop_core.models.weights_metadata import read_metadata


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One weights file.

    Attributes:
        file: its path.
        sha256: of the file.
        licence: under which the weights may be used.
        trained_on: the data, in words.
        synthetic: no real scan was used.
        text_encoder: that the grounding model expects; None for segmentation.
        tasks: of the segmentation model.
        source: name of the file it was imported from.
        source_sha256: of that file.
        notes: of the importer.
        fault: why the file cannot be used; None where nothing speaks against it.
    """

    file: str
    sha256: str
    licence: str = ""
    trained_on: str = ""
    synthetic: bool = False
    text_encoder: str | None = None
    tasks: tuple[str, ...] = ()
    source: str | None = None
    source_sha256: str | None = None
    notes: tuple[str, ...] = ()
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class WeightsSummary:
    """One set of weights; `text` is the folder of its own sentence encoder."""

    name: str
    grounding: ModelSummary | None
    segmentation: ModelSummary | None
    text: str | None
    encoder: ModelSummary | None = None


def describe_weights(folder: WeightsFolder) -> WeightsSummary:
    """Read the metadata of a set; a file that cannot be used is listed with its fault."""
    return WeightsSummary(
        folder.name,
        None if folder.grounding is None else _summary(folder.grounding),
        None if folder.segmentation is None else _summary(folder.segmentation),
        None if folder.text is None else str(folder.text),
        None if folder.encoder is None else _summary(folder.encoder),
    )


def _summary(file: Path) -> ModelSummary:
    try:
        metadata = read_metadata(file)
    except SimCroPError as fault:
        return ModelSummary(str(file), sha256_of(file), fault=fault.message)
    provenance = metadata.provenance
    return ModelSummary(
        file=str(file),
        sha256=sha256_of(file),
        licence=provenance.licence,
        trained_on=provenance.trained_on,
        synthetic=provenance.synthetic,
        text_encoder=metadata.config.text.encoder if isinstance(metadata.config, ModelConfig) else None,
        tasks=tuple(metadata.tasks),
        source=provenance.source,
        source_sha256=provenance.source_sha256,
        notes=provenance.notes,
    )
