"""MetaImage in two files: a header (.mhd) and its voxels (.raw, or .zraw where compressed)."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from simcrop_core.errors import CannotWrite
from simcrop_core.imaging.affine import Affine, spacing_mm


def write_mhd(
    path: Path, voxels: NDArray[np.generic], affine: Affine, description: str, *, compressed: bool = False
) -> list[Path]:
    """Write a volume as .mhd and .raw or .zraw; the header, which names the other, comes last.

    Args:
        path: of the .mhd file.
        voxels: (x, y, z).
        affine: (4, 4) voxel → patient RAS, mm.
        description: kept in the header.
        compressed: write .zraw.

    Returns:
        Both files.

    Raises:
        CannotWrite: no rights, or the disk is full; no half file is left.
    """
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels.T))
    world = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = spacing_mm(world)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(world[:3, 3].tolist())
    image.SetDirection((world[:3, :3] / spacing).ravel().tolist())
    image.SetMetaData("Description", description)
    data = path.with_suffix(".zraw" if compressed else ".raw")
    # The header holds the name of the other file, so both are made under their own names, in a folder to the side.
    aside = path.parent / f".{secrets.token_hex(8)}"
    try:
        aside.mkdir(parents=True)
        try:
            SimpleITK.WriteImage(image, aside / path.name, useCompression=compressed)
            for part in (data, path):
                (aside / part.name).replace(part)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except (OSError, RuntimeError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "the image library reports a fault"
        raise CannotWrite(
            f"Could not write {path}: {reason}.", hint="Check the free space and your rights in that folder."
        ) from fault
    return [path, data]
