"""Files that a browser sends: kept in a folder of their own until they are read, then removed."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp

from aiohttp import BodyPartReader, web

from simcrop_core.errors import CannotWrite, SimCroPError, TooLarge, UnreadableFile

LARGEST = 4 << 30
_CHUNK = 1 << 18


async def received(request: web.Request) -> Path:
    """The file that a form sent, or the folder of several; whoever takes it removes it with `discard`.

    Raises:
        UnreadableFile: the form has no file.
        TooLarge: it has more than `LARGEST` bytes.
        CannotWrite: the disk has no room.
    """
    folder = Path(mkdtemp(prefix="simcrop-view-"))
    try:
        files = await _stored(request, folder)
    except OSError as fault:
        discard(folder)
        raise CannotWrite(f"What was sent could not be stored: {fault.strerror}.", hint="Make room.") from fault
    except SimCroPError:
        discard(folder)
        raise
    return files[0] if len(files) == 1 else folder


def discard(received_path: Path) -> None:
    """Remove what `received` gave."""
    folder = received_path if received_path.is_dir() else received_path.parent
    shutil.rmtree(folder, ignore_errors=True)


async def _stored(request: web.Request, folder: Path) -> list[Path]:
    files: list[Path] = []
    total = 0
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or not part.filename:
            continue
        # Only the last part of a name: a browser may send folders, and anyone anything.
        name = Path(part.filename.replace("\\", "/")).name or "file"
        file = folder / (name if not (folder / name).exists() else f"{len(files)}-{name}")
        with file.open("wb") as out:
            while chunk := await part.read_chunk(_CHUNK):
                total += len(chunk)
                if total > LARGEST:
                    raise TooLarge(f"More than {LARGEST >> 30} GiB were sent.", hint="Send one series, or crop it.")
                out.write(chunk)
        files.append(file)
    if not files:
        raise UnreadableFile("No file was sent.", hint="Choose a file.")
    return files
