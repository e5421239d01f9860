"""Random fields and smooth surfaces: lung texture, patchy lesions, the diaphragm and the fissures."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from simcrop_core.phantom.style_b.space import Box, Float, Grid, Image


def _spline_weights(positions_mm: Float, wavelength_mm: float) -> tuple[Image, int]:
    """(N, M) cubic B-spline weights of a lattice with knots a half wavelength apart."""
    knot = (positions_mm - positions_mm.min()) / (wavelength_mm / 2)
    base, t = np.floor(knot).astype(int), knot - np.floor(knot)
    lattice = int(base.max()) + 4
    weights = np.zeros((len(knot), lattice), dtype=np.float32)
    row = np.arange(len(knot))
    for k, w in enumerate(
        ((1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6)
    ):
        weights[row, base + k] = w
    return weights, lattice


def noise(grid: Grid, box: Box, wavelength_mm: float, rng: np.random.Generator) -> Image:
    """A smooth Gaussian random field over a box, mean 0 and deviation about 1, with blobs of the given wavelength."""
    weights, sizes = zip(*(_spline_weights(grid.axis(k)[box[k]], wavelength_mm) for k in range(3)), strict=True)
    lattice = rng.standard_normal(sizes, dtype=np.float32)
    field = np.tensordot(weights[0], lattice, axes=(1, 0))
    field = np.matmul(weights[1][None], field)
    field = np.matmul(field, weights[2].T)
    return np.asarray(field / 0.33, dtype=np.float32)


def cell_walls(points_N3: Float, cell_mm: float, rng: np.random.Generator) -> Float:
    """(N,) how far each point is from the wall of its cell, mm, in a random Voronoi tissue of cells of that width."""
    low, high = points_N3.min(0) - cell_mm, points_N3.max(0) + cell_mm
    count = max(int(np.prod((high - low) / cell_mm)), 8)
    near = np.asarray(cKDTree(rng.uniform(low, high, (count, 3))).query(points_N3, k=2)[0])
    return np.asarray((near[:, 1] - near[:, 0]) / 2)


def surface(grid: Grid, landmarks_N3: Float) -> Image:
    """(X, Y) height in mm of the thin-plate surface through landmarks."""
    x, y = grid.axis(0), grid.axis(1)
    spline = RBFInterpolator(landmarks_N3[:, :2], landmarks_N3[:, 2], kernel="thin_plate_spline", smoothing=2.0)
    coarse_x, coarse_y = np.linspace(x[0], x[-1], 60), np.linspace(y[0], y[-1], 60)
    at = np.stack(np.meshgrid(coarse_x, coarse_y, indexing="ij"), axis=-1).reshape(-1, 2)
    height = spline(at).reshape(60, 60)
    rows = np.stack([np.interp(y, coarse_y, row) for row in height])
    return np.stack([np.interp(x, coarse_x, column) for column in rows.T], axis=1).astype(np.float32)


def metaballs(grid: Grid, box: Box, centres_N3: Float, radii_N: Float) -> Image:
    """Sum of 1/r² potentials over a box: above 1 is inside; balls that touch flow together."""
    total = np.zeros(tuple(s.stop - s.start for s in box), dtype=np.float32)
    for centre, radius in zip(centres_N3, radii_N, strict=True):
        x, y, z = grid.offsets(box, centre)
        total += np.float32(radius**4) / (x * x + y * y + z * z + np.float32(0.1)) ** 2
    return total
