"""Unpack a .zip of DICOM into a folder of its own, for as long as it is read."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simcrop_core.errors import CannotWrite, UnreadableFile
from simcrop_core.imaging.dicom.scan import MAX_FILES
from simcrop_core.progress import Job

MAX_BYTES = 16 * 2**30
_MOST_DEFLATE = 1032


def is_archive(path: Path) -> bool:
    """Whether the file begins as a .zip does, whatever its name."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


@contextmanager
def unpacked(archive: Path, job: Job) -> Iterator[Path]:
    """A temporary folder with the archive's files, numbered: no name in the archive reaches the disk.

    Raises:
        UnreadableFile: damaged, encrypted, or larger unpacked than any study.
        CannotWrite: no room for it.
        Cancelled: `job` was asked to stop.
    """
    with tempfile.TemporaryDirectory(prefix="simcrop-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(archive) as opened:
                members = _checked_members(opened, archive)
                for number, member in enumerate(members):
                    job.step("unpacking", number, len(members))
                    _extract(opened, member, folder / f"{number:05d}.dcm")
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise UnreadableFile(f"{archive.name} is damaged: {error}.", hint="Copy it again.") from error
        yield folder


def _checked_members(opened: zipfile.ZipFile, archive: Path) -> list[zipfile.ZipInfo]:
    members = [member for member in opened.infolist() if not member.is_dir()]
    if any(member.flag_bits & 1 for member in members):
        raise UnreadableFile(f"{archive.name} is encrypted.", hint="Unpack it and give the folder.")
    size = sum(member.file_size for member in members)
    if len(members) > MAX_FILES or size > min(MAX_BYTES, _MOST_DEFLATE * archive.stat().st_size):
        raise UnreadableFile(
            f"{archive.name} unpacks to {len(members)} files of {size / 2**30:.1f} GiB together: too much for a study.",
            hint="Unpack it and give the folder of one series.",
        )
    return members


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    try:
        with opened.open(member) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 2**20)
    except OSError as error:
        raise CannotWrite(
            f"No room to unpack the archive: {error.strerror}.", hint=f"Free space in {target.parent.parent}."
        ) from error
