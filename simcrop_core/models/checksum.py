"""The sha256 by which files and lists of sentences are told apart."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path


def sha256_of(path: Path) -> str:
    """The file's sha256 in hexadecimal; read once, as long as the file's size and time stay the same.

    Raises:
        FileNotFoundError: there is no such file.
    """
    stat = path.stat()
    return _remembered(path.resolve(), stat.st_size, stat.st_mtime_ns)


def read_sha256(path: Path) -> str:
    """The file's sha256 in hexadecimal, from its bytes as they are now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sentences_sha256(sentences: Sequence[str]) -> str:
    """The sha256 of a list of sentences: of their UTF-8 text, one a line, in order."""
    return hashlib.sha256("\n".join(sentences).encode()).hexdigest()


@functools.lru_cache(maxsize=64)
def _remembered(path: Path, _size: int, _mtime_ns: int) -> str:
    return read_sha256(path)
