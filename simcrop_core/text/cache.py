"""Embeddings of recent sentences, kept in memory and nowhere else: patients' words are not ours to store."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence

import torch

from simcrop_core.text.encoder import TextEncoder


class CachedTextEncoder:
    """An encoder that remembers the sentences it saw last.

    Sentences that differ only in white space share an entry. The key is a hash, so the cache itself holds no text.
    Safe to call from several threads.

    Args:
        encoder: whose embeddings are kept.
        capacity: most sentences kept; the least recently used go first.
    """

    def __init__(self, encoder: TextEncoder, *, capacity: int = 4096) -> None:
        self._encoder = encoder
        self._capacity = capacity
        self._embeddings: OrderedDict[bytes, torch.Tensor] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def dim(self) -> int:
        """Width of an embedding."""
        return self._encoder.dim

    def encode(self, sentences: Sequence[str]) -> torch.Tensor:
        """(S, dim) float32 embeddings in the order of the sentences; only new ones are computed."""
        keys = [sentence_key(sentence) for sentence in sentences]
        with self._lock:
            known = {key: self._embeddings[key] for key in keys if key in self._embeddings}
        new = {key: " ".join(text.split()) for key, text in zip(keys, sentences, strict=True) if key not in known}
        known |= zip(new, self._encoder.encode(list(new.values())).unbind(), strict=True)
        with self._lock:
            for key in keys:
                self._embeddings[key] = known[key]
                self._embeddings.move_to_end(key)
            while len(self._embeddings) > self._capacity:
                self._embeddings.popitem(last=False)
        return torch.stack([known[key] for key in keys]) if keys else torch.empty(0, self.dim)


def sentence_key(sentence: str) -> bytes:
    """Sha1 of the sentence with its white space normalised, stable over runs and machines."""
    return hashlib.sha1(" ".join(sentence.split()).encode(), usedforsecurity=False).digest()
