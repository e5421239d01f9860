"""Frozen features of scans, by any weights: computed once, kept, and gone on with after a stop."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simcrop_core.errors import OutOfMemory, TaskNotSupported
from simcrop_core.imaging.frame import FrameVolume, frame_volume
from simcrop_core.imaging.frame_config import FrameConfig
from simcrop_core.imaging.volume import Volume
from simcrop_core.inference.device import compute_dtype, is_out_of_memory, resolve_device
from simcrop_core.inference.features import encode_frame
from simcrop_core.models.config import EncoderConfig
from simcrop_core.models.m3d import M3dEncoder
from simcrop_core.models.m3d_image import m3d_image
from simcrop_core.models.vit import VisionTransformer
from simcrop_core.models.weights import load_encoder, load_grounding_model, resolve_weights, sha256_of
from simcrop_core.progress import Job
from simcrop_core.results import DeviceName
from simcrop_training.datasets.labelled import LabelledScan, require_files
from simcrop_training.datasets.study import LeftOut
from simcrop_training.evaluate.feature_store import FeatureStore
from simcrop_training.evaluate.read_ahead import noted, read_ahead
from simcrop_training.evaluate.scan_volumes import frame_of, mask_of, volume_of

__all__ = ["Features", "ScanEncoder", "encode_frames", "frame_of", "load_scan_encoder", "mask_of", "scan_features",
           "volume_of"]  # fmt: skip

_log = logging.getLogger("simcrop_training")
_LOG_EVERY_S = 20.0

Seen = FrameVolume | NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What an encoder says of scans.

    Attributes:
        names: of the scans that could be encoded, in the order they were given.
        features_BC: float32, the mean of each one's patch tokens, without class token.
        skipped: scans that could not, and why.
        encoded: how many were encoded now; the others were in the cache.
        seconds: that this took.
    """

    names: tuple[str, ...]
    features_BC: NDArray[np.float32]
    skipped: tuple[LeftOut, ...]
    encoded: int
    seconds: float

    @property
    def volumes_per_s(self) -> float:
        """Scans encoded a second, reading included; 0 where all were in the cache."""
        return self.encoded / self.seconds if self.encoded else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class ScanEncoder:
    """An image encoder, frozen, in evaluation mode, on a device in the engine's number format there.

    Attributes:
        vision: the network.
        frame: what it sees of a scan; None for M3D-CLIP's, which has rules of its own.
        sha256: of its weights file.
    """

    vision: VisionTransformer | M3dEncoder
    frame: FrameConfig | None
    sha256: str

    @property
    def width(self) -> int:
        """C of its features."""
        return self.vision.config.dim

    @property
    def identity(self) -> str:
        """What tells its features from those of any other weights or number format."""
        return f"{self.sha256} {self.vision.patch_embed.proj.weight.dtype}"

    def look(self, volume: Volume) -> Seen:
        """What it sees of a scan, on the CPU.

        Raises:
            NotAChest: its frame is placed on the lungs, and there are none.
        """
        if isinstance(self.vision, M3dEncoder):
            return m3d_image(volume, self.vision.config)
        assert self.frame is not None, "of every encoder but M3D-CLIP's"
        return frame_volume(volume, self.frame)

    @torch.inference_mode()
    def features(self, seen: Seen) -> NDArray[np.float32]:
        """(C,) mean of the patch tokens: of all tiles, blended, where one frame does not cover the lungs.

        Raises:
            OutOfMemory: one frame does not fit the device.
        """
        try:
            if isinstance(self.vision, M3dEncoder):
                assert isinstance(seen, np.ndarray), "what it looked at"
                weight = self.vision.patch_embed.proj.weight
                features_C = self.vision.features(torch.from_numpy(seen)[None].to(weight.device, weight.dtype))[0]
            else:
                assert isinstance(seen, FrameVolume), "what it looked at"
                features_C = encode_frame(_Patches(self.vision), seen, Job()).features_NC.mean(dim=0)
        except (RuntimeError, MemoryError) as fault:
            if not is_out_of_memory(fault):
                raise
            raise OutOfMemory(
                "Encoding a scan does not fit in memory.", hint="Close other programs, or take another device."
            ) from fault
        mean_C: NDArray[np.float32] = features_C.float().cpu().numpy()
        return mean_C


@dataclass(frozen=True, slots=True, eq=False)
class _Patches:
    """An image encoder without projections, as `encode_frame` takes it."""

    vision: VisionTransformer

    @property
    def width(self) -> int:
        return self.vision.config.dim

    def encode(self, images_B1HWD: Tensor, /) -> Tensor:
        return self.vision.patch_features(images_B1HWD)


