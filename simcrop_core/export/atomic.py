"""Files that are either whole or not there."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simcrop_core.errors import CannotWrite


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was written there becomes `path` when the block ends well.

    The temporary name keeps the suffixes, by which writers choose a format. Missing folders are made. Whatever goes
    wrong, nothing half-written is left and an older file at `path` stays as it was.

    Raises:
        CannotWrite: no rights in the folder, the disk is full, or `path` is a folder or open elsewhere.
    """
    target = Path(path)
    if target.is_dir():
        raise CannotWrite(f"{target} is a folder.", hint="Give the name of a file inside it.")
    temporary = target.with_name(f".{secrets.token_hex(8)}{''.join(target.suffixes[-2:])}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as fault:
        raise CannotWrite(
            f"Could not write {target}: {fault.strerror or fault}.",
            hint="Check the free space and your rights in that folder, and close the file in other programs.",
        ) from fault
