"""The scan while it is being drawn: image, labels, and where the parts are that findings are hung on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simcrop_core.phantom.style_b.contours import Region, fill, outlines
from simcrop_core.phantom.style_b.curves import Tree, along, stamp
from simcrop_core.phantom.style_b.space import Float, Grid, Image, Mask
from simcrop_core.phantom.style_b.subject import Subject

_NO_TREE = Tree(
    np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
)


@dataclass(slots=True, eq=False)
class Scene:
    """What has been drawn so far.

    Attributes:
        grid: the voxels.
        subject: who is drawn.
        seed: the phantom's.
        image: (X, Y, Z) HU.
        labels: organ labels, indices of `ORGANS`.
        lobes: lobe labels.
        cage: (Z, Q, 2) outlines of the inner chest wall, mm.
        heart: (Z, Q, 2) outlines of the heart.
        dome: (X, Y) height of the diaphragm, mm.
        airways: bronchial tree within the lungs.
        paths: centre lines with radii, (N, 4), by the vessel's or tube's name.
        fluid: the pericardial effusion, where one is drawn.
        taken: voxels that hold a finding already.
        body: voxels within the skin.
        parts: voxels (flat indices) of what has no organ label, by names of `LABELS`.
    """

    grid: Grid
    subject: Subject
    seed: int
    image: Image
    labels: NDArray[np.uint8]
    lobes: NDArray[np.uint8]
    cage: Float = field(default_factory=lambda: np.zeros((0, 0, 2)))
    heart: Float = field(default_factory=lambda: np.zeros((0, 0, 2)))
    dome: Image = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    airways: Tree = _NO_TREE
    paths: dict[str, Float] = field(default_factory=dict)
    fluid: Region | None = None
    taken: Mask = field(default_factory=lambda: np.zeros((0, 0, 0), dtype=bool))
    body: Mask = field(default_factory=lambda: np.zeros((0, 0, 0), dtype=bool))
    parts: dict[str, list[NDArray[np.int64]]] = field(default_factory=dict)

    @classmethod
    def empty(cls, grid: Grid, subject: Subject, seed: int) -> Scene:
        """Nothing but air."""
        return cls(
            grid,
            subject,
            seed,
            np.full(grid.shape, -1000, dtype=np.float32),
            np.zeros(grid.shape, dtype=np.uint8),
            np.zeros(grid.shape, dtype=np.uint8),
            taken=np.zeros(grid.shape, dtype=bool),
            body=np.zeros(grid.shape, dtype=bool),
        )

    def outline(self, shape: tuple[Float, Float]) -> Float:
        """Levels and controls of the reference body → (Z, Q, 2) outlines of this patient at every slice."""
        levels, controls = shape
        heights = np.broadcast_to(levels[:, None, None], (*controls.shape[:2], 1))
        placed = self.subject.place(np.concatenate([controls, heights], axis=-1))
        return outlines(placed[:, 0, 2], placed[..., :2], self.grid.axis(2))

    def region(self, shape: tuple[Float, Float]) -> Region:
        """Levels and controls of the reference body → the voxels inside."""
        return fill(self.grid, self.outline(shape))

    def paint(self, region: Region, hu: float | Image, label: int | None = None) -> None:
        """Fill a region with a density, and its label if any."""
        values = np.broadcast_to(np.asarray(hu, dtype=np.float32), region.mask.shape)
        np.copyto(self.image[region.box], values, where=region.mask)
        if label is not None:
            self.labels[region.box][region.mask] = label

    def path(self, name: str, points_N4: Sequence[Sequence[float]]) -> Float:
        """A tube of the reference body (x, y, z, radius) → its smooth centre line in the patient, kept by name."""
        rows = np.asarray(points_N4, dtype=float)
        placed = np.concatenate([self.subject.place(rows[:, :3]), rows[:, 3:] * np.mean(self.subject.stretch)], -1)
        self.paths[name] = along(placed, 1.2)
        return self.paths[name]

    def cover(self, *tubes_N4: Float, flat_z: float = 1.0) -> Image:
        """The share of each voxel that tubes fill."""
        share = np.zeros(self.grid.shape, dtype=np.float32)
        for tube in tubes_N4:
            stamp(self.grid, share, tube[:, :3], np.maximum(tube[:, 3], 0.2), flat_z=flat_z)
        return share

    def blend(self, share: Image, hu: float) -> NDArray[np.int64]:
        """Mix a density in by its share of each voxel, and give the flat indices that it mostly fills."""
        flat, at = self.image.reshape(-1), np.flatnonzero(share > 0)
        part = share.reshape(-1)[at]
        flat[at] += part * (np.float32(hu) - flat[at])
        return at[part > 0.5]

    def part(self, name: str) -> Mask:
        """What was drawn of a part, findings aside."""
        mask = np.zeros(self.grid.shape, dtype=bool)
        for filled in self.parts.get(name, ()):
            mask.reshape(-1)[filled] = True
        return mask & ~self.taken

    def tube(self, name: str, points_N4: Sequence[Sequence[float]], hu: float) -> NDArray[np.int64]:
        """Draw one named tube."""
        return self.blend(self.cover(self.path(name, points_N4)), hu)
