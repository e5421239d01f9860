"""The two geometries a NIfTI header may state (sform, qform), and whether they agree."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.spatialimages import HeaderDataError

from simcrop_core.imaging.affine import Affine, apply
from simcrop_core.imaging.header import ORIENTATION_UNSTATED
from simcrop_core.results import PassportFinding

FORMS_AGREE_MM = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class StatedForms:
    """What the header states: (4, 4) voxel → RAS mm each, None where it does not."""

    sform: Affine | None
    qform: Affine | None


def stated_forms(raw: Nifti1Header) -> StatedForms:
    """Both forms of a header; a qform that is no rotation counts as not stated."""
    sform, _ = raw.get_sform(coded=True)
    try:
        qform, _ = raw.get_qform(coded=True)
    except (HeaderDataError, ValueError):
        qform = None
    return StatedForms(sform, qform)


def form_findings(forms: StatedForms, shape: tuple[int, int, int]) -> tuple[PassportFinding, ...]:
    """What is odd about the two forms of a volume of `shape` voxels.

    Returns:
        Nothing, or one finding: "orientation-unstated" where there is neither form, "forms-disagree" where a corner
        of the volume lies more than 0.1 mm apart in the two.
    """
    if forms.sform is None and forms.qform is None:
        return (ORIENTATION_UNSTATED,)
    if forms.sform is None or forms.qform is None:
        return ()
    corners = list(product(*((0, size - 1) for size in shape)))
    apart = np.linalg.norm(apply(forms.sform, corners) - apply(forms.qform, corners), axis=1).max()
    if apart <= FORMS_AGREE_MM:
        return ()
    return (
        PassportFinding(
            code="forms-disagree",
            outcome="warned",
            message=f"The header states two geometries (sform, qform), up to {apart:.1f} mm apart; the sform is used.",
            hint="Compare left and right with the original series, or export the volume again.",
        ),
    )