def load_scan_encoder(weights: Path | str, device: DeviceName = "auto") -> ScanEncoder:
    """The image encoder of any weights: of a training run by whatever method, imported, or packaged.

    Args:
        weights: name, folder or file.
        device: where it computes.

    Raises:
        UnknownWeights: there are none of that name.
        IncompatibleWeights: the tensors are not those of the file's configuration.
        TaskNotSupported: they hold no image encoder of frames.
        DeviceUnavailable: the machine has no such device.
    """
    folder, place = resolve_weights(weights), resolve_device(device)
    frame: FrameConfig | None
    vision: VisionTransformer | M3dEncoder
    if folder.encoder is not None:
        vision, metadata = load_encoder(folder)
        frame = metadata.config.frame if isinstance(metadata.config, EncoderConfig) else None
        file = folder.encoder
    elif folder.grounding is not None:
        model, _, _ = load_grounding_model(folder)
        vision, frame, file = model.vision, model.config.frame, folder.grounding
    else:
        raise TaskNotSupported(
            f"The weights {folder.name} hold no encoder of whole frames.",
            hint="Give those of a pre-training run, imported ones, or --weights starter.",
        )
    vision.eval().requires_grad_(False)
    vision.to(place, compute_dtype(place))
    return ScanEncoder(vision, frame, sha256_of(file))


def encode_frames(encoder: ScanEncoder, frames: Iterable[Seen]) -> Iterator[NDArray[np.float32]]:
    """(C,) features of each frame, as they come; nothing is kept.

    Raises:
        OutOfMemory: one frame does not fit the device.
    """
    return map(encoder.features, frames)


def scan_features(
    weights: Path | str,
    scans: Sequence[LabelledScan],
    cache: Path,
    *,
    device: DeviceName = "auto",
    readers: int = 1,
) -> Features:
    """Encode scans, or take what the cache has of them; scans are read while others are encoded.

    Stopped at any time, the same call goes on at the scan it stopped at. Features are kept by the content of weights
    and scans: neither another file of the same name nor other weights are mistaken for them.

    Args:
        weights: name, folder or file.
        scans: to encode.
        cache: folder; may be shared by any weights and data sets.
        device: where the encoder computes.
        readers: threads that read scans.

    Raises:
        UnreadableFile: files are missing; the first ten are named, and nothing was encoded.
        UnknownWeights: there are none of that name.
        OutOfMemory: one frame does not fit the device.
        CannotWrite: the cache is not writable.
    """
    require_files(scans)
    encoder = load_scan_encoder(weights, device)
    store = FeatureStore(cache, encoder.identity)

    def look(scan: LabelledScan) -> _Looked:
        key = store.key_of(scan)
        stored_C = store.load(key)
        return _Looked(key, stored_C, None if stored_C is not None else encoder.look(volume_of(scan)))

    progress = _Progress(len(scans))
    names: list[str] = []
    features: list[NDArray[np.float32]] = []
    # Closed here and now, so that a stop does not leave threads reading.
    with contextlib.closing(read_ahead(noted(look), scans, readers)) as looks:
        for scan, looked in looks:
            if isinstance(looked, LeftOut):
                progress.skip(looked)
                continue
            if looked.stored_C is None:
                assert looked.seen is not None, "what is not stored was looked at"
                looked.stored_C = encoder.features(looked.seen)
                store.save(looked.key, scan.name, looked.stored_C)
                progress.encoded += 1
            names.append(scan.name)
            features.append(looked.stored_C)
            progress.step(len(names))
    progress.end(len(names))
    features_BC = np.stack(features) if features else np.zeros((0, encoder.width), np.float32)
    return Features(tuple(names), features_BC, tuple(progress.skipped), progress.encoded, progress.seconds)


@dataclass(slots=True, eq=False)
class _Looked:
    """A scan's key, and either its stored features or what the encoder sees of it."""

    key: str
    stored_C: NDArray[np.float32] | None
    seen: Seen | None


class _Progress:
    """How far it is, in the log."""

    def __init__(self, total: int) -> None:
        self.total, self.encoded, self.skipped = total, 0, list[LeftOut]()
        self._began = self._said = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def skip(self, note: LeftOut) -> None:
        self.skipped.append(note)
        _log.warning("%s is skipped: %s (%s)", note.name, note.reason, note.code)

    def step(self, done: int) -> None:
        if time.monotonic() - self._said > _LOG_EVERY_S:
            self._said = time.monotonic()
            self._say(done)

    def end(self, done: int) -> None:
        self._say(done)

    def _say(self, done: int) -> None:
        _log.info(
            "%d of %d scans: %d encoded now (%.2f volumes/s), %d from the cache, %d skipped",
            done + len(self.skipped),
            self.total,
            self.encoded,
            self.encoded / max(self.seconds, 1e-9),
            done - self.encoded,
            len(self.skipped),
        )
