"""Imported models into the user's folder of weights, complete or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from simcrop_core.errors import CannotWrite, IncompatibleWeights, UnknownWeights
from simcrop_core.models.config import ModelConfig, TextConfig
from simcrop_core.models.importers.checkpoint import read_checkpoint
from simcrop_core.models.importers.cxr_bert import ImportedText, import_cxr_bert, text_width
from simcrop_core.models.importers.detect import detect_format
from simcrop_core.models.importers.licences import WeightsFormat
from simcrop_core.models.importers.m3d import import_m3d
from simcrop_core.models.importers.mae import import_mae
from simcrop_core.models.importers.own import import_own, is_own
from simcrop_core.models.importers.report import ImportedModel, ImportReport
from simcrop_core.models.importers.simcrop import import_simcrop
from simcrop_core.models.importers.unetr import import_unetr
from simcrop_core.models.manifest import checksums_of, read_manifest, write_manifest
from simcrop_core.models.registry import (
    ENCODER_FILE,
    GROUNDING_FILE,
    SEGMENTATION_FILE,
    STARTER,
    TEXT_FOLDER,
    WeightsFolder,
    is_weights_name,
    resolve_weights,
    weights_home,
)
from simcrop_core.models.weights import load_encoder, load_grounding_model, load_segmentation_model
from simcrop_core.models.weights_file import save_weights, write_safetensors
from simcrop_core.models.weights_metadata import WeightsKind, read_metadata
from simcrop_core.progress import Job

ImportFormat = WeightsFormat | Literal["auto"]

_FILES: dict[WeightsKind, str] = {
    "grounding": GROUNDING_FILE,
    "segmentation": SEGMENTATION_FILE,
    "encoder": ENCODER_FILE,
    "m3d": ENCODER_FILE,
}


@dataclass(frozen=True, slots=True)
class Installed:
    """A set of weights after an import, and the account of each file that went into it."""

    folder: WeightsFolder
    reports: tuple[ImportReport, ...]


def import_weights(
    source: Path,
    *,
    name: str,
    source_format: ImportFormat = "auto",
    text: Path | None = None,
    replace: bool = False,
    job: Job | None = None,
) -> Installed:
    """Convert a checkpoint into a named set of weights, or add it to one.

    Args:
        source: a checkpoint (`.pth`, `.pt`, `.safetensors`), or the folder of a BERT sentence encoder.
        name: of the set; a set may grow a grounding model, a segmentation model and a sentence encoder one by one.
        source_format: "auto" tells it from the keys.
        text: folder of the sentence encoder that belongs to the checkpoint.
        replace: put the new part in the place of one that the set already has.
        job: told of the steps; cancelled, it leaves the set as it was.

    Raises:
        UnknownWeights: the source is missing, cut short, or of no kind that is imported.
        UnsafeWeights: it holds something else than tensors and plain values.
        IncompatibleWeights: it does not hold the whole model, or its parts do not go together.
        CannotWrite: the name cannot be used or is taken, or the folder is not writable.
        Cancelled: through `job`.
    """
    _check_name(name)
    job = job or Job()
    target = weights_home() / name
    text_source = _text_source(source, source_format, text)
    imported_text = None if text_source is None else import_cxr_bert(text_source, job)
    model = None
    if source != text_source:
        text_config = _text_config(imported_text, target / TEXT_FOLDER)
        model = _import_model(source, source_format, name, text_config, job)
    job.step(f"Writing {name}", 0, 0)
    with _staging(target) as staging:
        _write_parts(staging, model, imported_text)
        _check_parts(resolve_weights(staging), target)
        _move_parts(staging, target, replace=replace)
    reports = [part.report for part in (model, imported_text) if part is not None]
    return Installed(resolve_weights(target), tuple(reports))


def _check_name(name: str) -> None:
    if not is_weights_name(name) or name.casefold() == STARTER:
        raise CannotWrite(
            f"Weights cannot be called {name!r}.",
            hint="Use letters, digits, dots, dashes and underscores; 'starter' and Windows device names are taken.",
        )


def _text_source(source: Path, source_format: ImportFormat, text: Path | None) -> Path | None:
    """The folder of the sentence encoder: `text`, or the source itself."""
    if not source.is_dir():
        if source_format == "cxr-bert":
            raise UnknownWeights(f"{source} is no folder.", hint="Give the folder of the sentence encoder.")
        return text
    if text is not None or source_format not in ("auto", "cxr-bert"):
        raise UnknownWeights(
            f"{source} is a folder, which can only be a sentence encoder's.", hint="Give the checkpoint file."
        )
    return source


def _text_config(imported: ImportedText | None, present: Path) -> TextConfig:
    if imported is not None:
        return TextConfig(dim=imported.dim)
    return TextConfig(dim=text_width(present)) if present.is_dir() else TextConfig()


def _import_model(source: Path, source_format: ImportFormat, name: str, text: TextConfig, job: Job) -> ImportedModel:
    if source_format == "auto" and is_own(source):
        return import_own(source, name=name)
    checkpoint = read_checkpoint(source, job=job)
    match detect_format(checkpoint) if source_format == "auto" else source_format:
        case "mae":
            return import_mae(checkpoint, name=name, text=text)
        case "unetr":
            return import_unetr(checkpoint, name=name)
        case "m3d":
            return import_m3d(checkpoint, name=name)
        case _:
            return import_simcrop(checkpoint, name=name, text=text)


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A folder beside the target that is gone afterwards, unless it was moved there."""
    staging = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        staging.mkdir(parents=True)
        yield staging
    except OSError as fault:
        raise CannotWrite(
            f"The weights could not be written to {target}: {fault}.",
            hint="Check that the folder is writable, the disk has room and no other program has the files open.",
        ) from fault
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_parts(staging: Path, model: ImportedModel | None, text: ImportedText | None) -> None:
    if model is not None:
        save_weights(staging / _FILES[model.metadata.kind], model.tensors, model.metadata)
    if text is not None:
        write_safetensors(staging / TEXT_FOLDER / "model.safetensors", text.tensors, {"format": "pt"})
        for name, content in text.files.items():
            (staging / TEXT_FOLDER / name).write_bytes(content)


