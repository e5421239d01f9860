"""A volume to a label map on its own grid: sliding windows at the model's spacing, then labels voxel by voxel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from simcrop_core.errors import OutOfMemory
from simcrop_core.imaging.affine import Affine
from simcrop_core.imaging.lattice import Lattice, lattice_of
from simcrop_core.imaging.resample import resample_box
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.device import is_out_of_memory, prepared
from simcrop_core.inference.lung_edges import Lungs, best_label, lungs_by_density
from simcrop_core.models.structures import Structures, kept_values, numbered
from simcrop_core.models.unetr import UNETR
from simcrop_core.progress import Job

# Windows share a quarter: half, as in the released script, costs 2.4 times the windows for the same label map to
# within the network's own error (docs/performance.md).
OVERLAP = 0.25
_IMPORTING = threading.Lock()
_WINDOWS_AT_ONCE = {"cuda": 8, "mps": 2, "cpu": 1}


@dataclass(frozen=True, slots=True, eq=False)
class Labelmap:
    """One label a voxel, on the grid of the volume it was made from.

    Attributes:
        voxels: (x, y, z) uint8, 0 is background.
        affine: (4, 4) voxel → patient RAS, mm.
        names: of the labels, by value.
        task: that was asked for; "" where none was.
    """

    voxels: NDArray[np.uint8]
    affine: Affine
    names: dict[int, str]
    task: str = ""

    def volume_ml(self) -> dict[str, float]:
        """Millilitres of every named label."""
        counts = np.bincount(self.voxels.ravel(order="K"), minlength=max(self.names, default=0) + 1)
        voxel_ml = abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000
        return {name: round(float(counts[value]) * voxel_ml, 2) for value, name in self.names.items()}


def segment_volume(
    model: UNETR, volume: Volume, structures: Structures, *, job: Job, warn: Callable[[str], None]
) -> Labelmap:
    """Label every voxel of a volume.

    Windows are weighted by a Gaussian where they overlap. Scores are kept at the model's spacing and brought to the
    volume's grid one slice at a time, so no score is ever held at full resolution.

    Args:
        model: on the device to start with; left on the CPU if the device's memory did not suffice.
        volume: the CT, HU.
        structures: what to keep, with the model's labels that make each; its other labels become background. A voxel
            is first given to one label, then to the structure that has it.
        job: told after every window and slice.
        warn: called with what was done when memory ran out.

    Raises:
        OutOfMemory: one window does not fit even in the CPU's memory.
        Cancelled: through `job`.
    """
    config = model.config
    lattice = lattice_of(volume, config.frame.spacing_mm, config.frame.axes)
    image = resample_box(volume, lattice, (0, 0, 0), lattice.shape, hu_window=config.frame.hu_window)
    scores_CHWD = _window_scores(model, torch.from_numpy(image), job, warn)
    lungs = _lungs(scores_CHWD, lattice, volume, config.labels) if config.lung_edges else None
    kept = kept_values(structures, len(config.labels))
    labels = labels_on_volume(scores_CHWD, lattice, kept=kept, lungs=lungs, job=job)
    return Labelmap(labels, volume.affine, numbered(structures))


@torch.inference_mode()
def _lungs(scores_CHWD: Tensor, lattice: Lattice, volume: Volume, names: Sequence[str]) -> Lungs | None:
    """The lungs by density; scores of lungs are spread to where they reach."""
    lungs = lungs_by_density(best_label(scores_CHWD).numpy().astype(np.uint8), lattice, volume, names)
    if lungs is not None:
        lungs.spread(scores_CHWD)
    return lungs


def _window_scores(model: UNETR, image_HWD: Tensor, job: Job, warn: Callable[[str], None]) -> Tensor:
    """Class scores at the model's spacing; with fewer windows at once, then on the CPU, where memory runs out."""
    device = next(model.parameters()).device
    at_once = _WINDOWS_AT_ONCE[device.type]
    while True:
        try:
            return _slide(model, image_HWD, at_once, job)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        if at_once > 1:
            at_once //= 2
            warn(f"The {device.type} device ran out of memory: going on with {at_once} windows at once.")
        elif device.type != "cpu":
            device = torch.device("cpu")
            prepared(model, device)
            warn("The device ran out of memory: going on with the CPU.")
        else:
            raise OutOfMemory(
                "One window of the segmentation network does not fit in memory.",
                hint="Close other programs, or run it on a machine with at least 4 GB free.",
            )


def import_sliding_windows() -> None:
    """Import MONAI's sliding windows now: the first segmentation would otherwise wait for it, seconds.

    One thread at a time: MONAI's modules import each other in circles, which two threads at once break off half-way.
    """
    with _IMPORTING:
        import monai.data.utils
        import monai.inferers.utils  # noqa: F401


