"""Where a text model's files are: a folder, the Hugging Face cache, or the Hub."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from simcrop_core.errors import DownloadFailed, UnknownWeights

_FILES = ["config.json", "model*.safetensors", "model.safetensors.index.json", "tokenizer*", "vocab.txt", "*.model"]
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def find_text_model(name: str) -> Path:
    """The folder of a text model, downloaded to the Hugging Face cache where it is not there yet.

    Args:
        name: a folder, or a Hub id such as "microsoft/BiomedVLP-CXR-BERT-specialized".

    Raises:
        UnknownWeights: no such folder or Hub model, or it has no config.json or no safetensors.
        DownloadFailed: the Hub is out of reach and the model is not in the cache.
    """
    directory = Path(name)
    if not directory.is_dir():
        if not _HUB_ID.fullmatch(name):
            raise UnknownWeights(
                f"There is no text model folder {name}.",
                hint='Give an existing folder, a Hub id such as "owner/model", or "minilm" for the packaged one.',
            )
        directory = _from_hub(name)
    if not (directory / "config.json").is_file():
        raise UnknownWeights(
            f"{directory} has no config.json, so it is not a Hugging Face model folder.",
            hint="Give the folder that holds config.json, the tokenizer and model.safetensors.",
        )
    if not any(directory.glob("model*.safetensors")):
        raise UnknownWeights(
            f"The text model {name} has no model.safetensors; pickled weights (pytorch_model.bin) are not opened here.",
            hint=f"Fetch the folder with `hf download {name} --local-dir FOLDER` if it is not on this machine, "
            "convert it once with `simcrop weights import`, and give the converted folder.",
        )
    return directory


def _from_hub(name: str) -> Path:
    cached = _cached(name)
    if cached is not None:
        return cached
    try:
        return Path(snapshot_download(name, allow_patterns=_FILES))
    except (RepositoryNotFoundError, GatedRepoError, HFValidationError) as fault:
        raise UnknownWeights(
            f"There is neither a folder nor a Hub model {name} that may be read.",
            hint="Check the spelling; for a gated model, log in with `hf auth login` first.",
        ) from fault
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as fault:
        raise DownloadFailed(
            f"The text model {name} is not on this machine and the Hugging Face Hub could not be reached.",
            hint=f"On a machine with a connection run `hf download {name} --local-dir FOLDER`, copy the folder here, "
            "and give the folder instead of the id.",
        ) from fault


def _cached(name: str) -> Path | None:
    """The folder in the Hugging Face cache, where it holds weights already: no connection is needed then."""
    try:
        directory = Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return directory if any(directory.glob("model*.safetensors")) else None
