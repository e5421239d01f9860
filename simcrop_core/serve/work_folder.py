"""The server's folder on the disk: for exports while they are packed, gone at the end, swept after a crash."""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

_PREFIX = "simcrop-serve-"


class WorkFolder:
    """A folder of this process below the system's temporary one, readable by its user only."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def open(self) -> None:
        """Make it, and remove those of servers that are gone."""
        sweep_leftovers()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))

    @contextmanager
    def one(self) -> Iterator[Path]:
        """A folder for one export; it and what was written into it are removed at the end."""
        assert self._folder is not None, "it was opened"
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            yield Path(folder)

    def remove(self) -> None:
        """Remove it with everything in it."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def sweep_leftovers() -> None:
    """Remove the folders of servers that were killed before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        found = re.fullmatch(rf"{_PREFIX}(\d+)-.*", folder.name)
        if found and not psutil.pid_exists(int(found[1])):
            shutil.rmtree(folder, ignore_errors=True)


def zipped(folder: Path) -> NDArray[np.uint8]:
    """(n,) the bytes of a zip of everything in a folder."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                # Without the time of day: the same export is the same bytes.
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=1)
    return np.frombuffer(packed.getbuffer(), dtype=np.uint8)
