"""CT-RATE's file names: split, patient, scan letter, reconstruction number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

Split = Literal["train", "valid"]

_NAME = re.compile(r"(train|valid)_([0-9]+)_([a-z]+)_([0-9]+)\.nii\.gz")


@dataclass(frozen=True, slots=True, order=True)
class ScanName:
    """One reconstruction of one scan of one patient, such as `train_12_a_1.nii.gz`."""

    split: Split
    patient: int
    scan: str
    reconstruction: int

    def __str__(self) -> str:
        return f"{self.study_key}_{self.reconstruction}"

    @property
    def file_name(self) -> str:
        """As the set's tables and files are named."""
        return f"{self}.nii.gz"

    @property
    def study_key(self) -> str:
        """Reconstructions of one study share it, and the report."""
        return f"{self.patient_key}_{self.scan}"

    @property
    def patient_key(self) -> str:
        """Patient numbers begin anew in each split."""
        return f"{self.split}_{self.patient}"

    @property
    def folders(self) -> tuple[str, str]:
        """The two forms of the folder below the split's: the set's own, and that of CT-CLIP's preprocessing."""
        return f"{self.patient_key}/{self.study_key}", f"{self.patient_key}/{self.patient_key}{self.scan}"


def parse_scan_name(text: str) -> ScanName | None:
    """The name in a table's row or a path, whose folders do not count; None where it is none."""
    match = _NAME.fullmatch(PurePosixPath(text.strip().replace("\\", "/")).name)
    if match is None:
        return None
    split: Split = "train" if match[1] == "train" else "valid"
    return ScanName(split, int(match[2]), match[3], int(match[4]))
