"""Every format puts every voxel where it was, by the word of software that is not ours (docs/results.md)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from out_and_back import FORMATS, error_mm, missing

# A hundredth of the smallest voxel edge there is. NIfTI keeps places in 32 bits, DICOM in 16 characters.
MOST_MM = 0.002


@pytest.mark.parametrize(
    ("kind", "reader"), [(kind, reader) for kind, (_, readers) in FORMATS.items() for reader in readers]
)
def test_a_corner_is_found_where_it_was(kind, reader, tmp_path):
    """Of a grid that is oblique, flipped, and has another voxel edge along each axis."""
    needed = missing(kind, reader)
    if needed:
        pytest.skip(f"needs {needed}")
    assert error_mm(kind, reader, tmp_path) < MOST_MM
