"""Put the slices of a series in order and say where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcrop_core.errors import BrokenGeometry, NotASingleVolume
from simcrop_core.imaging.affine import Affine
from simcrop_core.imaging.dicom.series import Series
from simcrop_core.imaging.dicom.slices import Slice
from simcrop_core.imaging.single_volume import single_volume

_SAME_PLACE_MM = 0.01
# Positions are written with one or two decimals and tables do not move quite evenly.
_OFF_THE_GRID_MM = 0.1
_OFF_THE_GRID_STEPS = 0.02

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Slices in order along their normal, evenly spaced.

    Attributes:
        series: where they are from.
        slices: in the order of the third array axis.
        affine: (4, 4) column, row, slice → patient RAS in mm, from the slices' own positions: sheared where the
            gantry was tilted.
    """

    series: Series
    slices: tuple[Slice, ...]
    affine: Affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """Columns, rows, slices."""
        return *self.slices[0].size, len(self.slices)


def stacked(series: Series) -> Stack:
    """Order a series by position, never by file name or instance number.

    Raises:
        NotASingleVolume: fewer than four slices, or several at one place (phases, reconstructions).
        BrokenGeometry: slices are missing, unevenly spaced or not in line.
    """
    single_volume((*series.first.size, len(series.slices)), name=series.name)
    slices = tuple(sorted(series.slices, key=lambda one: one.along_normal_mm))
    depths = np.array([one.along_normal_mm for one in slices])
    _require_one_at_each_place(series, depths)
    _require_even_steps(series, slices, depths)
    return Stack(series, slices, _affine(slices))


def _affine(slices: Sequence[Slice]) -> Affine:
    first = slices[0]
    positions = _positions(slices)
    lps = np.eye(4)
    lps[:3, 0] = np.array(first.orientation[:3]) * first.spacing_mm[0]
    lps[:3, 1] = np.array(first.orientation[3:]) * first.spacing_mm[1]
    lps[:3, 2] = (positions[-1] - positions[0]) / (len(slices) - 1)
    lps[:3, 3] = positions[0]
    return _LPS_TO_RAS @ lps


def _positions(slices: Sequence[Slice]) -> NDArray[np.float64]:
    return np.array([one.position for one in slices])


def _require_one_at_each_place(series: Series, depths: NDArray[np.float64]) -> None:
    repeated = int((np.diff(depths) < _SAME_PLACE_MM).sum())
    if repeated:
        places = len(depths) - repeated
        raise NotASingleVolume(
            f"{series.name} has {len(depths)} slices at {places} places: several phases or reconstructions in one.",
            hint="Export one phase or reconstruction as a series of its own.",
        )


def _require_even_steps(series: Series, slices: Sequence[Slice], depths: NDArray[np.float64]) -> None:
    steps = np.diff(depths)
    usual = float(np.median(steps))
    tolerance = max(_OFF_THE_GRID_MM, _OFF_THE_GRID_STEPS * usual)
    positions = _positions(slices)
    even = np.linspace(positions[0], positions[-1], len(positions))
    off = float(np.linalg.norm(positions - even, axis=1).max())
    if off <= tolerance:
        return
    missing = np.rint(steps / usual).astype(int) - 1
    if missing.any() and (missing >= 0).all() and np.abs(steps - (missing + 1) * usual).max() <= tolerance:
        raise _missing_slices(series, slices, missing)
    if np.ptp(steps) > tolerance:
        raise BrokenGeometry(
            f"The slices of {series.name} are {steps.min():.2f} to {steps.max():.2f} mm apart.",
            hint="Reconstruct the series with even spacing, or choose another series of the study.",
        )
    raise BrokenGeometry(
        f"The slices of {series.name} do not lie on one line: they are up to {off:.1f} mm off.",
        hint="Choose another series of the study, or reconstruct this one.",
    )


def _missing_slices(series: Series, slices: Sequence[Slice], missing: NDArray[np.int_]) -> BrokenGeometry:
    gaps = [
        f"{count} between {_image(slices[place])} and {_image(slices[place + 1])}"
        for place, count in enumerate(missing)
        if count > 0
    ]
    more = f" and in {len(gaps) - 4} more places" if len(gaps) > 4 else ""
    return BrokenGeometry(
        f"{int(missing.sum())} slices of {series.name} are missing: {', '.join(gaps[:4])}{more}.",
        hint="Copy the whole series again; a file may have been lost or damaged on the way.",
    )


def _image(one: Slice) -> str:
    return f"the one at {one.along_normal_mm:.1f} mm" if one.instance_number is None else f"image {one.instance_number}"
