"""What finer maps would gain: eight encodings half a patch apart, which make a map of 28 x 28 x 28, against one."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from simcrop_core.demo.measure import distance_mm
from simcrop_core.errors import NotAChest
from simcrop_core.imaging.affine import apply
from simcrop_core.imaging.frame import FrameVolume, cut_tiles
from simcrop_core.imaging.passport import check
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.engine import Engine
from simcrop_core.inference.features import PatchFeatures, encode_frame, patch_index
from simcrop_core.inference.grounding import ground
from simcrop_core.inference.peak import peak_between
from simcrop_core.inference.session import Session
from simcrop_core.phantom.draw import draw_phantom
from simcrop_core.phantom.truth import Style
from simcrop_core.progress import Job
from simcrop_training.evaluate.real_scans import lidc_places
from simcrop_training.objectives.grounding import POINTING

WAYS = ("one encoding, best patch", "one encoding, peak between patches", "eight encodings, best patch")
_NEAR_MM = 6.0
_CORNERS = tuple(itertools.product((0, 1), repeat=3))


@dataclass(frozen=True, slots=True)
class Finer:
    """How far peaks lie from what sentences mean, by one way to make the map.

    Attributes:
        data: the scans.
        what: "smaller than a patch", "larger" or "mass", "organs".
        way: of `WAYS`.
        sentences: asked.
        inside: share of peaks inside of what is meant.
        near: share of them within 6 mm of it.
        mean_mm: from the peak to it.
        seconds: a scan takes to encode.
    """

    data: str
    what: str
    way: str
    sentences: int
    inside: float
    near: float
    mean_mm: float
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A sentence and the voxels it means, as flat indices of its scan."""

    text: str
    what: str
    voxels: NDArray[np.integer]


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """Of one scan: what each sentence is about, its distances by `WAYS`, and the seconds of one and eight encodings."""

    whats: list[str]
    distances_SW: NDArray[np.float64]
    seconds: tuple[float, float]


def on_phantoms(engine: Engine, style: Style, seeds: Sequence[int]) -> list[Finer]:
    """Of phantoms that no training drew, every sentence that points at a finding; those without lungs are left out.

    Raises:
        NotAChest: that leaves none.
    """
    measured = []
    for seed in seeds:
        phantom = draw_phantom(seed, style=style)
        patch_voxels = np.prod(engine.config.frame.patch)
        places = [
            _Place(s.text, "smaller than a patch" if s.voxels.size < patch_voxels else "larger", s.voxels)
            for s in phantom.statements
            if s.polarity in POINTING and s.voxels.size
        ]
        # Now and then a field of view leaves too little lung.
        with contextlib.suppress(NotAChest):
            if places:
                measured.append(_measured(Volume(phantom.image, phantom.affine, f"phantom {seed}"), places, engine))
    if not measured:
        raise NotAChest("None of these phantoms shows a finding and enough lung.", hint="Ask for more of them.")
    return _rows(f"{len(measured)} synthetic scans of style {style}", measured)


def on_lidc(engine: Engine, folder: Path) -> list[Finer]:
    """Of LIDC-IDRI-0001, the sentences about its mass and about organs of `simcrop-eval real`.

    Raises:
        SimCroPError: a file is missing or cannot be read.
    """
    volume, asked = lidc_places(folder)
    places = [
        _Place(text, "mass" if about == "mass" else "organs", np.flatnonzero(mask)) for text, about, mask in asked
    ]
    return _rows(folder.name, [_measured(volume, places, engine)])


def shifted(volume: Volume, frame: FrameVolume) -> Iterator[FrameVolume]:
    """The frame, then seven more: shifted by half a patch along one axis, two, or all three."""
    for corner in _CORNERS:
        step = [c * p // 2 for c, p in zip(corner, frame.config.patch, strict=True)]
        offsets = tuple((x + step[0], y + step[1], z + step[2]) for x, y, z in frame.offsets)
        tiles_THWD = cut_tiles(volume, frame.lattice, offsets, frame.config)
        yield dataclasses.replace(frame, images_THWD=tiles_THWD, offsets=offsets)


def _measured(volume: Volume, places: Sequence[_Place], engine: Engine) -> _Measured:
    checked, passport = check(volume)
    frame = Session(checked, passport, engine).frame
    sentences_SC = engine.embed([place.text for place in places])
    encodings: list[PatchFeatures] = []
    took: list[float] = []
    for moved in shifted(checked, frame):
        began = time.perf_counter()
        encodings.append(encode_frame(engine.grounding_model, moved, Job()))
        took.append(time.perf_counter() - began)
    peaks_SW3 = _peaks(encodings, sentences_SC, engine.config.top_k)
    distances_SW = np.stack(
        [_distances(peaks_W3, place, volume) for peaks_W3, place in zip(peaks_SW3, places, strict=True)]
    )
    return _Measured([place.what for place in places], distances_SW, (took[0], sum(took)))


def _peaks(encodings: Sequence[PatchFeatures], sentences_SC: Tensor, top_k: int) -> NDArray[np.float64]:
    """(S, `WAYS`, 3) RAS mm of the peaks of sentences."""
    maps_ESN = [ground(features, sentences_SC, top_k=top_k).maps_SN.numpy() for features in encodings]
    peaks = []
    for s in range(len(sentences_SC)):
        first = encodings[0]
        peak = patch_index(int(maps_ESN[0][s].argmax()), first.grid)
        best = max(range(len(encodings)), key=lambda e: float(maps_ESN[e][s].max()))
        finest = patch_index(int(maps_ESN[best][s].argmax()), encodings[best].grid)
        peaks.append(
            [
                apply(first.affine, peak),
                apply(first.affine, peak_between(maps_ESN[0][s].reshape(first.grid), peak)),
                apply(encodings[best].affine, finest),
            ]
        )
    return np.array(peaks, dtype=np.float64)


def _distances(points_W3: NDArray[np.float64], place: _Place, volume: Volume) -> list[float]:
    """A distance for each of the points, mm, to the nearest voxel of a place: 0 in one of them."""
    mask = np.zeros(volume.shape, dtype=bool)
    mask.flat[place.voxels] = True
    return [distance_mm(point, mask, volume.affine) for point in points_W3]


def _rows(data: str, measured: Sequence[_Measured]) -> list[Finer]:
    distances_SW = np.concatenate([m.distances_SW for m in measured])
    whats = np.array([what for m in measured for what in m.whats])
    seconds = np.mean([m.seconds for m in measured], axis=0)
    rows = []
    for what in dict.fromkeys(sorted(whats)):
        for way, name in enumerate(WAYS):
            away = distances_SW[whats == what, way]
            rows.append(
                Finer(
                    data, str(what), name, len(away), round(float((away == 0).mean()), 3),
                    round(float((away <= _NEAR_MM).mean()), 3), round(float(away.mean()), 1),
                    round(float(seconds[int(name == WAYS[-1])]), 2),
                )
            )  # fmt: skip
    return rows
