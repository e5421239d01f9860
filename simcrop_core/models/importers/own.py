"""A weights file that SimCroP wrote, under a name of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from simcrop_core.models.checksum import sha256_of
from simcrop_core.models.importers.report import ImportedModel, ImportReport
from simcrop_core.models.weights_file import load_weights
from simcrop_core.models.weights_metadata import METADATA_KEY, stored_metadata


def is_own(source: Path) -> bool:
    """Whether a file is safetensors with the project's metadata.

    Raises:
        UnknownWeights: it ends in `.safetensors` and is not a whole one.
    """
    return source.suffix == ".safetensors" and METADATA_KEY in stored_metadata(source)


def import_own(source: Path, *, name: str) -> ImportedModel:
    """The file's tensors and metadata as they are, but for the name.

    Raises:
        UnknownWeights: the file is cut short.
        IncompatibleWeights: a format, kind or configuration that this version does not know.
    """
    tensors, metadata = load_weights(source)
    report = ImportReport(
        format="simcrop-weights",
        source=source.name,
        source_sha256=sha256_of(source),
        loaded=tuple(sorted(tensors)),
        missing=(),
        unexpected=(),
        mismatched=(),
        notes=metadata.provenance.notes,
        licence=metadata.provenance.licence,
    )
    return ImportedModel(tensors, dataclasses.replace(metadata, name=name), report)
