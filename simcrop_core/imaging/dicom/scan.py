"""Find the CT slices among many files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from simcrop_core.errors import NotACT, UnreadableFile
from simcrop_core.imaging.dicom.slices import UNCLEAR, NoSliceError, Slice, read_slices
from simcrop_core.progress import Job

MAX_FILES = 50_000
_REPORT_EVERY = 32


@dataclass(frozen=True, slots=True)
class Scan:
    """The slices found, in no order, and how many files of which other kind."""

    slices: list[Slice]
    others: Counter[str]

    def require_slices(self, place: str) -> None:
        """Where there is no slice, name what was found instead.

        Raises:
            NotACT: images of another kind.
            UnreadableFile: nothing that could be told.
        """
        if self.slices:
            return
        found = ", ".join(f"{count} × {kind}" for kind, count in self.others.most_common(4)) or "no file"
        kind = NotACT if set(self.others) - UNCLEAR else UnreadableFile
        raise kind(f"No CT slice in {place}; found: {found}.", hint="Give the folder or .zip of a CT series in DICOM.")


def files_below(folder: Path) -> list[Path]:
    """All files in a folder and the folders in it, in order of name.

    Raises:
        UnreadableFile: there are more than any study has.
    """
    files: list[Path] = []
    for path in folder.rglob("*"):
        if path.is_file():
            files.append(path)
        if len(files) > MAX_FILES:
            raise UnreadableFile(
                f"{folder.name} holds more than {MAX_FILES} files.", hint="Give the folder of one study or series."
            )
    return sorted(files)


def scan(files: Iterable[Path], job: Job) -> Scan:
    """Read the header of each file.

    Raises:
        UnreadableFile: a file cannot be opened.
        Cancelled: `job` was asked to stop.
    """
    files = list(files)
    slices: list[Slice] = []
    others: Counter[str] = Counter()
    for done, path in enumerate(files):
        if done % _REPORT_EVERY == 0:
            job.step("reading headers", done, len(files))
        try:
            slices += read_slices(path)
        except NoSliceError as reason:
            others[str(reason)] += 1
    return Scan(slices, others)
