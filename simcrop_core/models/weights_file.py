"""A model's tensors and metadata in one safetensors file: written whole or not at all, read without unpickling."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from simcrop_core.errors import CannotWrite, UnknownWeights
from simcrop_core.models.weights_metadata import METADATA_KEY, WeightsMetadata, read_metadata


def save_weights(
    path: Path, tensors: Mapping[str, Tensor], metadata: WeightsMetadata, *, half_precision: bool = False
) -> None:
    """Write a weights file; an existing one is replaced only by a complete new one.

    Args:
        path: ends in `.safetensors`; its folder is made if need be.
        tensors: on any device; tensors that share memory are written each in full.
        metadata: stored as JSON beside them.
        half_precision: store float tensors as float16, except those with values that float16 cannot hold.

    Raises:
        CannotWrite: the folder is not writable, the disk is full, or another program holds the file.
    """
    stored = {key: _storable(tensor, half_precision) for key, tensor in tensors.items()}
    write_safetensors(path, stored, {METADATA_KEY: metadata.to_json()})


def load_weights(path: Path) -> tuple[dict[str, Tensor], WeightsMetadata]:
    """The tensors, mapped from the file and read when used, and the metadata.

    Raises:
        UnknownWeights: no such file, or not a whole safetensors file that SimCroP wrote.
        IncompatibleWeights: a format, kind or configuration that this version does not know.
    """
    metadata = read_metadata(path)
    return load_tensors(path), metadata


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of any safetensors file.

    Raises:
        UnknownWeights: no such file, or not a whole safetensors file.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as fault:
        raise UnknownWeights(
            f"{path} is not a whole safetensors file: {fault}.", hint="Fetch it again; it may be cut short."
        ) from fault


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], strings: Mapping[str, str]) -> None:
    """Write contiguous tensors and metadata strings under a temporary name, then move them into place.

    Raises:
        CannotWrite: the folder is not writable, the disk is full, or another program holds the file.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(dict(tensors), temporary, dict(strings))
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, SafetensorError) as fault:
        raise CannotWrite(
            f"The weights could not be written to {path}: {fault}.",
            hint="Check that the folder is writable, the disk has room and no other program has the file open.",
        ) from fault


def _storable(tensor: Tensor, half_precision: bool) -> Tensor:
    tensor = tensor.detach().cpu()
    if half_precision and tensor.is_floating_point():
        halved = tensor.to(torch.float16)
        if bool(halved.isfinite().all()):
            return halved.contiguous()
    return tensor.clone(memory_format=torch.contiguous_format)
