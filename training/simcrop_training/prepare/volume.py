"""One scan of a data set to what the store keeps of it: a pure function of the file and the settings."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simcrop_core.imaging.affine import Affine, translated
from simcrop_core.imaging.frame import place_frames
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.lattice import Lattice
from simcrop_core.imaging.passport import check
from simcrop_core.imaging.read import read_volume
from simcrop_core.imaging.resample import resample_box
from simcrop_core.imaging.volume import Volume as Scan
from simcrop_core.results import PassportFinding
from simcrop_training.data.sample import SHAPE, Sample
from simcrop_training.datasets.study import SourceVolume
from simcrop_training.prepare.hounsfield import apply_rescale, compare_spacing, require_single_rescale, stated_affine
from simcrop_training.prepare.masks import truths_of_masks
from simcrop_training.prepare.organs import label_map
from simcrop_training.store.records import StoredOrgans, Triple, Volume
from simcrop_training.store.shard import cut, encode_shard

# What is stored of the same file and settings changes with it.
VERSION = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """What is stored of every scan.

    Attributes:
        frame: of the model.
        margin_mm: kept around the frame, so that crops may be placed at random.
    """

    frame: FrameConfig = field(default_factory=FrameConfig)
    margin_mm: float = 24.0

    @property
    def margin(self) -> Triple:
        """The same in voxels."""
        x, y, z = (round(self.margin_mm / spacing) for spacing in self.frame.spacing_mm)
        return x, y, z


@dataclass(frozen=True, slots=True, eq=False)
class Framed:
    """A scan on the model's grid, before it is compressed.

    Attributes:
        voxels: (x, y, z) int16 HU, clipped to the frame's window.
        frame_start: where the frame's crop starts.
        lattice: the grid.
        low: its index of the first voxel.
    """

    voxels: NDArray[np.int16]
    frame_start: Triple
    lattice: Lattice
    low: Triple

    @property
    def affine(self) -> Affine:
        """(4, 4) voxel → patient RAS, mm."""
        return translated(self.lattice.affine, self.low)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A scan ready to be stored.

    Attributes:
        volume: what the store's tables will say of it.
        shard: its file.
        findings: of the passport, and of the data set's table.
        sample: the frame with the findings that people outlined in it; None where nobody did.
        organs: the file of its label map; None where it has none.
    """

    volume: Volume
    shard: bytes
    findings: tuple[PassportFinding, ...]
    sample: Sample | None
    organs: bytes | None


def prepare_volume(source: SourceVolume, settings: Settings) -> Prepared:
    """Read a scan, check it, put it into the model's frame and compress it.

    Raises:
        SimCroPError: it cannot be read, its geometry or values are broken, or no lungs are in it.
    """
    scan, findings = checked_scan(source)
    framed = framed_scan(scan, settings)
    shard = encode_shard(framed.voxels)
    labels, told = label_map(source, scan, framed.lattice, framed.low, framed.voxels.shape)
    organs = None if labels is None else encode_shard(labels)
    x, y, z = framed.voxels.shape
    volume = Volume(
        name=source.name,
        digest=hashlib.sha256(shard).hexdigest(),
        shape=(x, y, z),
        frame_start=framed.frame_start,
        affine=tuple(tuple(float(value) for value in row) for row in framed.affine.round(6)),
        stored_bytes=len(shard),
        organs=None if organs is None else StoredOrgans(hashlib.sha256(organs).hexdigest(), len(organs)),
    )
    return Prepared(volume, shard, (*findings, *told), _sample(source, scan, framed, settings), organs)


def checked_scan(source: SourceVolume) -> tuple[Scan, tuple[PassportFinding, ...]]:
    """A scan in HU with its true geometry, by the file and by the data set's table.

    Raises:
        SimCroPError: it cannot be read, or the passport refuses it.
        NotHounsfield: it was rescaled twice.
    """
    scan = read_volume(source.path)
    findings: list[PassportFinding] = []
    if source.geometry is not None:
        # What the reader saw of the header's geometry is of no interest: the table's holds.
        scan = dataclasses.replace(scan, affine=stated_affine(source.geometry), findings=())
    if source.rescale is not None:
        scan, finding = apply_rescale(scan, source.rescale)
        findings.append(finding)
    scan, seen = check(scan)
    require_single_rescale(scan)
    if source.stated_spacing_mm is not None:
        findings.append(compare_spacing(scan, source.stated_spacing_mm))
    return scan, (*findings, *seen)


def framed_scan(scan: Scan, settings: Settings) -> Framed:
    """Resample a scan's frame and the margin around it, as far as was scanned.

    Raises:
        NotAChest: no lungs were found.
    """
    frame = settings.frame
    lattice, offsets, _ = place_frames(scan, frame)
    low, high = _box(lattice, np.array(offsets), settings)
    x, y, z = (int(n) for n in high - low)
    box = resample_box(scan, lattice, _triple(low), (x, y, z), hu_window=frame.hu_window, padding=frame.padding)
    bottom, top = frame.hu_window
    voxels = np.rint(box * ((top - bottom) / 2) + (top + bottom) / 2).astype(np.int16)
    middle = (np.min(offsets, axis=0) + np.max(offsets, axis=0)) // 2
    return Framed(voxels, _triple(middle - low), lattice, _triple(low))


def _sample(source: SourceVolume, scan: Scan, framed: Framed, settings: Settings) -> Sample | None:
    if source.masks is None:
        return None
    offset = _triple(np.add(framed.low, framed.frame_start))
    truths = truths_of_masks(source.masks, scan, framed.lattice, offset)
    image = cut(framed.voxels, framed.frame_start, SHAPE, outside=round(settings.frame.hu_window[0]))
    return Sample(image, np.zeros(SHAPE, np.uint8), (), truths)


def _box(lattice: Lattice, offsets: NDArray[np.int_], settings: Settings) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """First lattice point of what is stored, and the one after its last: frames and margin, within the scan."""
    wanted_low = offsets.min(axis=0) - settings.margin
    wanted_high = offsets.max(axis=0) + settings.frame.shape + settings.margin
    step = np.array(lattice.step)
    voxels = np.array([lattice.volume_shape[axis] for axis in lattice.axes])
    # Points beyond the outermost voxels' centres, but still inside these voxels.
    scanned_low = -np.floor(0.5 / step).astype(int)
    scanned_high = np.maximum(lattice.shape, np.floor((voxels - 0.5) / step).astype(int) + 1)
    return np.maximum(wanted_low, scanned_low), np.minimum(wanted_high, scanned_high)


def _triple(values: NDArray[np.int_]) -> Triple:
    x, y, z = (int(value) for value in values)
    return x, y, z