@torch.inference_mode()
def _slide(model: UNETR, image_HWD: Tensor, at_once: int, job: Job) -> Tensor:
    """(labels, H, W, D) float32 scores on the CPU."""
    job.step("Segmenting", 0, 1)
    # Seconds of import (it brings transformers and matplotlib along) that no sentence should wait for.
    import_sliding_windows()
    from monai.data.utils import dense_patch_slices
    from monai.inferers.utils import sliding_window_inference

    weight = next(model.parameters())
    window = model.config.window
    padded = [max(n, w) for n, w in zip(image_HWD.shape, window, strict=True)]
    windows = len(dense_patch_slices(padded, window, [int(w * (1 - OVERLAP)) for w in window]))
    done = 0

    def predict(images_B1HWD: Tensor) -> Tensor:
        nonlocal done
        job.step("Segmenting", done, windows)
        scores: Tensor = model(images_B1HWD.to(weight.device, weight.dtype))
        done += len(images_B1HWD)
        return scores.float()

    scores_1CHWD = sliding_window_inference(
        image_HWD[None, None],
        window,
        at_once,
        predict,
        overlap=OVERLAP,
        mode="gaussian",
        cval=-1.0,
        sw_device=weight.device,
        device=torch.device("cpu"),
    )
    job.step("Segmenting", windows, windows)
    assert isinstance(scores_1CHWD, Tensor), "one output, one tensor"
    return scores_1CHWD[0]


@torch.inference_mode()
def labels_on_volume(
    scores_CHWD: Tensor, lattice: Lattice, *, kept: NDArray[np.uint8], lungs: Lungs | None = None, job: Job
) -> NDArray[np.uint8]:
    """The best label of every voxel of the volume, from scores interpolated trilinearly between lattice points.

    Only slices and rows near a kept label are interpolated; everything else is background.

    Args:
        scores_CHWD: class scores on the lattice.
        lattice: of the volume.
        kept: (labels,) what is written where a label wins; 0, background, where it is not kept.
        lungs: where lungs are, where their labels alone are asked, and the others' elsewhere.
        job: told after every slice.

    Returns:
        (x, y, z) uint8 on the volume's grid, x fastest in memory.
    """
    shape = lattice.volume_shape
    out = np.zeros(shape[::-1], dtype=np.uint8).T
    found = ndimage.find_objects((kept[best_label(scores_CHWD).numpy()] > 0).astype(np.uint8))
    if not found:
        return out
    # To the volume's axis order, then z outermost: the memory order of what is written.
    scores_CXYZ = scores_CHWD.permute(0, *(1 + lattice.axes.index(axis) for axis in range(3)))
    spans = [_span(lattice, axis, found[0]) for axis in range(3)]
    if lungs is not None:
        spans = [_both(span, box) for span, box in zip(spans, lungs.box, strict=True)]
    x_low, x_high, x_share = _shares(lattice, 0, spans[0])
    y_low, y_high, y_share = _shares(lattice, 1, spans[1])
    z_low, z_high, z_share = _shares(lattice, 2, spans[2])
    keep = torch.from_numpy(kept)
    for i in range(len(z_low)):
        job.step("Writing labels", i, len(z_low))
        plane = torch.lerp(scores_CXYZ[..., z_low[i]], scores_CXYZ[..., z_high[i]], z_share[i])
        lines = torch.lerp(plane[:, x_low], plane[:, x_high], x_share[:, None])
        voxels = torch.lerp(lines[..., y_low], lines[..., y_high], y_share)
        z = spans[2].start + i
        best = best_label(voxels) if lungs is None else lungs.best(voxels, spans[0], spans[1], z)
        out[spans[0], spans[1], z] = keep[best].numpy()
    job.step("Writing labels", len(z_low), len(z_low))
    return out


def _span(lattice: Lattice, volume_axis: int, found: tuple[slice, ...]) -> slice:
    """Voxels along a volume axis that lie within one lattice step of the found labels."""
    axis = lattice.axes.index(volume_axis)
    ends = lattice.voxel_coordinates(axis, [found[axis].start - 1, found[axis].stop])
    size = lattice.volume_shape[volume_axis]
    return slice(max(0, int(np.floor(ends.min()))), min(size, int(np.ceil(ends.max())) + 1))


def _both(one: slice, other: slice) -> slice:
    return slice(min(one.start, other.start), max(one.stop, other.stop))


def _shares(lattice: Lattice, volume_axis: int, span: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Lattice points below and above each voxel of a span, and the share of the one above; clamped at the edges."""
    axis = lattice.axes.index(volume_axis)
    last = lattice.shape[axis] - 1
    index = np.clip(lattice.index_of_voxels(axis, np.arange(span.start, span.stop)), 0, last)
    low = np.floor(index).astype(np.int64)
    share = torch.from_numpy((index - low).astype(np.float32))
    return torch.from_numpy(low), torch.from_numpy(np.minimum(low + 1, last)), share
