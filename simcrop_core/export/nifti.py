"""Heatmaps and label maps as image files that any viewer opens in the right place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK
from isal import igzip
from numpy.typing import NDArray

from simcrop_core.errors import CannotWrite
from simcrop_core.export.atomic import replacing
from simcrop_core.export.full_resolution import slices
from simcrop_core.export.provenance import as_text
from simcrop_core.imaging.affine import Affine, spacing_mm
from simcrop_core.imaging.heatmap import Heatmap
from simcrop_core.imaging.volume import Volume
from simcrop_core.progress import Job

DESCRIPTION = "SimCroP: cosine similarity, not a probability"
NIFTI = (".nii", ".nii.gz")
ITK = (".nrrd", ".mha")
LABEL_INTENT = 1002  # NIFTI_INTENT_LABEL
COMMENT = 6  # NIFTI_ECODE_COMMENT
SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT
COMPRESSION = 1
# Interpolated scores are rounded to 1/8192, far finer than they mean anything: it halves the file.
STEPS = np.float32(8192)


def write_heatmap(
    path: str | Path,
    heatmap: Heatmap,
    volume: Volume,
    *,
    full_resolution: bool = False,
    facts: Mapping[str, str] | None = None,
    job: Job | None = None,
) -> None:
    """Write a heatmap as float32, on its own coarse grid or on the grid of the CT.

    The coarse grid is all that the model knows: viewers that interpolate show the same picture from 11 kB. Full
    resolution is written slice by slice as NIfTI; beyond the covered box it holds -1.

    Args:
        path: .nii.gz, .nii, .nrrd or .mha.
        heatmap: the scores.
        volume: the CT they belong to.
        full_resolution: resample onto the CT's grid.
        facts: how it was made (`provenance.facts_of`): a comment in NIfTI, metadata in .nrrd and .mha.
        job: told of every slice at full resolution.

    Raises:
        CannotWrite: unknown suffix, or the file cannot be written.
        Cancelled: the job was cancelled; nothing is left behind.
    """
    planes: Iterable[NDArray[np.float32]]
    if full_resolution:
        shape, affine = volume.shape, volume.affine
        planes = (np.rint(plane * STEPS) / STEPS for plane in slices(heatmap, volume))
    else:
        x, y, z = heatmap.scores.shape
        shape, affine, planes = (x, y, z), heatmap.affine, iter(np.moveaxis(heatmap.scores, 2, 0))
    header = _nifti_header(shape, affine, np.dtype(np.float32))
    header["descrip"] = DESCRIPTION
    _write(path, header, _reported(planes, shape[2], job), {"description": DESCRIPTION}, facts)


def write_labelmap(
    path: str | Path,
    labels: NDArray[np.uint8],
    affine: Affine,
    names: Mapping[int, str],
    *,
    description: str = "",
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write a label map with the names of its labels.

    Names are kept as Slicer's segment names in .nrrd (call it .seg.nrrd to open as a segmentation) and .mha, and as a
    comment in NIfTI.

    Args:
        path: .nii.gz, .nii, .nrrd or .mha.
        labels: (x, y, z) uint8.
        affine: (4, 4) voxel → patient RAS, mm.
        names: label → name.
        description: NIfTI keeps the first 80 bytes of it.
        facts: how it was made (`provenance.facts_of`): a second comment in NIfTI, metadata in .nrrd and .mha.

    Raises:
        CannotWrite: unknown suffix, or the file cannot be written.
    """
    header = _nifti_header(labels.shape, affine, np.dtype(np.uint8))
    header["descrip"] = description
    header["intent_code"] = LABEL_INTENT
    comment = "\n".join(f"{value}: {name}" for value, name in names.items()).encode()
    header.extensions.append(nibabel.nifti1.Nifti1Extension(COMMENT, comment))
    segments: dict[str, str] = {}
    for n, (value, name) in enumerate(names.items()):
        segments |= {
            f"Segment{n}_ID": f"Segment_{value}",
            f"Segment{n}_Name": name,
            f"Segment{n}_LabelValue": str(value),
            f"Segment{n}_Layer": "0",
        }
    _write(path, header, np.moveaxis(labels, 2, 0), segments, facts)