def _check_parts(staged: WeightsFolder, target: Path) -> None:
    """Load what was written as it will be loaded, and compare widths with what the set already has.

    Raises:
        IncompatibleWeights: a part does not load, or sentences and patches will not have one width.
    """
    if staged.grounding is not None:
        load_grounding_model(staged)
    if staged.segmentation is not None:
        load_segmentation_model(staged)
    if staged.encoder is not None:
        load_encoder(staged)
    grounding = staged.grounding or target / GROUNDING_FILE
    if staged.text is None or not grounding.is_file():
        return
    config = read_metadata(grounding).config
    width = text_width(staged.text)
    if isinstance(config, ModelConfig) and config.text.dim != width:
        raise IncompatibleWeights(
            f"The sentence encoder is {width} wide; the grounding model expects {config.text.dim}.",
            hint="Import the sentence encoder that the grounding model was trained with.",
        )


def _move_parts(staging: Path, target: Path, *, replace: bool) -> None:
    """The staged files into the set: as a new folder in one step, or part by part, the checksums last."""
    checksums = checksums_of(staging)
    if not target.exists():
        write_manifest(staging, checksums)
        staging.replace(target)
        return
    parts = [part.name for part in staging.iterdir()]
    taken = [part for part in parts if (target / part).exists()]
    if taken and not replace:
        raise CannotWrite(
            f"The weights {target.name} already have {' and '.join(taken)}.",
            hint="Choose another name, or pass --replace.",
        )
    kept = {name: digest for name, digest in read_manifest(target).items() if name.partition("/")[0] not in parts}
    for part in parts:
        if (target / part).is_dir():
            # A folder is not replaced in one step on every platform: the old one leaves with the staging folder.
            (target / part).replace(staging / f".old-{part}")
        (staging / part).replace(target / part)
    write_manifest(target, {**kept, **checksums})
