"""What a layout is: where one data set puts a scan, and the tables it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from simcrop_core.phantom.layouts.record import ScanRecord
from simcrop_core.phantom.layouts.settings import Settings
from simcrop_core.phantom.truth import Phantom


@dataclass(frozen=True, slots=True)
class Written:
    """What a layout wrote of one scan.

    Attributes:
        files: image and annotations.
        row: what its tables will need to know of this scan besides the record; plain JSON.
    """

    files: list[Path]
    row: dict[str, Any] = field(default_factory=dict)


class Layout(Protocol):
    """One data set's form; each is a module of this package."""

    def scan_name(self, settings: Settings, seed: int) -> str:
        """What the set calls the scan of a seed, without folder and suffix."""

    def write_scan(self, folder: Path, scan: str, phantom: Phantom) -> Written:
        """Write the image, and what the set keeps beside it a scan.

        Raises:
            CannotWrite: a file cannot be written.
        """

    def write_tables(self, folder: Path, settings: Settings, records: Sequence[ScanRecord]) -> list[Path]:
        """Write the set's tables about all scans of the folder, in the order of their seeds.

        Raises:
            CannotWrite: a file cannot be written.
        """
