"""Whether a set of weights is what it says: its checksums, its tensors, its configuration, its reference sentences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from simcrop_core.errors import SimCroPError
from simcrop_core.models.checksum import read_sha256
from simcrop_core.models.config import ModelConfig
from simcrop_core.models.importers.cxr_bert import text_width
from simcrop_core.models.manifest import read_manifest
from simcrop_core.models.registry import WeightsFolder
from simcrop_core.models.weights import load_encoder, load_grounding_model, load_segmentation_model
from simcrop_core.models.weights_file import load_tensors
from simcrop_core.models.weights_metadata import read_metadata
from simcrop_core.progress import Job


@dataclass(frozen=True, slots=True)
class Check:
    """One fact about a file of the set.

    Attributes:
        file: its name.
        what: was checked.
        passed: None where there was nothing to compare with.
        detail: the value found, or what is wrong.
    """

    file: str
    what: str
    passed: bool | None
    detail: str


def verify_weights(folder: WeightsFolder, *, reference_sha256: str, job: Job | None = None) -> list[Check]:
    """Check a set of weights, reading every byte of it.

    Args:
        folder: the set.
        reference_sha256: of the text of the reference sentences that this version ranks against.
        job: told of the files.

    Returns:
        The checks in the order of the files; the set is sound if none has failed.

    Raises:
        Cancelled: through `job`.
    """
    job = job or Job()
    checks: list[Check] = []
    for file in filter(None, (folder.grounding, folder.segmentation, folder.encoder)):
        job.step(f"Checking {file.name}", 0, 0)
        loads = _loads(folder, file)
        checks += [_checksum(file.parent, file.name), loads]
        if loads.passed:
            checks.append(_finite(file))
    if folder.grounding is not None and checks[1].passed:
        checks.append(_reference(folder.grounding, reference_sha256))
    if folder.text is not None:
        job.step(f"Checking {folder.text.name}", 0, 0)
        checks += _text(folder.text, folder.grounding)
    return checks


def _checksum(root: Path, name: str) -> Check:
    found, recorded = read_sha256(root / name), read_manifest(root).get(name)
    if recorded is None:
        return Check(name, "sha256", None, f"{found}; none was recorded")
    return Check(name, "sha256", found == recorded, found if found == recorded else f"{found}, recorded {recorded}")


def _loads(folder: WeightsFolder, file: Path) -> Check:
    model: nn.Module
    try:
        if file == folder.grounding:
            model = load_grounding_model(folder)[0]
        elif file == folder.segmentation:
            model = load_segmentation_model(folder)[0]
        else:
            model = load_encoder(folder)[0]
    except SimCroPError as fault:
        return Check(file.name, "configuration", False, fault.message)
    count = sum(parameter.numel() for parameter in model.parameters())
    return Check(file.name, "configuration", True, f"{count / 1e6:.1f} M numbers fit it")


def _finite(file: Path) -> Check:
    broken = [key for key, tensor in load_tensors(file).items() if not bool(tensor.isfinite().all())]
    return Check(file.name, "finite numbers", not broken, ", ".join(broken) or "in all tensors")


def _reference(file: Path, expected: str) -> Check:
    stored = read_metadata(file).reference_sha256
    if stored is None:
        return Check(file.name, "reference sentences", None, "none stored; embedded when they are needed")
    detail = stored if stored == expected else f"{stored}, this version ranks against {expected}"
    return Check(file.name, "reference sentences", stored == expected, detail)


def _text(text: Path, grounding: Path | None) -> list[Check]:
    names = sorted(f"{text.name}/{path.name}" for path in text.iterdir() if path.is_file())
    checks = [_checksum(text.parent, name) for name in names]
    if grounding is None:
        return checks
    try:
        width, config = text_width(text), read_metadata(grounding).config
    except SimCroPError as fault:
        return [*checks, Check(text.name, "width", False, fault.message)]
    expected = config.text.dim if isinstance(config, ModelConfig) else None
    return [*checks, Check(text.name, "width", width == expected, f"{width}, the grounding model expects {expected}")]
