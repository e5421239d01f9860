"""What weights answer to a phantom's sentences, end to end as a user would ask, beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcrop_core.imaging.affine import Affine, apply
from simcrop_core.imaging.lattice import index_in
from simcrop_core.imaging.passport import check
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.features import PatchFeatures
from simcrop_core.inference.session import Session
from simcrop_core.phantom.truth import Phantom, Statement
from simcrop_core.results import SentenceResult
from simcrop_core.text.report import parse_sentence


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One phantom, asked every sentence there is about it.

    Attributes:
        seed: of the phantom.
        statements: what was asked, with its truth.
        results: the answers, in order.
        maps_SN: cosine of each patch with each sentence; −1 in padding.
        there_SN: whether a patch holds any of what a sentence means.
        embeddings_SC: the sentences, normalised, in the patches' space.
        features_NC: the patches, normalised.
        lung_N: patches that are half lung or more.
        grid: patches along each axis.
        present: CT-RATE labels that were drawn.
        findings: score of each CT-RATE label.
    """

    seed: int
    statements: tuple[Statement, ...]
    results: list[SentenceResult]
    maps_SN: NDArray[np.float32]
    there_SN: NDArray[np.bool_]
    embeddings_SC: NDArray[np.float32]
    features_NC: NDArray[np.float32]
    lung_N: NDArray[np.bool_]
    grid: tuple[int, int, int]
    present: frozenset[str]
    findings: dict[str, float]


def examined(phantom: Phantom, engine: Engine) -> Case:
    """Ask the engine everything about a phantom.

    Raises:
        NotAChest: the engine found no lungs in it.
    """
    volume, passport = check(Volume(phantom.image, phantom.affine, f"phantom {phantom.style} {phantom.seed}"))
    session = Session(volume, passport, engine)
    features = session.encode()
    grounded = session.ground([parse_sentence(statement.text) for statement in phantom.statements])
    embeddings_SC = engine.embed([statement.text for statement in phantom.statements]).float().numpy()
    embeddings_SC = embeddings_SC / np.linalg.norm(embeddings_SC, axis=1, keepdims=True)
    features_NC = features.features_NC.float().numpy()
    features_NC = features_NC / np.linalg.norm(features_NC, axis=1, keepdims=True)
    maps_SN = np.where(features.within_scan_N.numpy(), embeddings_SC @ features_NC.T, -1.0).astype(np.float32)
    lung = np.flatnonzero((phantom.labels == 1) | (phantom.labels == 2))
    return Case(
        seed=phantom.seed,
        statements=phantom.statements,
        results=grounded.result.sentences,
        maps_SN=maps_SN,
        there_SN=covered(phantom, [s.voxels for s in phantom.statements], features) > 0,
        embeddings_SC=embeddings_SC,
        features_NC=features_NC,
        lung_N=covered(phantom, [lung], features)[0] >= 0.5,
        grid=features.grid,
        present=phantom.present,
        findings={finding.label: finding.score for finding in session.findings().result.findings},
    )


def covered(phantom: Phantom, regions: Sequence[NDArray[np.integer]], features: PatchFeatures) -> NDArray[np.float32]:
    """(S, N) share of each patch that each region of a phantom's voxels fills."""
    patch_of_voxel = _patch_of_voxel(phantom.image.shape, phantom.affine, features)
    per_patch = np.prod(features.patch_mm) / np.prod(phantom.spacing_mm)
    patches = int(np.prod(features.grid))
    counts = [np.bincount(patch_of_voxel[voxels] + 1, minlength=patches + 1)[1:] for voxels in regions]
    shares: NDArray[np.float32] = (np.stack(counts) / per_patch).astype(np.float32)
    return shares


def _patch_of_voxel(shape: tuple[int, ...], affine: Affine, features: PatchFeatures) -> NDArray[np.int32]:
    """(voxels,) flat patch index of every voxel; −1 outside the frame.

    Phantom and frame are both upright, so each axis decides for itself.
    """
    along = []
    for axis, size in enumerate(shape):
        points = np.zeros((size, 3))
        points[:, axis] = np.arange(size)
        nearest = np.rint(index_in(features.affine, apply(affine, points))[:, axis]).astype(np.int32)
        along.append(np.where((nearest >= 0) & (nearest < features.grid[axis]), nearest, -1))
    x, y, z = np.ix_(*along)
    _, ny, nz = features.grid
    flat = np.where((x >= 0) & (y >= 0) & (z >= 0), (x * ny + y) * nz + z, -1)
    return flat.ravel().astype(np.int32)
