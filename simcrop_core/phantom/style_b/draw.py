"""One phantom of the second generator: for measuring only."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from simcrop_core.phantom.style_b.body import draw_body
from simcrop_core.phantom.style_b.finding import Finding
from simcrop_core.phantom.style_b.plan import draw_findings, planned_kinds
from simcrop_core.phantom.style_b.report import write_report
from simcrop_core.phantom.style_b.scanner import PADDING_HU, blurred, digitised
from simcrop_core.phantom.style_b.scene import Scene
from simcrop_core.phantom.style_b.space import Grid, Image, stream
from simcrop_core.phantom.style_b.wording import statements
from simcrop_core.phantom.truth import KIND_LABELS, Phantom, Size, Statement, with_the_rest

_FRAME = Grid((224, 224, 112), (1.5, 1.5, 3.0))
_MIDDLE = Grid((256, 256, 150), (1.4, 1.4, 2.2))  # half of the full grid of 512 × 512 × 300 voxels
_LEAST_VOXELS = 4


def draw_phantom(seed: int, size: Size = "frame") -> Phantom:
    """Draw a phantom of style b. The same arguments draw the same phantom.

    Args:
        seed: any number that is not negative.
        size: "frame", (224, 224, 112) voxels of 1.5 × 1.5 × 3 mm, or "full", (512, 512, 300) of 0.7 × 0.7 × 1.1 mm.
    """
    return draw_with(seed, planned_kinds(seed), size)


def draw_with(seed: int, kinds: frozenset[str], size: Size = "frame") -> Phantom:
    """Draw the person of a seed with these kinds of findings, as far as the body has room for them.

    Args:
        seed: any number that is not negative.
        kinds: names of `simcrop_core.phantom.truth.KIND_LABELS`.
        size: as in `draw_phantom`.
    """
    grid = _FRAME if size == "frame" else _MIDDLE
    scene = draw_body(grid, seed, kinds)
    first = _first_slice(scene)
    for array in (scene.labels, scene.lobes, scene.body):
        array[:, :, :first] = 0
    found = _seen(draw_findings(scene, kinds), scene, first)
    said = statements(found, kinds, scene.labels, scene.lobes, stream(seed, "words"))
    report = write_report(said, scene.subject, stream(seed, "report"))
    image = blurred(scene.image, grid, scene.subject)
    parts = {name: scene.part(name) for name in ("pulmonary artery", "oesophagus")}
    labels, lobes, spacing = with_the_rest(scene.labels, scene.body, parts), scene.lobes, grid.spacing_mm
    if size == "full":
        spacing = (spacing[0] / 2, spacing[1] / 2, spacing[2] / 2)
        image = _doubled(_doubled(_doubled(image, 2), 1), 0)
        labels, lobes = _repeated(labels), _repeated(lobes)
        said = _finer(said, grid.shape)
    scan = digitised(image, spacing, scene.subject, seed)
    scan[:, :, : first * scan.shape[2] // grid.shape[2]] = PADDING_HU
    return Phantom(
        image=scan,
        spacing_mm=spacing,
        labels=labels,
        lobes=lobes,
        statements=said,
        report=report,
        present=frozenset(label for f in found for label in KIND_LABELS[f.kind]),
        person=scene.subject.person,
        seed=seed,
        style="b",
    )


def _first_slice(scene: Scene) -> int:
    """The lowest slice that the scan holds: not 0 where it ends above the lung bases."""
    if scene.subject.bases_cut_mm <= 0:
        return 0
    slices = np.flatnonzero((scene.lobes > 0).any(axis=(0, 1)))
    return int(slices[0] + scene.subject.bases_cut_mm / scene.grid.spacing_mm[2])


def _seen(found: list[Finding], scene: Scene, first: int) -> list[Finding]:
    """The findings as far as the scan holds them."""
    parts = (dataclasses.replace(f, voxels=f.voxels[f.voxels % scene.grid.shape[2] >= first]) for f in found)
    return [f for f in parts if f.voxels.size >= _LEAST_VOXELS]


def _doubled(image: Image, axis: int) -> Image:
    """Twice the voxels along an axis, interpolated linearly about unmoved faces."""
    along = np.moveaxis(image, axis, 0)
    before, after = np.concatenate([along[:1], along[:-1]]), np.concatenate([along[1:], along[-1:]])
    shape = list(image.shape)
    shape[axis] *= 2
    out = np.empty(shape, dtype=np.float32)
    view = np.moveaxis(out, axis, 0)
    near = np.float32(0.75) * along
    view[0::2] = near + np.float32(0.25) * before
    view[1::2] = near + np.float32(0.25) * after
    return out


def _repeated(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return array.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)


def _finer(said: tuple[Statement, ...], shape: tuple[int, int, int]) -> tuple[Statement, ...]:
    """The statements with every voxel as the eight it becomes; statements that shared an array share it still."""
    finer: dict[int, NDArray[np.int32]] = {}
    for s in said:
        if id(s.voxels) not in finer:
            finer[id(s.voxels)] = _eight(s.voxels, shape)
    return tuple(dataclasses.replace(s, voxels=finer[id(s.voxels)]) for s in said)


def _eight(voxels: NDArray[np.int32], shape: tuple[int, int, int]) -> NDArray[np.int32]:
    x, y, z = (2 * k for k in np.unravel_index(voxels, shape))
    _, height, depth = (2 * n for n in shape)
    first = (x * height + y) * depth + z
    steps = np.array([(a * height + b) * depth + c for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    return np.sort((first[:, None] + steps).ravel()).astype(np.int32)