def write_volume(path: str | Path, voxels: NDArray[np.generic], affine: Affine, *, description: str) -> None:
    """Write voxels in their own type: a CT, or with four axes a stack of masks.

    Args:
        path: .nii.gz or .nii; with three axes .nrrd or .mha too.
        voxels: three or four axes, in the order of the file.
        affine: (4, 4) voxel → patient RAS, mm.
        description: NIfTI keeps the first 80 bytes of it.

    Raises:
        CannotWrite: unknown suffix, or the file cannot be written.
    """
    header = _nifti_header(voxels.shape, affine, voxels.dtype)
    header["descrip"] = description
    _write(path, header, np.moveaxis(voxels, -1, 0), {"description": description})


def _reported(planes: Iterable[NDArray[np.float32]], total: int, job: Job | None) -> Iterable[NDArray[np.float32]]:
    for k, plane in enumerate(planes):
        if job is not None:
            job.step("Writing the heatmap", k, total)
        yield plane


def _nifti_header(shape: tuple[int, ...], affine: Affine, dtype: np.dtype[np.generic]) -> nibabel.Nifti1Header:
    """A NIfTI header with sform and qform; it carries the grid for the other formats too."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header.set_qform(affine, code=SCANNER)
    header.set_sform(affine, code=SCANNER)
    header.set_xyzt_units("mm")
    header.set_slope_inter(1, 0)
    return header


def _write(
    path: str | Path,
    header: nibabel.Nifti1Header,
    planes: Iterable[NDArray[np.generic]],
    metadata: Mapping[str, str],
    facts: Mapping[str, str] | None = None,
) -> None:
    require_writable_format(path)
    name = Path(path).name.lower()
    if facts:
        header.extensions.append(nibabel.nifti1.Nifti1Extension(COMMENT, as_text(facts).encode()))
        metadata = {**metadata, **{f"simcrop {name}".replace(" ", "_"): value for name, value in facts.items()}}
    with replacing(path) as temporary:
        if name.endswith(NIFTI):
            _stream_nifti(temporary, header, planes, compress=name.endswith(".gz"))
        else:
            _write_itk(temporary, header, planes, metadata)


def require_writable_format(path: str | Path) -> None:
    """Refuse a file name whose format is not written, before any work is done for it.

    Raises:
        CannotWrite: unknown suffix.
    """
    if not Path(path).name.lower().endswith((*NIFTI, *ITK)):
        raise CannotWrite(
            f"{Path(path).name} does not end in an image format this writes.",
            hint=f"Use one of {', '.join((*NIFTI, *ITK))}.",
        )


def _stream_nifti(
    path: Path, header: nibabel.Nifti1Header, planes: Iterable[NDArray[np.generic]], *, compress: bool
) -> None:
    """Header, extensions, then one plane after another: no more than one is in memory."""
    with contextlib.ExitStack() as stack:
        file: Any = stack.enter_context(path.open("wb"))
        if compress:
            file = stack.enter_context(igzip.IGzipFile("", "wb", COMPRESSION, file, mtime=0))
        header.write_to(file)
        for plane in planes:
            file.write(plane.astype(header.get_data_dtype(), copy=False).tobytes(order="F"))


def _write_itk(
    path: Path, header: nibabel.Nifti1Header, planes: Iterable[NDArray[np.generic]], metadata: Mapping[str, str]
) -> None:
    """ITK wants the whole array (z, y, x) and LPS axes."""
    x, y, z = header.get_data_shape()
    stack = np.empty((z, y, x), dtype=header.get_data_dtype())
    for k, plane in enumerate(planes):
        stack[k] = plane.T
    image = SimpleITK.GetImageFromArray(stack)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ header.get_sform()
    spacing = spacing_mm(affine)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    for key, value in metadata.items():
        image.SetMetaData(key, value)
    try:
        SimpleITK.WriteImage(image, path, useCompression=True)
    except RuntimeError as fault:
        raise CannotWrite(
            f"Could not write {path.parent}: the image library reports a fault.",
            hint="Check the free space and your rights in that folder.",
        ) from fault
