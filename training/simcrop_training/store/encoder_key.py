"""Which text encoder made an embedding, told by the content of its files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from simcrop_core.models.config import TextConfig
from simcrop_core.text.encoder import MINILM
from simcrop_core.text.hub import find_text_model

_PATTERNS = ("config.json", "model*.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "*.model")


def encoder_key(config: TextConfig) -> str:
    """16 hex digits of the encoder's files, its pooling and its token limit: the same on every machine.

    Raises:
        UnknownWeights: no such folder or Hub model.
        DownloadFailed: the Hub is out of reach and the model is not in the cache.
    """
    directory = MINILM if config.encoder == "minilm" else find_text_model(config.encoder)
    files = sorted({path for pattern in _PATTERNS for path in directory.glob(pattern)})
    parts = [[path.name, file_digest(path)] for path in files]
    said = json.dumps([parts, config.pooling, config.max_tokens])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
