"""The child process that opens a pickled checkpoint: `python -m … SOURCE FOLDER`.

It accepts tensors, plain containers and `argparse.Namespace`; whatever else a pickle names is refused unread. What it
leaves in FOLDER is a safetensors file of the model's tensors and a JSON file about the rest, or a refusal.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pickle
import re
import struct
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from simcrop_core.errors import SimCroPError, UnknownWeights, UnsafeWeights

TENSORS_FILE = "tensors.safetensors"
REST_FILE = "rest.json"
REFUSAL_FILE = "refusal.json"

_CONTAINERS = ("model", "state_dict")
_ZIP_START = b"PK\x03\x04"
_PICKLE_START = b"\x80"
_DEEPEST, _MOST_VALUES, _LONGEST_TEXT = 2, 2000, 500
_FORBIDDEN_GLOBAL = re.compile(r"GLOBAL (\S+)")
_NOT_TENSORS_HINT = "Do not open it with anything else. Ask its makers for a safetensors file or a plain state dict."


class _Inert:
    """Stands for a numpy scalar, such as a best score, that training loops leave in a checkpoint; its value is lost."""

    def __init__(self, *_arguments: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


_ACCEPTED: list[Any] = [
    argparse.Namespace,
    (_Inert, "numpy.dtype"),
    (_Inert, "numpy.core.multiarray.scalar"),
    (_Inert, "numpy._core.multiarray.scalar"),
]


def read_pickle(source: Path, folder: Path) -> None:
    """Write the model's tensors and an account of the rest into `folder`.

    Raises:
        UnsafeWeights: the file holds code, or claims more than it holds.
        UnknownWeights: not a whole PyTorch file, or no tensors where a model's would be.
    """
    stored = _load(source, mapped=_is_archive(source))
    container, model = _find_model(stored)
    tensors = {str(key): value for key, value in model.items() if isinstance(value, torch.Tensor)}
    for key, tensor in tensors.items():
        _check_tensor(key, tensor)
    beside = {} if container == "" else {key: value for key, value in stored.items() if key != container}
    budget = [_MOST_VALUES]
    rest = {
        "values": {str(key): _plain(value, _DEEPEST, budget) for key, value in beside.items()},
        "not_tensors": sorted(str(key) for key, value in model.items() if not isinstance(value, torch.Tensor)),
    }
    # Tied weights share storage, which safetensors does not store.
    save_file(
        {key: tensor.detach().clone(memory_format=torch.contiguous_format) for key, tensor in tensors.items()},
        folder / TENSORS_FILE,
    )
    (folder / REST_FILE).write_text(json.dumps(rest), encoding="utf-8")


def _is_archive(source: Path) -> bool:
    """Whether the file is a zip as `torch.save` writes it (nothing compressed, nothing twice) or a bare pickle."""
    with source.open("rb") as file:
        start = file.read(len(_ZIP_START))
    if start[:1] == _PICKLE_START:
        return False
    if start != _ZIP_START:
        raise UnknownWeights(
            f"{source.name} is not a PyTorch file.", hint="Give a .pth, .pt, .bin or .safetensors file."
        )
    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
    if any(Path(entry.filename).name == "constants.pkl" for entry in entries):
        raise UnsafeWeights(f"{source.name} is a TorchScript program, not a set of tensors.", hint=_NOT_TENSORS_HINT)
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or (
        sum(entry.file_size for entry in entries) > source.stat().st_size
    ):
        raise UnsafeWeights(
            f"{source.name} is compressed, or unpacks to more than its size, which PyTorch files never do.",
            hint=_NOT_TENSORS_HINT,
        )
    return True


def _load(source: Path, *, mapped: bool) -> Any:
    try:
        with torch.serialization.safe_globals(_ACCEPTED):
            return torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as fault:
        found = _FORBIDDEN_GLOBAL.search(str(fault))
        # As a literal: a name may hold what a terminal takes for commands.
        what = f"names {found[1]!a}, which is neither a tensor nor a plain value" if found else "is not a plain pickle"
        raise UnsafeWeights(f"{source.name} {what}. Nothing of it was run.", hint=_NOT_TENSORS_HINT) from fault
    # A damaged pickle is a program with typing errors, and stumbles in as many ways.
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as fault:
        raise _damaged(source, fault) from fault


def _find_model(stored: Any) -> tuple[str, Mapping[Any, Any]]:
    """The model's tensors, and under which key they were ("" for the file's top level)."""
    if isinstance(stored, Mapping):
        for container in _CONTAINERS:
            if isinstance(stored.get(container), Mapping):
                return container, stored[container]
        if any(isinstance(value, torch.Tensor) for value in stored.values()):
            return "", stored
    raise UnknownWeights(
        "The file holds no model: no tensors at its top level, under 'model' or under 'state_dict'.",
        hint="Give the checkpoint of a model, not of an optimiser or a data set.",
    )


def _check_tensor(key: str, tensor: torch.Tensor) -> None:
    plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UnsafeWeights(f"The tensor {key} claims more values than the file holds.", hint=_NOT_TENSORS_HINT)


def _plain(value: Any, deepest: int, budget: list[int]) -> Any:
    """A value as JSON; tensors are counted, and what is too deep, too much or not plain is named by its type."""
    budget[0] -= 1
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, str):
        return value[:_LONGEST_TEXT]
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if deepest == 0 or budget[0] < 0:
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        return {str(key): _plain(item, deepest - 1, budget) for key, item in _first(value.items())}
    if isinstance(value, list | tuple | set):
        return [_plain(item, deepest - 1, budget) for item in _first(value)]
    return f"<{type(value).__name__}>"


def _first(items: Iterable[Any]) -> Iterable[Any]:
    return itertools.islice(items, _MOST_VALUES)


def _damaged(source: Path, fault: Exception) -> UnknownWeights:
    detail = str(fault).partition("\n")[0] or type(fault).__name__
    return UnknownWeights(
        f"{source.name} is cut short or damaged: {detail}.",
        hint="Fetch it again and compare its size and checksum with the publisher's.",
    )


def main(source: Path, folder: Path) -> int:
    """Read the checkpoint; a refusal is written where the parent finds it."""
    try:
        read_pickle(source, folder)
    except SimCroPError as fault:
        refusal: SimCroPError = fault
    except (zipfile.BadZipFile, SafetensorError, EOFError, OSError, RuntimeError, struct.error) as fault:
        refusal = _damaged(source, fault)
    else:
        return 0
    document = {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}
    (folder / REFUSAL_FILE).write_text(json.dumps(document), encoding="utf-8")
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
